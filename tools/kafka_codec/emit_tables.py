"""The table of APIs and the error codes."""

from . import cpp


def camel(upper):
    return "k" + "".join(word.capitalize() for word in upper.split("_"))


def api_header(schema):
    out = [cpp.banner("proto/kafka/schema"), """// The APIs of Kafka 4.4: keys, versions, listeners. What this broker serves is decided in broker/api; no
// more than this table allows.
#pragma once

#include <cstdint>
#include <span>

namespace millrace::kafka {

enum class ApiKey : int16_t {
"""]
    for api in schema.apis:
        out.append(cpp.comment(api.doc, "  "))
        out.append(f"  k{api.name} = {api.key},\n")
    out.append("""};

// Bits of ApiInfo::listeners: where Kafka serves the API.
inline constexpr uint8_t kBrokerListener = 1;
inline constexpr uint8_t kControllerListener = 2;

struct ApiInfo {
  ApiKey key;
  const char* name;
  // The versions Kafka 4.4 serves, both inclusive.
  int16_t min_served;
  int16_t max_served;
  // The lowest version ApiVersions names: below min_served only where Kafka itself does so.
  int16_t min_advertised;
  // The first version with compact types and tagged fields; 32767 if there is none.
  int16_t first_flexible;
  uint8_t listeners;
  // A broker passes it on to the controller.
  bool forwarded;
  // Needs ClusterAction on the cluster: only brokers and controllers send it.
  bool cluster_action;
};

// In order of key.
std::span<const ApiInfo> Apis();

// Nothing for a key that does not exist (any more).
const ApiInfo* FindApi(int16_t key);

}  // namespace millrace::kafka
""")
    return "".join(out)


def api_source(schema):
    out = [cpp.banner("proto/kafka/schema"), """#include "proto/kafka/api.h"

namespace millrace::kafka {
namespace {

constexpr ApiInfo kApis[] = {
"""]
    bits = {"broker": "kBrokerListener", "controller": "kControllerListener"}
    for api in schema.apis:
        listeners = " | ".join(bits[name] for name in api.listeners)
        out.append(f'    {{ApiKey::k{api.name}, "{api.name}", {api.served[0]}, {api.served[1]}, '
                   f"{api.advertised_min}, {cpp.first_flexible(api.request)},\n     {listeners}, "
                   f"{str(api.forwarded).lower()}, {str(api.cluster_action).lower()}}},\n")
    out.append("""};

}  // namespace

std::span<const ApiInfo> Apis() { return kApis; }

const ApiInfo* FindApi(int16_t key) {
  switch (key) {
""")
    for index, api in enumerate(schema.apis):
        out.append(f"    case {api.key}:\n      return &kApis[{index}];\n")
    out.append("""    default:
      return nullptr;
  }
}

}  // namespace millrace::kafka
""")
    return "".join(out)


def error_header(schema):
    out = [cpp.banner("proto/kafka/schema/errors.kdef"), """// The error codes of the protocol. Only broker/ uses them; below it errors are Statuses with an ErrorKind.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace millrace::kafka {

enum class KafkaError : int16_t {
"""]
    for error in schema.errors:
        out.append(cpp.comment(error.doc, "  "))
        out.append(f"  {camel(error.name)} = {error.code},\n")
    out.append("""};

// The number that goes into an ErrorCode field.
constexpr int16_t CodeOf(KafkaError error) { return static_cast<int16_t>(error); }

struct KafkaErrorInfo {
  KafkaError error;
  std::string_view name;     // As Kafka prints it: OFFSET_OUT_OF_RANGE.
  std::string_view meaning;  // A sentence.
  bool retriable;            // The same request may succeed later.
  bool refresh_metadata;     // The client fetches metadata before it tries again.
};

// In order of code.
std::span<const KafkaErrorInfo> KafkaErrors();

// Nothing for a code that does not exist.
std::optional<KafkaErrorInfo> FindKafkaError(int16_t code);

std::string_view NameOf(KafkaError error);

}  // namespace millrace::kafka
""")
    return "".join(out)


def error_source(schema):
    out = [cpp.banner("proto/kafka/schema/errors.kdef"), """#include "proto/kafka/kafka_error.h"

namespace millrace::kafka {
namespace {

constexpr KafkaErrorInfo kErrors[] = {
"""]
    first = schema.errors[0].code
    for index, error in enumerate(schema.errors):
        if error.code != first + index:
            raise ValueError("error codes must have no gap: FindKafkaError() indexes by code")
        text = error.doc.replace('"', '\\"')
        out.append(f'    {{KafkaError::{camel(error.name)}, "{error.name}",\n     "{text}",\n     '
                   f"{str(error.retriable).lower()}, {str(error.refresh).lower()}}},\n")
    out.append(f"""}};

}}  // namespace

std::span<const KafkaErrorInfo> KafkaErrors() {{ return kErrors; }}

std::optional<KafkaErrorInfo> FindKafkaError(int16_t code) {{
  if (code < {first} || code > {schema.errors[-1].code}) return std::nullopt;
  return kErrors[code - ({first})];
}}

std::string_view NameOf(KafkaError error) {{ return kErrors[CodeOf(error) - ({first})].name; }}

}}  // namespace millrace::kafka
""")
    return "".join(out)

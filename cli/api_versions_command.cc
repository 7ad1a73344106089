// `millrace api-versions`: which APIs and versions each broker speaks, as kafka-broker-api-versions
// prints it; health checks of images call it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "common/json/json_writer.h"
#include "proto/kafka/api_versions_request.h"
#include "proto/kafka/api_versions_response.h"

namespace millrace {
namespace {

std::string RangeText(int16_t min, int16_t max) {
  return min == max ? fmt::format("{}", min) : fmt::format("{} to {}", min, max);
}

std::string LineOf(int16_t key, int16_t min, int16_t max) {
  const kafka::ApiInfo* api = kafka::FindApi(key);
  if (api == nullptr)
    return fmt::format("\tUNKNOWN({}): {} [unusable: unknown]", key, RangeText(min, max));
  const int16_t usable = std::min(max, api->max_served);
  if (usable < std::max(min, api->min_served)) {
    return fmt::format("\t{}({}): {} [unusable: no common version]", api->name, key,
                       RangeText(min, max));
  }
  return fmt::format("\t{}({}): {} [usable: {}]", api->name, key, RangeText(min, max), usable);
}

void RangesJson(const kafka::ApiVersionsResponse& versions, JsonWriter& json) {
  json.Key("apis").BeginArray();
  for (const auto& served : versions.api_keys) {
    const kafka::ApiInfo* api = kafka::FindApi(served.api_key);
    json.BeginObject().Key("key").Number(served.api_key).Key("name");
    api != nullptr ? json.String(api->name) : json.Null();
    json.Key("min").Number(served.min_version).Key("max").Number(served.max_version).EndObject();
  }
  json.EndArray();
}

Task<int> ShowApiVersions(ClientSession* session, std::shared_ptr<ClientArguments> arguments) {
  absl::StatusOr<kafka::MetadataResponse> metadata = co_await session->client.Metadata(
      std::vector<std::string>(), /*create=*/false, session->Deadline());
  if (!metadata.ok()) {
    PrintError(metadata.status());
    co_return kExitFailed;
  }
  int exit_status = kExitOk;
  JsonWriter json;
  json.BeginArray();
  for (const auto& broker : metadata->brokers) {
    kafka::ApiVersionsRequest request;
    request.client_software_name = "millrace";
    request.client_software_version = VersionText();
    absl::StatusOr<kafka::ApiVersionsResponse> versions =
        co_await session->client.CallBroker<kafka::ApiVersionsResponse>(
            BrokerId(broker.node_id), std::move(request), session->Deadline());
    const std::string who = fmt::format("{}:{} (id: {} rack: {} isFenced: false)", broker.host,
                                        broker.port, broker.node_id, broker.rack.value_or("null"));
    json.BeginObject().Key("id").Number(broker.node_id).Key("host").String(broker.host);
    json.Key("port").Number(broker.port);
    if (!versions.ok()) {
      const std::string why(versions.status().message());
      json.Key("error").String(why).EndObject();
      if (arguments->json()) {
        PrintError(fmt::format("{}: {}", who, why));
      } else {
        PrintOutput(fmt::format("{} -> ERROR: {}\n", who, why));
      }
      exit_status = kExitFailed;
      continue;
    }
    RangesJson(*versions, json);
    json.EndObject();
    if (arguments->json()) continue;
    std::string text = who + " -> (\n";
    for (size_t i = 0; i < versions->api_keys.size(); ++i) {
      const auto& api = versions->api_keys[i];
      text += LineOf(api.api_key, api.min_version, api.max_version);
      text += i + 1 < versions->api_keys.size() ? ",\n" : "\n";
    }
    PrintOutput(text + ")\n");
  }
  json.EndArray();
  if (arguments->json()) PrintOutput(json.text() + "\n");
  co_return exit_status;
}

}  // namespace

void AddApiVersionsCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<ClientArguments>();
  Command verb =
      program.AddVerb("api-versions", "Print which APIs and versions each broker speaks");
  AddClientOptions(verb, *arguments);
  verb.OnChosen([arguments, &chosen] {
    chosen = [arguments] {
      return RunClientVerb(*arguments, [arguments](ClientSession* session) {
        return ShowApiVersions(session, arguments);
      });
    };
  });
}

}  // namespace millrace

// The columns of the table of broker keys (config_keys.h). The table itself is spread over the
// headers of this folder, one per subject; a row reads
//
//   {name, type, default, what is accepted, who may change it, what we do with it, meaning [,
//   kHidden]}
#pragma once

#include <optional>
#include <string_view>

#include "common/config/config_value.h"

namespace millrace {

// Where a value may be changed while the server runs (IncrementalAlterConfigs), here.
enum class UpdateScope {
  kReadOnly,     // In the file only.
  kPerBroker,    // For one broker.
  kClusterWide,  // For one broker or for all.
};

struct KeyUse {
  enum class Kind {
    kUsed,       // It does what it says.
    kNotYet,     // Checked, and without effect until a feature is served.
    kNotNeeded,  // Without effect by design; `note` says what we do instead.
    kRemoved,    // Kafka 4 no longer knows it; `note` says what to use now.
  };
  Kind kind;
  std::string_view note;  // A full sentence; empty for kUsed.
};

constexpr KeyUse Used() { return {KeyUse::Kind::kUsed, {}}; }
constexpr KeyUse NotYet(std::string_view note) { return {KeyUse::Kind::kNotYet, note}; }
constexpr KeyUse NotNeeded(std::string_view note) { return {KeyUse::Kind::kNotNeeded, note}; }
constexpr KeyUse Removed(std::string_view note) { return {KeyUse::Kind::kRemoved, note}; }

struct ConfigKey {
  std::string_view name;
  ConfigType type;
  std::optional<std::string_view> default_text;  // Nothing: not set.
  ValueRule rule;
  UpdateScope scope;
  KeyUse use;
  std::string_view about;  // One line, in our words.
  bool hidden = false;     // Internal or removed: accepted, but not described to clients.
};

inline constexpr std::nullopt_t kNull = std::nullopt;
inline constexpr bool kHidden = true;

// Notes that many rows share.
inline constexpr std::string_view kShardsInstead =
    "There are no thread pools: one thread per shard does all of it (millrace.shards).";
inline constexpr std::string_view kStreamsInstead =
    "Nodes do not ask each other request by request: what is new is sent over a stream, at once.";
inline constexpr std::string_view kRaftStreamsInstead =
    "Controllers send the metadata log over streams, in pieces of 256 KiB.";
inline constexpr std::string_view kNoShareGroupsYet =
    "Share groups are not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoStreamsGroupsYet =
    "Streams groups are not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoTransactionsYet =
    "Transactions are not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoQuotasYet =
    "Quotas are not enforced yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoTlsYet =
    "TLS is not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoSaslYet =
    "SASL is not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoAuthorizerYet =
    "Authorization is not served yet; a node that names an authorizer does not start.";
inline constexpr std::string_view kNoTokensYet =
    "Delegation tokens are not served yet; the value is checked and has no effect.";
inline constexpr std::string_view kNoTieredStorageYet =
    "Tiered storage is not served; the value is checked and has no effect.";

}  // namespace millrace

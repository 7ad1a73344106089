// What single groups can be configured with (config resource GROUP): the table of keys, what they may
// be set to, and what they come to. Pure.
//
// A key's value comes from the group's own override; else from the broker key it falls back on, or the
// built-in default. Keys of share and streams groups are accepted, checked and described as Kafka
// does; nothing goes by them here yet.
//
// Source: KIP-848, KIP-932, KIP-1071, KIP-1240; messages and the order of checks as Apache Kafka 4.3
//         answers them (observed). Keys that came with 4.4 are in the table as its documentation has
//         them.
#pragma once

#include <absl/status/status.h>

#include <chrono>
#include <optional>
#include <vector>

#include "common/config/config_source.h"

namespace millrace {

// What a group's coordinator goes by; nothing: what its brokers say.
struct ConsumerGroupOverrides {
  std::optional<std::chrono::milliseconds> session;
  std::optional<std::chrono::milliseconds> heartbeat;
  std::optional<std::chrono::milliseconds> assignment_interval;
};

// Total: a stored value that it cannot have (of another version, say) does not count.
ConsumerGroupOverrides ConsumerOverridesOf(const ConfigMap& overrides);

// Whether a group may have these overrides. kInvalidConfig with Kafka's message about the first that
// is wrong: an unknown key, a bad value, one beyond the bounds that `server` sets.
absl::Status ValidateGroupConfig(const ConfigMap& overrides, const ServerConfigValues& server);

// What DescribeConfigs tells of a group. The names point into the table.
std::vector<ConfigEntry> DescribeGroupConfig(const ConfigMap& overrides,
                                             const ServerConfigValues& server);

}  // namespace millrace

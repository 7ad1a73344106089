// Every configuration key of a broker or controller that we know: all of Kafka 4's, the ones it has
// dropped, and our own ("millrace."). For each: type, default, what is accepted, and what we do
// with it.
//
// The table is compiled in (keys/*.h) and constant. Defaults are Kafka's but for those that make a
// single node start without a file, and say so in their line (node.id, process.roles, listeners,
// controller.listener.names, log.dir), and for the time-outs between broker and controller
// (broker.session.timeout.ms, broker.heartbeat.interval.ms).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/config/keys/config_key.h"

namespace millrace {

// The whole table, each name once, in the order of the subjects.
std::span<const ConfigKey> BrokerConfigKeys();

// The row of `name`; nullptr for a name that is not in the table.
const ConfigKey* FindBrokerConfigKey(std::string_view name);

// What a name that is not in the table may still be: part of a family of keys.
struct KeyFamily {
  std::string_view prefix;  // "zookeeper.", "listener.name.", ...
  KeyUse use;
};
std::optional<KeyFamily> FindKeyFamily(std::string_view name);

// Whether the value of a key we do not know should be kept out of logs: its name speaks of a
// secret.
bool LooksSensitive(std::string_view name);

// The known name (hidden ones not counted) most like `name`; nothing if none is like it.
std::optional<std::string_view> NearestBrokerConfigKey(std::string_view name);

}  // namespace millrace

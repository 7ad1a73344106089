// Broker keys that are changed while the cluster runs: which may be, and what they may become. Pure.
//
// Source: KIP-226; the messages are those of Kafka 4.3, observed.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/config/config_source.h"

namespace millrace {

// Whether `values` may be what is set at runtime for one broker (`one_broker`) or for all. A key
// nobody knows may be set: plug-ins of Kafka have their own. kInvalidRequest (sic; Kafka's answer
// for a value it cannot have) with Kafka's message about what is wrong.
absl::Status ValidateRuntimeBrokerConfig(const ConfigMap& values, bool one_broker);

// What the broker key comes to. It must be in the table, be a whole number and have a default (CHECK);
// a stored value that it cannot have (of another version, say) does not count.
int64_t EffectiveBrokerInteger(std::string_view key, const ServerConfigValues& server);

// The same for keys that are true or false, and for any number.
bool EffectiveBrokerBoolean(std::string_view key, const ServerConfigValues& server);
double EffectiveBrokerNumber(std::string_view key, const ServerConfigValues& server);

// Whether APPEND and SUBTRACT make sense for the broker key: OK for lists, else kInvalidConfig with
// Kafka's message. `verb`: "append" or "subtract".
absl::Status CheckBrokerListKey(std::string_view key, std::string_view verb);

// Both below: the names in the entries point into what they are told of.
//
// What DescribeConfigs tells of the cluster-wide defaults of brokers: what is set, and nothing else.
std::vector<ConfigEntry> DescribeRuntimeDefaults(const ConfigMap& values);

// What it tells of keys nobody knows that are set at runtime for a broker or for all; their values
// may be secrets.
std::vector<ConfigEntry> DescribeUnknownKeys(const ServerConfigValues& server);

}  // namespace millrace

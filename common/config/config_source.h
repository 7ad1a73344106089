// Where a configuration value comes from, and what DescribeConfigs tells about it.
//
// Kafka's numbers for sources and types exist only in broker/, which maps these enums.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_value.h"

namespace millrace {

// Key to text. Ordered, because cores iterate it.
using ConfigMap = std::map<std::string, std::string, std::less<>>;

// In order of precedence: the first source that has a value wins.
enum class ConfigSource {
  kTopic,                 // Set on the topic.
  kGroup,                 // Set on the group.
  kDynamicBroker,         // Set at runtime for this broker.
  kDynamicDefaultBroker,  // Set at runtime for all brokers.
  kStaticBroker,          // In the file or on the command line.
  kDefault,               // Built in.
};

// What this broker's keys are set to, by source. Keys that are not set are absent; a value is one
// that BuildBrokerConfig or the validation of a runtime change has accepted.
struct ServerConfigValues {
  ConfigMap static_values;
  ConfigMap dynamic_default;
  ConfigMap dynamic_broker;

  friend bool operator==(const ServerConfigValues&, const ServerConfigValues&) = default;
};

// One place that sets, or would set, a value. A topic key's synonyms include the broker keys it
// falls back on, whose unit may differ (log.retention.hours for retention.ms): the text is theirs.
struct ConfigSynonym {
  std::string name;
  std::optional<std::string> value;  // Nothing for a secret.
  ConfigSource source;

  friend bool operator==(const ConfigSynonym&, const ConfigSynonym&) = default;
};

// One row of DescribeConfigs.
struct ConfigEntry {
  std::string_view name;
  std::optional<std::string> value;  // Nothing: not set, or a secret.
  ConfigSource source;
  bool is_read_only;
  bool is_sensitive;
  ConfigType type;
  std::vector<ConfigSynonym> synonyms;  // In order of precedence; the first is the one in force.
  std::string_view documentation;
};

}  // namespace millrace

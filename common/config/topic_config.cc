#include "common/config/topic_config.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "common/check.h"
#include "common/config/config_keys.h"
#include "common/config/edit_distance.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

// One place that sets a topic key: its raw text, and what the text means in the topic key's unit.
struct Setting {
  ConfigSynonym synonym;
  ConfigValue value;
};

int64_t MillisecondsPer(ServerSynonym::Unit unit) {
  switch (unit) {
    case ServerSynonym::Unit::kSame:
      return 1;
    case ServerSynonym::Unit::kMinutes:
      return 60'000;
    case ServerSynonym::Unit::kHours:
      return 3'600'000;
  }
  MR_CHECK(false);
}

// The value that a broker key gives a topic key; nothing if it gives none that the topic key
// accepts.
std::optional<ConfigValue> ValueOfSynonym(const TopicConfigKey& key, const ServerSynonym& synonym,
                                          std::string_view text) {
  if (key.type != ConfigType::kLong) {
    std::expected<ConfigValue, std::string> value =
        ParseConfigValue(key.name, key.type, key.rule, text);
    if (!value.has_value()) return std::nullopt;
    return *std::move(value);
  }
  std::expected<ConfigValue, std::string> number =
      ParseConfigValue(synonym.name, ConfigType::kLong, Any(), text);
  if (!number.has_value()) return std::nullopt;
  int64_t value = std::get<int64_t>(*number);
  // Any negative retention time of a broker means none, whatever its unit; -1 is how a topic says
  // so.
  if (key.name == "retention.ms" && value < 0) return ConfigValue(int64_t{-1});
  if (__builtin_mul_overflow(value, MillisecondsPer(synonym.unit), &value)) return std::nullopt;
  std::expected<ConfigValue, std::string> checked =
      ParseConfigValue(key.name, key.type, key.rule, ConfigValueText(value));
  if (!checked.has_value()) return std::nullopt;
  return *std::move(checked);
}

void AddServerSettings(const TopicConfigKey& key, const ConfigMap& values, ConfigSource source,
                       std::vector<Setting>& settings) {
  for (const ServerSynonym& synonym : key.synonyms) {
    auto found = values.find(synonym.name);
    if (found == values.end()) continue;
    std::optional<ConfigValue> value = ValueOfSynonym(key, synonym, found->second);
    if (!value.has_value()) continue;
    settings.push_back({{found->first, found->second, source}, *std::move(value)});
  }
}

void AddDefaults(const TopicConfigKey& key, std::vector<Setting>& settings) {
  for (const ServerSynonym& synonym : key.synonyms) {
    const ConfigKey* server_key = FindBrokerConfigKey(synonym.name);
    MR_CHECK(server_key != nullptr);
    if (!server_key->default_text.has_value()) continue;
    std::string text(*server_key->default_text);
    std::optional<ConfigValue> value = ValueOfSynonym(key, synonym, text);
    MR_CHECK(value.has_value());
    settings.push_back(
        {{std::string(synonym.name), text, ConfigSource::kDefault}, *std::move(value)});
  }
}

// Every place that sets the key, in order of precedence. Empty only for a key without broker
// synonyms and without an override.
std::vector<Setting> SettingsOf(const TopicConfigKey& key, const ConfigMap& overrides,
                                const ServerConfigValues& server) {
  std::vector<Setting> settings;
  if (auto own = overrides.find(key.name); own != overrides.end()) {
    std::expected<ConfigValue, std::string> value =
        ParseConfigValue(key.name, key.type, key.rule, own->second);
    if (value.has_value()) {
      std::string text = ConfigValueText(*value);
      settings.push_back({{own->first, std::move(text), ConfigSource::kTopic}, *std::move(value)});
    }
  }
  AddServerSettings(key, server.dynamic_broker, ConfigSource::kDynamicBroker, settings);
  AddServerSettings(key, server.dynamic_default, ConfigSource::kDynamicDefaultBroker, settings);
  AddServerSettings(key, server.static_values, ConfigSource::kStaticBroker, settings);
  AddDefaults(key, settings);
  return settings;
}

ConfigValue BuiltInValue(const TopicConfigKey& key) {
  std::expected<ConfigValue, std::string> value =
      ParseConfigValue(key.name, key.type, key.rule, key.default_text);
  MR_CHECK(value.has_value());
  return *std::move(value);
}

absl::Status InvalidConfig(std::string message) {
  return MakeError(ErrorKind::kInvalidConfig, std::move(message));
}

absl::Status CheckKeyAndValue(std::string_view name, std::string_view text) {
  const TopicConfigKey* key = FindTopicConfigKey(name);
  if (key != nullptr) {
    std::expected<ConfigValue, std::string> value =
        ParseConfigValue(key->name, key->type, key->rule, text);
    return value.has_value() ? absl::OkStatus() : InvalidConfig(std::move(value).error());
  }
  std::vector<std::string_view> names;
  for (const TopicConfigKey& known : TopicConfigKeys()) {
    if (!known.hidden) names.push_back(known.name);
  }
  std::string message = fmt::format("Unknown topic config name: {}", name);
  if (std::optional<std::string_view> nearest = NearestName(name, names)) {
    message += fmt::format(" (the nearest one known is {})", *nearest);
  }
  return InvalidConfig(std::move(message));
}

bool IsTrue(const ConfigMap& overrides, std::string_view name) {
  auto found = overrides.find(name);
  if (found == overrides.end()) return false;
  const TopicConfigKey* key = FindTopicConfigKey(name);
  return ParseConfigValue(name, key->type, key->rule, found->second) == ConfigValue(true);
}

}  // namespace

TopicConfig ResolveTopicConfig(const ConfigMap& overrides, const ServerConfigValues& server) {
  TopicConfig config;
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    std::vector<Setting> settings = SettingsOf(key, overrides, server);
    if (!settings.empty()) key.assign(settings.front().value, config);
  }
  return config;
}

absl::Status ValidateTopicConfig(const ConfigMap& overrides, const ServerConfigValues& server) {
  for (const auto& [name, text] : overrides) {
    absl::Status status = CheckKeyAndValue(name, text);
    if (!status.ok()) return status;
  }
  TopicConfig config = ResolveTopicConfig(overrides, server);
  if (config.max_compaction_lag.has_value() &&
      config.min_compaction_lag > *config.max_compaction_lag) {
    return InvalidConfig(fmt::format(
        "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
        config.min_compaction_lag.count(), config.max_compaction_lag->count()));
  }
  if (IsTrue(overrides, "remote.storage.enable")) {
    return InvalidConfig(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
        "remote log storage.");
  }
  return absl::OkStatus();
}

std::optional<std::string> WhatTopicsAccept(std::string_view server_key, std::string_view text) {
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    for (const ServerSynonym& synonym : key.synonyms) {
      if (synonym.name != server_key || ValueOfSynonym(key, synonym, text).has_value()) continue;
      return fmt::format("{} ({})", AcceptedValues(key.type, key.rule), key.name);
    }
  }
  return std::nullopt;
}

std::vector<ConfigEntry> DescribeTopicConfig(const ConfigMap& overrides,
                                             const ServerConfigValues& server) {
  std::vector<ConfigEntry> entries;
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    if (key.hidden) continue;
    ConfigEntry entry{.name = key.name,
                      .value = std::nullopt,
                      .source = ConfigSource::kDefault,
                      .is_read_only = false,
                      .is_sensitive = false,
                      .type = key.type,
                      .synonyms = {},
                      .documentation = key.about};
    std::vector<Setting> settings = SettingsOf(key, overrides, server);
    if (settings.empty()) {
      entry.value = ConfigValueText(BuiltInValue(key));
    } else {
      entry.value = ConfigValueText(settings.front().value);
      entry.source = settings.front().synonym.source;
    }
    for (Setting& setting : settings) entry.synonyms.push_back(std::move(setting.synonym));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace millrace

#include "common/config/runtime_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>

#include "common/check.h"
#include "common/config/config_keys.h"
#include "common/config/topic_config.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

absl::Status Refused(std::string message) {
  return MakeError(ErrorKind::kInvalidRequest, std::move(message));
}

// Kafka lets these change only for one listener, which is not served yet.
bool IsOfListeners(const ConfigKey& key) {
  return key.scope != UpdateScope::kReadOnly &&
         (key.name.starts_with("ssl.") || key.name.starts_with("sasl."));
}

absl::Status CheckNone(const std::vector<std::string_view>& keys, std::string_view complaint) {
  if (keys.empty()) return absl::OkStatus();
  return Refused(fmt::format("{}: [{}]", complaint, fmt::join(keys, ", ")));
}

absl::Status CheckValue(const ConfigKey& key, std::string_view text) {
  std::expected<ConfigValue, std::string> value =
      ParseConfigValue(key.name, key.type, key.rule, text);
  if (!value.has_value()) return Refused(std::move(value).error());
  if (std::optional<std::string> accepted = WhatTopicsAccept(key.name, text)) {
    return Refused(fmt::format("Invalid value {} for configuration {}: expected {}", text, key.name,
                               *accepted));
  }
  return absl::OkStatus();
}

// Secret, because nobody can say that it is none; and never changed by what is known here.
ConfigEntry UnknownEntry(std::string_view name, ConfigSource source) {
  return {.name = name,
          .value = std::nullopt,
          .source = source,
          .is_read_only = true,
          .is_sensitive = true,
          .type = ConfigType::kString,
          .synonyms = {{std::string(name), std::nullopt, source}},
          .documentation = {}};
}

}  // namespace

absl::Status ValidateRuntimeBrokerConfig(const ConfigMap& values, bool one_broker) {
  std::vector<std::string_view> fixed;
  std::vector<std::string_view> of_listeners;
  std::vector<std::string_view> of_one_broker;
  for (const auto& [name, text] : values) {
    const ConfigKey* key = FindBrokerConfigKey(name);
    if (key == nullptr) {
      // What may later close a door must not be taken in silence now.
      if (std::optional<KeyFamily> family = FindKeyFamily(name);
          family.has_value() && family->use.kind == KeyUse::Kind::kNotYet) {
        return Refused(fmt::format("{}: {}", name, family->use.note));
      }
      continue;
    }
    if (key->scope == UpdateScope::kReadOnly) fixed.push_back(key->name);
    if (IsOfListeners(*key)) of_listeners.push_back(key->name);
    if (key->scope == UpdateScope::kPerBroker) of_one_broker.push_back(key->name);
  }
  absl::Status status = CheckNone(fixed, "Cannot update these configs dynamically");
  status.Update(CheckNone(of_listeners,
                          "These security configs can be dynamically updated only per-listener "
                          "using the listener prefix"));
  for (const auto& [name, text] : values) {
    const ConfigKey* key = FindBrokerConfigKey(name);
    if (key != nullptr) status.Update(CheckValue(*key, text));
  }
  if (!one_broker) {
    status.Update(CheckNone(of_one_broker,
                            "Cannot update these configs at default cluster level, broker id must "
                            "be specified"));
  }
  return status;
}

namespace {

ConfigValue EffectiveBrokerValue(std::string_view name, const ServerConfigValues& server) {
  const ConfigKey* key = FindBrokerConfigKey(name);
  MR_CHECK(key != nullptr);
  for (const ConfigMap* values :
       {&server.dynamic_broker, &server.dynamic_default, &server.static_values}) {
    auto found = values->find(name);
    if (found == values->end()) continue;
    std::expected<ConfigValue, std::string> value =
        ParseConfigValue(name, key->type, key->rule, found->second);
    if (value.has_value()) return *std::move(value);
  }
  MR_CHECK(key->default_text.has_value());
  std::expected<ConfigValue, std::string> value =
      ParseConfigValue(name, key->type, key->rule, *key->default_text);
  MR_CHECK(value.has_value());
  return *std::move(value);
}

}  // namespace

int64_t EffectiveBrokerInteger(std::string_view name, const ServerConfigValues& server) {
  return std::get<int64_t>(EffectiveBrokerValue(name, server));
}

bool EffectiveBrokerBoolean(std::string_view name, const ServerConfigValues& server) {
  return std::get<bool>(EffectiveBrokerValue(name, server));
}

double EffectiveBrokerNumber(std::string_view name, const ServerConfigValues& server) {
  return std::get<double>(EffectiveBrokerValue(name, server));
}

absl::Status CheckBrokerListKey(std::string_view name, std::string_view verb) {
  const ConfigKey* key = FindBrokerConfigKey(name);
  if (key == nullptr) {
    return MakeError(ErrorKind::kInvalidConfig, fmt::format("Unknown config name: {}", name));
  }
  if (key->type == ConfigType::kList) return absl::OkStatus();
  return MakeError(ErrorKind::kInvalidConfig,
                   fmt::format("Config value {} is not allowed for config key: {}", verb, name));
}

std::vector<ConfigEntry> DescribeRuntimeDefaults(const ConfigMap& values) {
  constexpr ConfigSource kSource = ConfigSource::kDynamicDefaultBroker;
  std::vector<ConfigEntry> entries;
  for (const auto& [name, text] : values) {
    const ConfigKey* key = FindBrokerConfigKey(name);
    if (key == nullptr) {
      entries.push_back(UnknownEntry(name, kSource));
      continue;
    }
    const bool secret = key->type == ConfigType::kPassword;
    std::optional<std::string> value = secret ? std::nullopt : std::optional(text);
    entries.push_back({.name = key->name,
                       .value = value,
                       .source = kSource,
                       .is_read_only = false,
                       .is_sensitive = secret,
                       .type = key->type,
                       .synonyms = {{name, value, kSource}},
                       .documentation = key->about});
  }
  return entries;
}

std::vector<ConfigEntry> DescribeUnknownKeys(const ServerConfigValues& server) {
  std::vector<ConfigEntry> entries;
  for (const auto& [name, text] : server.dynamic_broker) {
    if (FindBrokerConfigKey(name) != nullptr) continue;
    entries.push_back(UnknownEntry(name, ConfigSource::kDynamicBroker));
    if (server.dynamic_default.contains(name)) {
      entries.back().synonyms.push_back({name, std::nullopt, ConfigSource::kDynamicDefaultBroker});
    }
  }
  for (const auto& [name, text] : server.dynamic_default) {
    if (FindBrokerConfigKey(name) != nullptr || server.dynamic_broker.contains(name)) continue;
    entries.push_back(UnknownEntry(name, ConfigSource::kDynamicDefaultBroker));
  }
  return entries;
}

}  // namespace millrace

#include "common/config/setting_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <expected>
#include <utility>

#include "common/check.h"
#include "common/config/config_keys.h"

namespace millrace {

SettingTable::SettingTable(const std::vector<ConfigSetting>& settings, bool strict,
                           ConfigReport& report)
    : report_(report) {
  std::vector<std::string> order;  // Complaints come in the order of the file.
  for (const ConfigSetting& setting : settings) {
    Entry entry{setting.value, setting.where, FindBrokerConfigKey(setting.key)};
    if (settings_.insert_or_assign(setting.key, std::move(entry)).second) {
      order.push_back(setting.key);
    }
  }
  for (const std::string& name : order) {
    const Entry& entry = settings_.at(name);
    if (entry.key != nullptr) {
      CheckKnown(name, entry);
    } else {
      CheckUnknown(name, strict);
    }
  }
}

void SettingTable::CheckKnown(const std::string& name, const Entry& entry) {
  const ConfigKey& key = *entry.key;
  if (key.use.kind == KeyUse::Kind::kRemoved) {
    Warn(name, fmt::format("Kafka 4 no longer has this key, it has no effect. {}", key.use.note));
    return;
  }
  std::expected<ConfigValue, std::string> value =
      ParseConfigValue(name, key.type, key.rule, entry.value);
  if (!value.has_value()) {
    Refuse(name, fmt::format("expected {}", AcceptedValues(key.type, key.rule)));
    return;
  }
  if (key.use.kind != KeyUse::Kind::kUsed) Note(name, key.use.note);
}

void SettingTable::CheckUnknown(const std::string& name, bool strict) {
  if (std::optional<KeyFamily> family = FindKeyFamily(name)) {
    if (family->use.kind == KeyUse::Kind::kRemoved) {
      Warn(name,
           fmt::format("Kafka 4 no longer has this key, it has no effect. {}", family->use.note));
    } else {
      Note(name, family->use.note);
    }
    return;
  }
  std::string message = "no such key, it has no effect";
  if (std::optional<std::string_view> nearest = NearestBrokerConfigKey(name)) {
    message += fmt::format("; the nearest one known is {}", *nearest);
  }
  if (strict) {
    Refuse(name, message);
  } else {
    Warn(name, message);
  }
}

bool SettingTable::AllGood(std::initializer_list<std::string_view> keys) const {
  return std::ranges::none_of(keys, [this](std::string_view key) { return IsBad(key); });
}

std::optional<ConfigValue> SettingTable::Find(std::string_view name) const {
  const ConfigKey* key = FindBrokerConfigKey(name);
  MR_CHECK(key != nullptr);
  std::optional<std::string_view> text = key->default_text;
  auto found = settings_.find(name);
  if (found != settings_.end() && !IsBad(name)) text = found->second.value;
  if (!text.has_value()) return std::nullopt;
  std::expected<ConfigValue, std::string> value =
      ParseConfigValue(name, key->type, key->rule, *text);
  MR_CHECK(value.has_value());  // Defaults are tested; settings were checked above.
  return *std::move(value);
}

ConfigValue SettingTable::Get(std::string_view key) const {
  std::optional<ConfigValue> value = Find(key);
  MR_CHECK(value.has_value());
  return *std::move(value);
}

bool SettingTable::Boolean(std::string_view key) const { return std::get<bool>(Get(key)); }

int64_t SettingTable::Integer(std::string_view key) const { return std::get<int64_t>(Get(key)); }

double SettingTable::Double(std::string_view key) const { return std::get<double>(Get(key)); }

std::string SettingTable::Text(std::string_view key) const {
  return std::get<std::string>(Get(key));
}

std::vector<std::string> SettingTable::List(std::string_view key) const {
  std::optional<ConfigValue> value = Find(key);
  if (!value.has_value()) return {};
  return std::get<std::vector<std::string>>(*std::move(value));
}

std::optional<std::string> SettingTable::OptionalText(std::string_view key) const {
  std::optional<ConfigValue> value = Find(key);
  if (!value.has_value()) return std::nullopt;
  std::string text = std::get<std::string>(*std::move(value));
  if (text.empty()) return std::nullopt;
  return text;
}

std::string SettingTable::Line(std::string_view key, std::string_view message) const {
  auto found = settings_.find(key);
  if (found == settings_.end()) return fmt::format("{}: {}", key, message);
  const Entry& entry = found->second;
  bool is_secret =
      entry.key != nullptr ? entry.key->type == ConfigType::kPassword : LooksSensitive(key);
  return fmt::format("{}: {}={}: {}", entry.where, key,
                     is_secret ? std::string_view("[hidden]") : std::string_view(entry.value),
                     message);
}

void SettingTable::Refuse(std::string_view key, std::string_view message) {
  report_.errors.push_back(Line(key, message));
  bad_.emplace(key);
}

void SettingTable::Warn(std::string_view key, std::string_view message) {
  report_.warnings.push_back(Line(key, message));
}

void SettingTable::Note(std::string_view key, std::string_view message) {
  report_.notes.push_back(Line(key, message));
}

ConfigMap SettingTable::Values() const {
  ConfigMap values;
  for (const auto& [name, entry] : settings_) {
    if (entry.key == nullptr || IsBad(name)) continue;
    if (entry.key->use.kind == KeyUse::Kind::kRemoved) continue;
    values.emplace(name, ConfigValueText(Get(name)));
  }
  return values;
}

}  // namespace millrace

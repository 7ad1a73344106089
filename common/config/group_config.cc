#include "common/config/group_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/config/config_keys.h"
#include "common/config/runtime_config.h"
#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

struct GroupConfigKey {
  std::string_view name;
  ConfigType type;
  ValueRule rule;
  // The broker keys it falls back on, and that bound it; "": there is none.
  std::string_view server_key;
  std::string_view min_key;
  std::string_view max_key;
  std::string_view default_text;  // Where there is no server_key.
  std::string_view about;
};

constexpr std::string_view kConsumerSession = "consumer.session.timeout.ms";
constexpr std::string_view kConsumerHeartbeat = "consumer.heartbeat.interval.ms";
constexpr std::string_view kConsumerAssignment = "consumer.assignment.interval.ms";
constexpr std::string_view kOffsetReset = "share.auto.offset.reset";

constexpr GroupConfigKey kTable[] = {
    {kConsumerSession, ConfigType::kInt, AtLeast(1), "group.consumer.session.timeout.ms",
     "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms", "",
     "A member that is silent this long is removed."},
    {kConsumerHeartbeat, ConfigType::kInt, AtLeast(1), "group.consumer.heartbeat.interval.ms",
     "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms", "",
     "How often members are told to send heartbeats."},
    {kConsumerAssignment, ConfigType::kInt, AtLeast(0), "group.consumer.assignment.interval.ms",
     "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms", "",
     "Least time between two assignments."},
    {"consumer.assignor.offload.enable", ConfigType::kBoolean, Any(),
     "group.consumer.assignor.offload.enable", "", "", "", "Assign in the background."},
    {"share.session.timeout.ms", ConfigType::kInt, AtLeast(1), "group.share.session.timeout.ms",
     "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms", "",
     "A member of a share group that is silent this long is removed."},
    {"share.heartbeat.interval.ms", ConfigType::kInt, AtLeast(1),
     "group.share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms",
     "group.share.max.heartbeat.interval.ms", "",
     "How often members of a share group are told to send heartbeats."},
    {"share.record.lock.duration.ms", ConfigType::kInt, AtLeast(1000),
     "group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms",
     "group.share.max.record.lock.duration.ms", "",
     "How long a delivered record is locked for its consumer."},
    {kOffsetReset, ConfigType::kString, Any(), "", "", "", "latest",
     "Where a share group begins in a partition."},
    {"share.isolation.level", ConfigType::kString, OneOf("read_committed|read_uncommitted"), "", "",
     "", "read_uncommitted", "Whether records of open transactions are delivered."},
    {"share.delivery.count.limit", ConfigType::kInt, AtLeast(2), "group.share.delivery.count.limit",
     "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit", "",
     "Deliveries of a record before it is given up."},
    {"share.partition.max.record.locks", ConfigType::kInt, AtLeast(100),
     "group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks",
     "group.share.max.partition.max.record.locks", "", "Records in flight per share-partition."},
    {"share.renew.acknowledge.enable", ConfigType::kBoolean, Any(), "", "", "", "true",
     "Whether consumers may prolong the lock of a record."},
    {"share.assignment.interval.ms", ConfigType::kInt, AtLeast(0),
     "group.share.assignment.interval.ms", "group.share.min.assignment.interval.ms",
     "group.share.max.assignment.interval.ms", "",
     "Least time between two assignments of a share group."},
    {"errors.deadletterqueue.topic.name", ConfigType::kString, Any(), "", "", "", "",
     "Where records of a share group go that are given up."},
    {"errors.deadletterqueue.copy.record.enable", ConfigType::kBoolean, Any(), "", "", "", "false",
     "Whether they go there whole."},
    {"streams.session.timeout.ms", ConfigType::kInt, AtLeast(1), "group.streams.session.timeout.ms",
     "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms", "",
     "A member of a streams group that is silent this long is removed."},
    {"streams.heartbeat.interval.ms", ConfigType::kInt, AtLeast(1),
     "group.streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms",
     "group.streams.max.heartbeat.interval.ms", "",
     "How often members of a streams group are told to send heartbeats."},
    {"streams.num.standby.replicas", ConfigType::kInt, AtLeast(0),
     "group.streams.num.standby.replicas", "", "group.streams.max.standby.replicas", "",
     "Standby copies of each task."},
    {"streams.initial.rebalance.delay.ms", ConfigType::kInt, AtLeast(0),
     "group.streams.initial.rebalance.delay.ms", "", "", "",
     "How long an empty streams group waits before it assigns."},
    {"streams.assignment.interval.ms", ConfigType::kInt, AtLeast(0),
     "group.streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms",
     "group.streams.max.assignment.interval.ms", "",
     "Least time between two assignments of a streams group."},
    {"streams.task.offset.interval.ms", ConfigType::kInt, AtLeast(0),
     "group.streams.task.offset.interval.ms", "group.streams.min.task.offset.interval.ms", "", "",
     "How often warm-up tasks report their offsets."},
};

const GroupConfigKey* Find(std::string_view name) {
  const auto* found = std::ranges::find(kTable, name, &GroupConfigKey::name);
  return found == std::end(kTable) ? nullptr : found;
}

absl::Status BadConfig(std::string message) {
  return MakeError(ErrorKind::kInvalidConfig, std::move(message));
}

// "PT1H30M", "P2DT0.5S": ISO 8601 as Java's Duration has it, and not negative.
bool IsDuration(std::string_view text) {
  if (text.empty() || std::toupper(static_cast<unsigned char>(text[0])) != 'P') return false;
  std::string_view units = "DT";  // What may still come.
  bool any = false;
  for (size_t at = 1; at < text.size();) {
    if (std::toupper(static_cast<unsigned char>(text[at])) == 'T') {
      if (!units.ends_with('T')) return false;
      units = "HMS";
      ++at;
      any = false;
      continue;
    }
    const size_t digits = at;
    while (at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) != 0)) ++at;
    if (at == digits || at == text.size()) return false;
    const bool fraction = text[at] == '.';
    if (fraction) {
      ++at;
      while (at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) != 0)) ++at;
      if (at == text.size()) return false;
    }
    const char unit = static_cast<char>(std::toupper(static_cast<unsigned char>(text[at++])));
    const size_t place = units.find(unit);
    if (place == std::string_view::npos || unit == 'T' || (fraction && unit != 'S')) return false;
    units.remove_prefix(place + 1);
    any = true;
  }
  return any;
}

absl::Status CheckOffsetReset(std::string_view text) {
  constexpr std::string_view kByDuration = "by_duration:";
  if (text == "earliest" || text == "latest") return absl::OkStatus();
  if (text.starts_with(kByDuration) && IsDuration(text.substr(kByDuration.size()))) {
    return absl::OkStatus();
  }
  return BadConfig(
      fmt::format("Invalid value {0} for configuration {1}: Invalid value `{0}` for configuration "
                  "{1}. The value must be either 'earliest', 'latest' or of the format "
                  "'by_duration:<PnDTnHnMn.nS>'.",
                  text, kOffsetReset));
}

absl::Status CheckValue(const GroupConfigKey& key, const std::string& text) {
  auto value = ParseConfigValue(key.name, key.type, key.rule, text);
  if (!value.has_value()) return BadConfig(std::move(value.error()));
  return key.name == kOffsetReset ? CheckOffsetReset(std::get<std::string>(*value))
                                  : absl::OkStatus();
}

// Of a key that is a whole number, with a server_key.
int64_t NumberOf(const GroupConfigKey& key, const ConfigMap& overrides,
                 const ServerConfigValues& server) {
  if (const auto own = overrides.find(key.name); own != overrides.end()) {
    const auto value = ParseConfigValue(key.name, key.type, key.rule, own->second);
    if (value.has_value()) return std::get<int64_t>(*value);
  }
  return EffectiveBrokerInteger(key.server_key, server);
}

absl::Status CheckBounds(const GroupConfigKey& key, const ConfigMap& overrides,
                         const ServerConfigValues& server) {
  const int64_t value = NumberOf(key, overrides, server);
  if (!key.min_key.empty() && value < EffectiveBrokerInteger(key.min_key, server)) {
    return BadConfig(fmt::format("{} must be greater than or equal to {}", key.name, key.min_key));
  }
  if (!key.max_key.empty() && value > EffectiveBrokerInteger(key.max_key, server)) {
    return BadConfig(fmt::format("{} must be less than or equal to {}", key.name, key.max_key));
  }
  return absl::OkStatus();
}

absl::Status CheckSession(std::string_view kind, const ConfigMap& overrides,
                          const ServerConfigValues& server) {
  const std::string session = fmt::format("{}.session.timeout.ms", kind);
  const std::string heartbeat = fmt::format("{}.heartbeat.interval.ms", kind);
  if (NumberOf(*Find(session), overrides, server) > NumberOf(*Find(heartbeat), overrides, server)) {
    return absl::OkStatus();
  }
  return BadConfig(fmt::format("{} must be greater than {}", session, heartbeat));
}

// What sets the key, in order of precedence; never empty.
std::vector<ConfigSynonym> SynonymsOf(const GroupConfigKey& key, const ConfigMap& overrides,
                                      const ServerConfigValues& server) {
  std::vector<ConfigSynonym> synonyms;
  if (const auto own = overrides.find(key.name); own != overrides.end()) {
    const auto value = ParseConfigValue(key.name, key.type, key.rule, own->second);
    if (value.has_value()) {
      synonyms.push_back({std::string(key.name), ConfigValueText(*value), ConfigSource::kGroup});
    }
  }
  if (key.server_key.empty()) {
    synonyms.push_back(
        {std::string(key.name), std::string(key.default_text), ConfigSource::kDefault});
    return synonyms;
  }
  const std::pair<const ConfigMap*, ConfigSource> kServer[] = {
      {&server.dynamic_broker, ConfigSource::kDynamicBroker},
      {&server.dynamic_default, ConfigSource::kDynamicDefaultBroker},
      {&server.static_values, ConfigSource::kStaticBroker}};
  for (const auto& [values, source] : kServer) {
    const auto found = values->find(key.server_key);
    if (found != values->end()) synonyms.push_back({found->first, found->second, source});
  }
  const ConfigKey* known = FindBrokerConfigKey(key.server_key);
  MR_CHECK(known != nullptr);
  synonyms.push_back({std::string(key.server_key), std::string(known->default_text.value_or("")),
                      ConfigSource::kDefault});
  return synonyms;
}

}  // namespace

ConsumerGroupOverrides ConsumerOverridesOf(const ConfigMap& overrides) {
  const auto find = [&](std::string_view name) -> std::optional<std::chrono::milliseconds> {
    const auto own = overrides.find(name);
    if (own == overrides.end()) return std::nullopt;
    const GroupConfigKey& key = *Find(name);
    const auto value = ParseConfigValue(key.name, key.type, key.rule, own->second);
    if (!value.has_value()) return std::nullopt;
    return std::chrono::milliseconds(std::get<int64_t>(*value));
  };
  return {.session = find(kConsumerSession),
          .heartbeat = find(kConsumerHeartbeat),
          .assignment_interval = find(kConsumerAssignment)};
}

absl::Status ValidateGroupConfig(const ConfigMap& overrides, const ServerConfigValues& server) {
  for (const auto& [name, text] : overrides) {
    if (Find(name) == nullptr) return BadConfig("Unknown group config name: " + name);
  }
  for (const auto& [name, text] : overrides) MR_RETURN_IF_ERROR(CheckValue(*Find(name), text));
  for (const GroupConfigKey& key : kTable) {
    if (key.min_key.empty() && key.max_key.empty()) continue;
    // What the brokers' own keys come to is their affair.
    if (overrides.contains(key.name)) MR_RETURN_IF_ERROR(CheckBounds(key, overrides, server));
  }
  for (const std::string_view kind : {"consumer", "share", "streams"}) {
    MR_RETURN_IF_ERROR(CheckSession(kind, overrides, server));
  }
  return absl::OkStatus();
}

std::vector<ConfigEntry> DescribeGroupConfig(const ConfigMap& overrides,
                                             const ServerConfigValues& server) {
  std::vector<ConfigEntry> entries;
  for (const GroupConfigKey& key : kTable) {
    std::vector<ConfigSynonym> synonyms = SynonymsOf(key, overrides, server);
    entries.push_back({.name = key.name,
                       .value = synonyms.front().value,
                       .source = synonyms.front().source,
                       .is_read_only = false,
                       .is_sensitive = false,
                       .type = key.type,
                       .synonyms = std::move(synonyms),
                       .documentation = key.about});
  }
  return entries;
}

}  // namespace millrace

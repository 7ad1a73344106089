#include "controller/config_decisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "common/config/config_keys.h"
#include "common/config/group_config.h"
#include "common/config/runtime_config.h"
#include "common/config/topic_config.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/effective_config.h"
#include "controller/image/feature_levels.h"
#include "controller/request_records.h"

namespace millrace {
namespace {

constexpr std::string_view kMinIsr = "min.insync.replicas";

absl::Status BadRequest(std::string message) {
  return MakeError(ErrorKind::kInvalidRequest, std::move(message));
}
absl::Status BadConfig(std::string message) {
  return MakeError(ErrorKind::kInvalidConfig, std::move(message));
}

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    parts.emplace_back(TrimConfigText(text.substr(0, comma)));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return parts;
}

// `list` with what `value` names added or taken away; what is there already, or is not, is no error.
std::string EditedList(std::string_view list, ConfigOp op, std::string_view value) {
  std::vector<std::string> parts = Split(list);
  const std::vector<std::string> edit = Split(value);
  if (op == ConfigOp::kAppend) {
    std::set<std::string> there(parts.begin(), parts.end());
    for (const std::string& part : edit) {
      if (there.insert(part).second) parts.push_back(part);
    }
  } else {
    const std::set<std::string> gone(edit.begin(), edit.end());
    std::erase_if(parts, [&gone](const std::string& part) { return gone.contains(part); });
  }
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

std::string_view NameOf(ConfigOp op) {
  switch (op) {
    case ConfigOp::kSet:
      return "SET";
    case ConfigOp::kDelete:
      return "DELETE";
    case ConfigOp::kAppend:
      return "APPEND";
    case ConfigOp::kSubtract:
      return "SUBTRACT";
  }
  return "";
}

absl::Status CheckListKey(ConfigResource type, const ConfigChange& change) {
  if (type == ConfigResource::kBroker) {
    return CheckBrokerListKey(change.key, change.op == ConfigOp::kAppend ? "append" : "subtract");
  }
  const TopicConfigKey* key =
      type == ConfigResource::kTopic ? FindTopicConfigKey(change.key) : nullptr;
  if (key != nullptr && key->type == ConfigType::kList) return absl::OkStatus();
  return BadConfig(fmt::format("Can't {} to key {} because its type is not LIST.",
                               NameOf(change.op), change.key));
}

// The value in force, for a list that is to be edited.
std::string InForce(ConfigResource type, const std::string& key, const ConfigOverrides& overrides,
                    const ServerConfigValues& server) {
  if (auto own = overrides.find(key); own != overrides.end()) return own->second;
  if (type == ConfigResource::kTopic) {
    for (const ConfigEntry& entry : DescribeTopicConfig(overrides, server)) {
      if (entry.name == key) return entry.value.value_or("");
    }
    return "";
  }
  for (const ConfigMap* values : {&server.dynamic_default, &server.static_values}) {
    if (auto found = values->find(key); found != values->end()) return found->second;
  }
  const ConfigKey* known = FindBrokerConfigKey(key);
  return std::string(known == nullptr ? "" : known->default_text.value_or(""));
}

absl::StatusOr<ConfigOverrides> Changed(const AlterConfigsRequest& request,
                                        const ConfigOverrides& before,
                                        const ServerConfigValues& server) {
  ConfigOverrides after = before;
  for (const ConfigChange& change : request.changes) {
    switch (change.op) {
      case ConfigOp::kSet:
        after[change.key] = *change.value;
        break;
      case ConfigOp::kDelete:
        after.erase(change.key);
        break;
      case ConfigOp::kAppend:
      case ConfigOp::kSubtract:
        MR_RETURN_IF_ERROR(CheckListKey(request.type, change));
        after[change.key] =
            EditedList(InForce(request.type, change.key, before, server), change.op, *change.value);
        break;
    }
  }
  return after;
}

// Duplicate keys, and values that are not there.
absl::Status CheckForm(const AlterConfigsRequest& request) {
  std::set<std::string_view> keys;
  std::string without_value;
  for (const ConfigChange& change : request.changes) {
    if (!keys.insert(change.key).second) return BadRequest("Error due to duplicate config keys");
    if (change.op == ConfigOp::kDelete || change.value.has_value()) continue;
    without_value += (without_value.empty() ? "" : ", ") + change.key;
  }
  if (without_value.empty()) return absl::OkStatus();
  return BadRequest("Null value not supported for : " + without_value);
}

// Nothing for "", which is all brokers.
absl::StatusOr<std::optional<BrokerId>> BrokerNamed(const std::string& name) {
  if (name.empty()) return std::optional<BrokerId>();
  int32_t id = 0;
  const char* end = name.data() + name.size();
  auto [stopped, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc() || stopped != end) {
    return BadRequest("Unable to parse broker name as a base 10 number.");
  }
  if (id < 0) return BadRequest("Invalid negative broker ID.");
  return std::optional(BrokerId(id));
}

size_t BytesOf(const ConfigOverrides& overrides) {
  size_t bytes = 0;
  for (const auto& [key, value] : overrides) bytes += key.size() + value.size();
  return bytes;
}

absl::Status CheckBounds(const ConfigOverrides& overrides,
                         size_t bytes_max = kOverrideBytesPerResourceMax) {
  if (overrides.size() <= kOverridesPerResourceMax && BytesOf(overrides) <= bytes_max) {
    return absl::OkStatus();
  }
  return MakeError(ErrorKind::kPolicyViolation,
                   fmt::format("A resource may have at most {} overrides of {} bytes together.",
                               kOverridesPerResourceMax, bytes_max));
}

// With eligible leader replicas the promise of min.insync.replicas must be the same on every broker
// (KIP-966).
absl::Status CheckMinIsrOfBrokers(const MetadataImage& image, std::optional<BrokerId> broker,
                                  const ConfigOverrides& before, const ConfigOverrides& after) {
  if (image.feature_level(kElrVersion) == 0) return absl::OkStatus();
  if (broker.has_value() && after.contains(kMinIsr)) {
    return BadConfig("Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
  }
  if (!broker.has_value() && before.contains(kMinIsr) && !after.contains(kMinIsr)) {
    return BadConfig("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
  }
  return absl::OkStatus();
}

MetadataRecords RecordsOfChange(const AlterConfigsRequest& request, const ConfigOverrides& before,
                                const ConfigOverrides& after) {
  MetadataRecords records;
  for (const auto& [key, value] : after) {
    auto old = before.find(key);
    if (old != before.end() && old->second == value) continue;
    records.emplace_back(ConfigRecord{request.type, request.name, key, value});
  }
  for (const auto& [key, value] : before) {
    if (!after.contains(key)) {
      records.emplace_back(ConfigRecord{request.type, request.name, key, std::nullopt});
    }
  }
  return records;
}

void ClearElr(const TopicImage& topic, MetadataRecords* records) {
  for (size_t p = 0; p < topic.partitions.size(); ++p) {
    // While nobody is in sync they are all there is to elect.
    if (topic.partitions[p].isr.empty()) continue;
    if (topic.partitions[p].elr.empty() && topic.partitions[p].last_known_elr.empty()) continue;
    PartitionImage state = topic.partitions[p];
    state.elr.clear();
    state.last_known_elr.clear();
    state.partition_epoch = PartitionEpoch(state.partition_epoch.value() + 1);
    records->emplace_back(
        PartitionRecord{topic.topic_id, PartitionId(static_cast<int32_t>(p)), std::move(state)});
  }
}

class Decider {
 public:
  Decider(const MetadataImage& image, const ServerConfigValues& own)
      : image_(image), server_(EffectiveServerValues(own, image)) {}

  // What all the overrides of a resource are to become; nothing is added where it is refused.
  template <typename Edit>
  absl::Status Alter(const AlterConfigsRequest& request, Edit edit) {
    MR_RETURN_IF_ERROR(CheckForm(request));
    switch (request.type) {
      case ConfigResource::kTopic:
        return AlterTopic(request, edit);
      case ConfigResource::kBroker:
        return AlterBroker(request, edit);
      case ConfigResource::kGroup:
        return AlterGroup(request, edit);
    }
    return BadRequest("Unknown resource type.");
  }

  // With the partitions whose eligible leader replicas a changed min.insync.replicas empties. They
  // come first: those may be very many, in several entries of the log, and a controller that dies
  // in between must not leave a promise that lets leaders commit what those replicas lack.
  MetadataRecords TakeRecords() {
    MetadataRecords records;
    ClearElrWhereNeeded(&records);
    std::ranges::move(records_.Take(), std::back_inserter(records));
    return records;
  }

 private:
  template <typename Edit>
  absl::Status AlterTopic(const AlterConfigsRequest& request, Edit edit) {
    if (request.name.empty()) return BadRequest("Default topic resources are not allowed.");
    MR_RETURN_IF_ERROR(ValidateTopicName(request.name));
    const MetadataImage::Topic topic = image_.FindTopic(request.name);
    const ConfigOverrides before = topic == nullptr ? ConfigOverrides() : topic->configs;
    MR_ASSIGN_OR_RETURN(const ConfigOverrides after, edit(request, before, server_));
    MR_RETURN_IF_ERROR(CheckBounds(after));
    MR_RETURN_IF_ERROR(ValidateTopicConfig(after, server_));
    if (topic == nullptr) {
      return MakeError(ErrorKind::kUnknownTopicOrPartition,
                       fmt::format("The topic '{}' does not exist.", request.name));
    }
    MR_RETURN_IF_ERROR(records_.Add(RecordsOfChange(request, before, after)));
    if (ValueOf(before) != ValueOf(after)) min_isr_changed_.insert(request.name);
    return absl::OkStatus();
  }

  template <typename Edit>
  absl::Status AlterBroker(const AlterConfigsRequest& request, Edit edit) {
    MR_ASSIGN_OR_RETURN(const std::optional<BrokerId> broker, BrokerNamed(request.name));
    const ConfigOverrides& before =
        broker.has_value() ? image_.broker_configs(*broker) : image_.broker_defaults();
    MR_ASSIGN_OR_RETURN(const ConfigOverrides after, edit(request, before, server_));
    MR_RETURN_IF_ERROR(CheckBounds(after));
    MR_RETURN_IF_ERROR(ValidateRuntimeBrokerConfig(after, broker.has_value()));
    MR_RETURN_IF_ERROR(CheckMinIsrOfBrokers(image_, broker, before, after));
    if (broker.has_value() && image_.FindBroker(*broker) == nullptr) {
      return MakeError(ErrorKind::kBrokerIdNotRegistered,
                       fmt::format("No broker with id {} found.", *broker));
    }
    MR_RETURN_IF_ERROR(records_.Add(RecordsOfChange(request, before, after)));
    if (!broker.has_value() && ValueOf(before) != ValueOf(after)) min_isr_of_all_changed_ = true;
    return absl::OkStatus();
  }

  template <typename Edit>
  absl::Status AlterGroup(const AlterConfigsRequest& request, Edit edit) {
    if (request.name.empty()) return BadRequest("Default group resources are not allowed.");
    const ConfigOverrides& before = image_.group_configs(request.name);
    MR_ASSIGN_OR_RETURN(const ConfigOverrides after, edit(request, before, server_));
    // What an earlier version let in may go again.
    const bool shrinks = BytesOf(after) < BytesOf(before);
    if (!shrinks && request.name.size() > kConfiguredGroupNameBytesMax) {
      return MakeError(ErrorKind::kPolicyViolation,
                       fmt::format("The name of a group that is configured may have at most {} "
                                   "bytes.",
                                   kConfiguredGroupNameBytesMax));
    }
    if (!shrinks) MR_RETURN_IF_ERROR(CheckBounds(after, kOverrideBytesPerGroupMax));
    MR_RETURN_IF_ERROR(ValidateGroupConfig(after, server_));
    const bool fresh = before.empty() && !after.empty();
    if (fresh && image_.all_group_configs().size() + new_groups_ >= kConfiguredGroupsMax) {
      return MakeError(ErrorKind::kPolicyViolation,
                       fmt::format("At most {} groups may be configured.", kConfiguredGroupsMax));
    }
    MR_RETURN_IF_ERROR(records_.Add(RecordsOfChange(request, before, after)));
    if (fresh) ++new_groups_;
    return absl::OkStatus();
  }

  void ClearElrWhereNeeded(MetadataRecords* records) const {
    if (image_.feature_level(kElrVersion) == 0) return;
    if (min_isr_of_all_changed_) {
      image_.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
        if (!topic->configs.contains(kMinIsr)) ClearElr(*topic, records);
        return true;
      });
    }
    for (const std::string& name : min_isr_changed_) {
      const MetadataImage::Topic topic = image_.FindTopic(name);
      const bool cleared = min_isr_of_all_changed_ && !topic->configs.contains(kMinIsr);
      if (!cleared) ClearElr(*topic, records);
    }
  }

  static std::string_view ValueOf(const ConfigOverrides& overrides) {
    auto found = overrides.find(kMinIsr);
    return found == overrides.end() ? std::string_view() : std::string_view(found->second);
  }

  const MetadataImage& image_;
  const ServerConfigValues server_;
  RequestRecords records_;
  std::set<std::string> min_isr_changed_;
  bool min_isr_of_all_changed_ = false;
  size_t new_groups_ = 0;
};

template <typename Edit>
Decision<AlterConfigsReply> Decide(const MetadataImage& image, const ServerConfigValues& own,
                                   const std::vector<AlterConfigsRequest>& requests,
                                   bool validate_only, Edit edit) {
  std::map<std::pair<ConfigResource, std::string_view>, int> times_named;
  for (const AlterConfigsRequest& request : requests) ++times_named[{request.type, request.name}];
  Decision<AlterConfigsReply> decision;
  Decider decider(image, own);
  for (const AlterConfigsRequest& request : requests) {
    absl::Status status = times_named[{request.type, request.name}] > 1
                              ? BadRequest("Each resource must appear at most once.")
                              : decider.Alter(request, edit);
    decision.replies.push_back({request.type, request.name, std::move(status)});
  }
  if (validate_only) return decision;
  decision.records = decider.TakeRecords();
  return decision;
}

// For AlterConfigs: only what is named stays.
absl::StatusOr<ConfigOverrides> Replaced(const AlterConfigsRequest& request, const ConfigOverrides&,
                                         const ServerConfigValues&) {
  ConfigOverrides after;
  for (const ConfigChange& change : request.changes) after[change.key] = *change.value;
  return after;
}

}  // namespace

Decision<AlterConfigsReply> DecideAlterConfigs(const MetadataImage& image,
                                               const ServerConfigValues& own,
                                               const std::vector<AlterConfigsRequest>& requests,
                                               bool validate_only) {
  return Decide(image, own, requests, validate_only, Changed);
}

Decision<AlterConfigsReply> DecideReplaceConfigs(const MetadataImage& image,
                                                 const ServerConfigValues& own,
                                                 const std::vector<AlterConfigsRequest>& requests,
                                                 bool validate_only) {
  return Decide(image, own, requests, validate_only, Replaced);
}

}  // namespace millrace

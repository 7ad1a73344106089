#include "broker/groups/consumer_group_state.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

// Of an older broker, or of another implementation, a list may be unsorted.
std::vector<std::string> SortedNames(std::vector<std::string> names) {
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  return names;
}

void RemoveRepeated(std::vector<kafka::ConsumerGroupMemberMetadataValue::ClassicProtocol>& known) {
  std::set<std::string> seen;
  std::erase_if(known, [&](const auto& protocol) { return !seen.insert(protocol.name).second; });
}

int32_t ToMs(Duration duration) {
  const int64_t ms = std::chrono::duration_cast<milliseconds>(duration).count();
  return static_cast<int32_t>(std::clamp<int64_t>(ms, 0, INT32_MAX));
}

template <typename Key>
void CountKey(std::map<Key, uint32_t>& counts, const Key& key, bool add) {
  if (add) {
    ++counts[key];
    return;
  }
  const auto it = counts.find(key);
  if (it != counts.end() && --it->second == 0) counts.erase(it);
}

}  // namespace

void ConsumerGroupState::Replay(const GroupRecord& record) {
  std::visit([this](const auto& typed) { ReplayOne(typed); }, record);
}

void ConsumerGroupState::ReplayOne(const ConsumerGroupEpochRecord& record) {
  group_epoch_ = record.value.transform([](const auto& value) { return value.epoch; });
  metadata_hash_ = record.value.has_value() ? record.value->metadata_hash : 0;
}

void ConsumerGroupState::ReplayOne(const ConsumerMemberRecord& record) {
  const std::string& id = record.key.member_id;
  ConsumerMember& member = Touch(id);
  Count(member, false);
  ConsumerMember next{.member_id = id};
  next.current = std::move(member.current);
  next.has_current_record = member.has_current_record;
  if (record.value.has_value()) {
    const kafka::ConsumerGroupMemberMetadataValue& value = *record.value;
    next.instance_id = value.instance_id;
    next.rack = value.rack_id;
    next.client_id = value.client_id;
    next.client_host = value.client_host;
    next.topic_names = SortedNames(value.subscribed_topic_names);
    if (value.subscribed_topic_regex != "") next.topic_regex = value.subscribed_topic_regex;
    next.rebalance_timeout = milliseconds(std::max(value.rebalance_timeout_ms, 0));
    next.assignor = value.server_assignor;
    next.classic = value.classic_member_metadata;
    // Whoever looks for its protocols finds one, and each once, whatever the record says.
    if (next.classic.has_value()) {
      if (next.classic->supported_protocols.empty()) {
        next.classic->supported_protocols.emplace_back();
      }
      RemoveRepeated(next.classic->supported_protocols);
    }
    next.has_member_record = true;
  }
  member = std::move(next);
  Count(member, true);
  ForgetIfGone(id);
}

void ConsumerGroupState::ReplayOne(const TargetAssignmentEpochRecord& record) {
  assignment_epoch_ =
      record.value.transform([](const auto& value) { return value.assignment_epoch; });
  assignment_timestamp_ = record.value.has_value() ? record.value->assignment_timestamp : 0;
}

void ConsumerGroupState::ReplayOne(const TargetAssignmentRecord& record) {
  if (record.value.has_value()) {
    targets_[record.key.member_id] = FromTopics(record.value->topic_partitions);
  } else {
    targets_.erase(record.key.member_id);
  }
}

void ConsumerGroupState::ReplayOne(const CurrentAssignmentRecord& record) {
  const std::string& id = record.key.member_id;
  ConsumerMember& member = Touch(id);
  Hold(member.current, false);
  member.current = record.value.has_value() ? FromRecord(*record.value) : CurrentAssignment{};
  member.has_current_record = record.value.has_value();
  Hold(member.current, true);
  ForgetIfGone(id);
}

void ConsumerGroupState::ReplayOne(const RegexRecord& record) {
  const std::string& regex = record.key.regular_expression;
  if (!record.value.has_value()) {
    resolved_.erase(regex);
    return;
  }
  ResolvedRegex& resolved = resolved_[regex];
  resolved.topics = {record.value->topics.begin(), record.value->topics.end()};
  resolved.version = record.value->version;
  resolved.resolved = Timestamp(record.value->timestamp);
}

ConsumerMember& ConsumerGroupState::Touch(const std::string& member_id) {
  const auto [it, fresh] = members_.try_emplace(member_id);
  if (fresh) it->second.member_id = member_id;
  return it->second;
}

void ConsumerGroupState::ForgetIfGone(const std::string& member_id) {
  const auto it = members_.find(member_id);
  if (!it->second.has_member_record && !it->second.has_current_record) members_.erase(it);
}

void ConsumerGroupState::Count(const ConsumerMember& member, bool add) {
  for (const std::string& name : member.topic_names) CountKey(names_, name, add);
  if (member.topic_regex.has_value()) CountKey(regexes_, *member.topic_regex, add);
  if (member.classic.has_value()) {
    classic_count_ += add ? 1 : -1;
    for (const auto& protocol : member.classic->supported_protocols) {
      CountKey(supporters_, protocol.name, add);
    }
  }
  if (!member.instance_id.has_value()) return;
  const auto it = static_members_.find(*member.instance_id);
  if (add) {
    static_members_[*member.instance_id] = member.member_id;
  } else if (it != static_members_.end() && it->second == member.member_id) {
    // Else another member has taken its place already.
    static_members_.erase(it);
  }
}

void ConsumerGroupState::Hold(const CurrentAssignment& current, bool add) {
  for (const HeldPartition& held : current.assigned) CountKey(holders_, held.partition, add);
  for (const HeldPartition& held : current.revoking) CountKey(holders_, held.partition, add);
}

bool ConsumerGroupState::has_records() const {
  return group_epoch_.has_value() || assignment_epoch_.has_value() || !members_.empty() ||
         !targets_.empty() || !resolved_.empty();
}

const ConsumerMember* ConsumerGroupState::Find(const std::string& member_id) const {
  const auto it = members_.find(member_id);
  return it == members_.end() ? nullptr : &it->second;
}

const ConsumerMember* ConsumerGroupState::FindStatic(const std::string& instance_id) const {
  const auto it = static_members_.find(instance_id);
  return it == static_members_.end() ? nullptr : Find(it->second);
}

const PartitionList& ConsumerGroupState::Target(const std::string& member_id) const {
  static const PartitionList kNone;
  const auto it = targets_.find(member_id);
  return it == targets_.end() ? kNone : it->second;
}

bool ConsumerGroupState::HeldByOther(const TopicPartitionId& partition,
                                     const ConsumerMember* member) const {
  const auto it = holders_.find(partition);
  if (it == holders_.end()) return false;
  uint32_t own = 0;
  if (member != nullptr) {
    own += FindHeld(member->current.assigned, partition) != nullptr;
    own += FindHeld(member->current.revoking, partition) != nullptr;
  }
  return it->second > own;
}

bool ConsumerGroupState::AllKnow(const std::string& protocol) const {
  const auto it = supporters_.find(protocol);
  return (it == supporters_.end() ? 0 : it->second) == classic_count_;
}

const std::string& ConsumerGroupState::CommonProtocol(
    const kafka::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata& classic) const {
  const auto& known = classic.supported_protocols;
  const auto common =
      std::ranges::find_if(known, [&](const auto& protocol) { return AllKnow(protocol.name); });
  return common == known.end() ? known.front().name : common->name;
}

std::set<std::string> ConsumerGroupState::SubscribedTopics() const {
  std::set<std::string> topics;
  for (const auto& [name, _] : names_) topics.insert(topics.end(), name);
  for (const auto& [regex, _] : regexes_) {
    const auto it = resolved_.find(regex);
    if (it != resolved_.end()) topics.insert(it->second.topics.begin(), it->second.topics.end());
  }
  return topics;
}

bool ConsumerGroupState::SubscribesTo(const std::string& topic) const {
  if (names_.contains(topic)) return true;
  return std::ranges::any_of(regexes_, [&](const auto& regex) {
    const auto it = resolved_.find(regex.first);
    return it != resolved_.end() && it->second.topics.contains(topic);
  });
}

std::vector<GroupRecord> ConsumerGroupState::Snapshot() const {
  // Backwards, as tombstones, this is the order in which Kafka's brokers can replay them.
  std::vector<GroupRecord> records;
  if (group_epoch_.has_value()) {
    records.push_back(EpochRecord(group_id_, *group_epoch_, metadata_hash_));
  }
  for (const auto& [regex, resolved] : resolved_) {
    records.push_back(ToRecord(group_id_, regex, resolved));
  }
  for (const auto& [_, member] : members_) {
    if (member.has_member_record) records.push_back(MemberRecord(group_id_, member));
  }
  if (assignment_epoch_.has_value()) {
    records.push_back(
        TargetEpochRecord(group_id_, *assignment_epoch_, Timestamp(assignment_timestamp_)));
  }
  for (const auto& [id, target] : targets_) records.push_back(TargetRecord(group_id_, id, target));
  for (const auto& [id, member] : members_) {
    if (member.has_current_record) records.push_back(CurrentRecord(group_id_, id, member.current));
  }
  return records;
}

GroupRecord EpochRecord(const std::string& group, int32_t epoch, int64_t metadata_hash) {
  ConsumerGroupEpochRecord record;
  record.key.group_id = group;
  record.value.emplace();
  record.value->epoch = epoch;
  record.value->metadata_hash = metadata_hash;
  return record;
}

GroupRecord MemberRecord(const std::string& group, const ConsumerMember& member) {
  ConsumerMemberRecord record;
  record.key.group_id = group;
  record.key.member_id = member.member_id;
  kafka::ConsumerGroupMemberMetadataValue& value = record.value.emplace();
  value.instance_id = member.instance_id;
  value.rack_id = member.rack;
  value.client_id = member.client_id;
  value.client_host = member.client_host;
  value.subscribed_topic_names = member.topic_names;
  value.subscribed_topic_regex = member.topic_regex;
  value.rebalance_timeout_ms = ToMs(member.rebalance_timeout);
  value.server_assignor = member.assignor;
  value.classic_member_metadata = member.classic;
  return record;
}

GroupRecord TargetEpochRecord(const std::string& group, int32_t epoch, Timestamp computed) {
  TargetAssignmentEpochRecord record;
  record.key.group_id = group;
  record.value.emplace();
  record.value->assignment_epoch = epoch;
  record.value->assignment_timestamp = computed.ms();
  return record;
}

GroupRecord TargetRecord(const std::string& group, const std::string& member_id,
                         const PartitionList& target) {
  using Value = kafka::ConsumerGroupTargetAssignmentMemberValue;
  TargetAssignmentRecord record;
  record.key.group_id = group;
  record.key.member_id = member_id;
  record.value.emplace();
  record.value->topic_partitions = ByTopic<Value::TopicPartition>(target);
  return record;
}

GroupRecord CurrentRecord(const std::string& group, const std::string& member_id,
                          const CurrentAssignment& current) {
  CurrentAssignmentRecord record;
  record.key.group_id = group;
  record.key.member_id = member_id;
  record.value = ToRecord(current);
  return record;
}

GroupRecord ToRecord(const std::string& group, const std::string& regex,
                     const ResolvedRegex& resolved) {
  RegexRecord record;
  record.key.group_id = group;
  record.key.regular_expression = regex;
  record.value.emplace();
  record.value->topics = {resolved.topics.begin(), resolved.topics.end()};
  record.value->version = resolved.version;
  record.value->timestamp = resolved.resolved.ms();
  return record;
}

void AppendMemberTombstones(const std::string& group, const std::string& member_id,
                            std::vector<GroupRecord>& records) {
  records.push_back(CurrentAssignmentRecord{{group, member_id}, std::nullopt});
  records.push_back(TargetAssignmentRecord{{group, member_id}, std::nullopt});
  records.push_back(ConsumerMemberRecord{{group, member_id}, std::nullopt});
}

GroupRecord RegexTombstone(const std::string& group, const std::string& regex) {
  return RegexRecord{{group, regex}, std::nullopt};
}

}  // namespace millrace

// A classic group as a record, and as others look at it.
#include <algorithm>
#include <chrono>
#include <utility>

#include "broker/groups/classic_group.h"
#include "broker/groups/embedded_protocol.h"
#include "common/bytes/slice.h"
#include "proto/kafka/reader.h"

namespace millrace {
namespace {

using kafka::GroupMetadataValue;

int32_t Milliseconds(Duration duration) {
  const auto ms = std::chrono::duration_cast<milliseconds>(duration).count();
  return static_cast<int32_t>(std::clamp<int64_t>(ms, 0, INT32_MAX));
}

Duration Timeout(int32_t ms) { return milliseconds(std::max(ms, 0)); }

}  // namespace

ClassicGroup::ClassicGroup(std::string group_id, const ClassicGroupOptions& options, GroupTime time)
    : id_(std::move(group_id)), options_(options), state_since_(time.wall) {}

ClassicGroup::ClassicGroup(std::string group_id, const ClassicGroupOptions& options,
                           const GroupMetadataValue& record, GroupTime time)
    : ClassicGroup(std::move(group_id), options, time) {
  protocol_type_ = record.protocol_type;
  generation_ = GenerationId(record.generation);
  if (record.current_state_timestamp >= 0) {
    state_since_ = Timestamp(record.current_state_timestamp);
  }
  if (record.members.empty()) return;
  protocol_ = record.protocol.value_or("");
  for (const GroupMetadataValue::MemberMetadata& written : record.members) {
    const std::optional<std::string>& instance = written.group_instance_id;
    if (members_.contains(written.member_id)) continue;
    if (instance.has_value() && static_members_.contains(*instance)) continue;
    ClassicMember& member = Insert(
        {.id = written.member_id,
         .instance_id = instance,
         .client_id = written.client_id,
         .client_host = written.client_host,
         .session_timeout = Timeout(written.session_timeout),
         .rebalance_timeout = Timeout(written.rebalance_timeout < 0 ? written.session_timeout
                                                                    : written.rebalance_timeout),
         .protocols = {{*protocol_, std::string(written.subscription.view())}},
         .assignment = std::string(written.assignment.view()),
         .timer = {.order = next_order_++}});
    Renew(member, time.now);
  }
  leader_ = record.leader;
  if (leader_.has_value() && !members_.contains(*leader_)) leader_ = members_.begin()->first;
  state_ = ClassicGroupState::kStable;
  // Members without a leader were left of a consumer group, and have agreed on nothing since. (Kafka's
  // brokers never write that: with them a group has a leader as long as it has members.)
  const bool agreed = leader_.has_value();
  if (agreed && members_.size() <= options_.members_max) return;
  // Nobody waits yet, so there is nobody to answer.
  ClassicGroupOutput nothing;
  Rebalance(time, nothing);
}

ClassicGroup::ClassicGroup(std::string group_id, const ClassicGroupOptions& options,
                           GenerationId generation, std::vector<ClassicMember> members,
                           GroupTime time)
    : ClassicGroup(std::move(group_id), options, time) {
  protocol_type_ = kConsumerProtocolType;
  generation_ = generation;
  for (ClassicMember& member : members) {
    member.timer.order = next_order_++;
    Renew(Insert(std::move(member)), time.now);
  }
  protocol_ = Vote();
  state_ = ClassicGroupState::kStable;
}

GroupMetadataValue ClassicGroup::ToRecord() const {
  GroupMetadataValue record;
  record.protocol_type = protocol_type_;
  record.generation = generation_.value();
  record.protocol = protocol_;
  record.leader = leader_;
  record.current_state_timestamp = state_since_.ms();
  record.members.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    GroupMetadataValue::MemberMetadata written;
    written.member_id = id;
    written.group_instance_id = member.instance_id;
    written.client_id = member.client_id;
    written.client_host = member.client_host;
    written.rebalance_timeout = Milliseconds(member.rebalance_timeout);
    written.session_timeout = Milliseconds(member.session_timeout);
    written.subscription = Slice::Copy(member.MetadataFor(protocol_.value_or("")));
    written.assignment = Slice::Copy(std::string_view(member.assignment));
    record.members.push_back(std::move(written));
  }
  return record;
}

std::vector<ClassicGroup::MemberView> ClassicGroup::Members() const {
  std::vector<MemberView> views;
  views.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    MemberView view{.member_id = id,
                    .instance_id = member.instance_id,
                    .client_id = member.client_id,
                    .client_host = member.client_host,
                    .metadata = {},
                    .assignment = member.assignment};
    if (state_ == ClassicGroupState::kStable) {
      view.metadata = std::string(member.MetadataFor(protocol_.value_or("")));
    }
    views.push_back(std::move(view));
  }
  return views;
}

bool ClassicGroup::of_consumers() const { return protocol_type_ == kConsumerProtocolType; }

std::optional<std::set<std::string>> ClassicGroup::SubscribedTopics() const {
  std::set<std::string> topics;
  if (members_.empty()) return topics;
  if (!of_consumers()) return std::nullopt;
  for (const auto& [id, member] : members_) {
    // In a rebalance there may be members that do not know the protocol of the last generation.
    std::string_view metadata = member.MetadataFor(protocol_.value_or(""));
    if (metadata.empty()) metadata = member.protocols.front().metadata;
    // The topics come first in every version; what follows, also of versions to come, is not read.
    kafka::Reader reader(Slice::Copy(metadata));
    const int16_t version = reader.ReadInt16();
    std::vector<std::string> subscribed;
    reader.ReadArray(subscribed, false);
    if (!reader.ok() || version < 0) return std::nullopt;
    topics.insert(std::make_move_iterator(subscribed.begin()),
                  std::make_move_iterator(subscribed.end()));
  }
  return topics;
}

size_t ClassicGroup::memory_bytes() const {
  return sizeof(ClassicGroup) + id_.size() + protocol_type_.size() + member_bytes_ + pending_bytes_;
}

}  // namespace millrace

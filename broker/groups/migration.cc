#include "broker/groups/migration.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "broker/groups/embedded_protocol.h"
#include "broker/groups/group_draft.h"
#include "common/bytes/slice.h"

namespace millrace {
namespace {

// A member as it goes on in the consumer group, with what it has as current assignment and as target.
struct Upgrade {
  ConsumerMember member;
  bool gives_up = false;  // It has what it is not assigned any more.
};

// An error: why it cannot.
std::expected<Upgrade, std::string> Upgraded(const ClassicMember& member, const ClassicGroup& group,
                                             const MetadataImage& image) {
  // In a rebalance there may be members that do not know the protocol of the last generation, and in
  // the first one there is none. Whatever the protocol, a consumer says the same about itself.
  std::string_view metadata = member.MetadataFor(group.protocol().value_or(""));
  if (metadata.empty()) metadata = member.protocols.front().metadata;
  auto subscription = ParseSubscription(metadata);
  const auto assignment = ParseAssignment(member.assignment);
  if (!subscription.has_value() || !assignment.has_value()) {
    return std::unexpected("the embedded consumer protocol is malformed");
  }
  if (assignment->user_data.has_value() && !assignment->user_data->empty()) {
    return std::unexpected(
        "an unsupported custom assignor is in use; switch to a default assignor before");
  }
  const MemberEpoch epoch(group.generation().value());
  ConsumerMember upgraded{.member_id = member.id,
                          .instance_id = member.instance_id,
                          .rack = std::move(subscription->rack_id),
                          .client_id = member.client_id,
                          .client_host = member.client_host,
                          .topic_names = std::move(subscription->topics),
                          .rebalance_timeout = member.rebalance_timeout,
                          .classic = ClassicMetadataOf(member.session_timeout, member.protocols)};
  upgraded.current.epoch = epoch;
  upgraded.current.previous_epoch = epoch;
  std::ranges::sort(upgraded.topic_names);
  const PartitionList assigned = PartitionsIn(assignment->assigned_partitions, image);
  // A cooperative member has what it had when it joined, and said so, until it joins again: it may not
  // have heard of its assignment, or be in the midst of giving up what is not in there. Nobody else must
  // get that before. An eager one gives all up before it joins, and says nothing.
  const PartitionList owned = PartitionsIn(subscription->owned_partitions, image);
  for (const TopicPartitionId& partition : Union(assigned, owned)) {
    upgraded.current.assigned.push_back({partition, epoch});
  }
  return Upgrade{std::move(upgraded), !Includes(assigned, owned)};
}

// What several say they have, or are thought to have, nobody gets before all of them have said that they
// gave it up.
void GiveUpWhatOthersHave(std::vector<ConsumerMember>& members) {
  std::map<TopicPartitionId, int> holders;
  for (const ConsumerMember& member : members) {
    for (const HeldPartition& held : member.current.assigned) ++holders[held.partition];
  }
  for (ConsumerMember& member : members) {
    CurrentAssignment& current = member.current;
    const auto is_shared = [&](const HeldPartition& held) { return holders[held.partition] > 1; };
    std::ranges::copy_if(current.assigned, std::back_inserter(current.revoking), is_shared);
    std::erase_if(current.assigned, is_shared);
    if (!current.revoking.empty()) current.state = CurrentAssignment::State::kUnrevoked;
  }
}

}  // namespace

ClassicMemberMetadata ClassicMetadataOf(Duration session_timeout,
                                        const std::vector<MemberProtocol>& protocols) {
  ClassicMemberMetadata metadata;
  metadata.session_timeout_ms = static_cast<int32_t>(std::clamp<int64_t>(
      std::chrono::duration_cast<milliseconds>(session_timeout).count(), 0, INT32_MAX));
  metadata.supported_protocols.reserve(protocols.size());
  for (const MemberProtocol& protocol : protocols) {
    metadata.supported_protocols.push_back(
        {protocol.name, Slice::Copy(std::string_view(protocol.metadata))});
  }
  return metadata;
}

std::expected<std::vector<GroupRecord>, std::string> UpgradeRecords(const ClassicGroup& group,
                                                                    const MetadataImage& image) {
  if (!group.of_consumers()) {
    return std::unexpected("the group does not use the embedded consumer protocol");
  }
  const std::string& id = group.id();
  std::vector<ConsumerMember> members;
  std::set<std::string> topics;
  bool settled = group.state() == ClassicGroupState::kStable;
  for (const auto& [member_id, member] : group.members()) {
    auto upgraded = Upgraded(member, group, image);
    if (!upgraded.has_value()) return std::unexpected(std::move(upgraded.error()));
    const std::vector<std::string>& names = upgraded->member.topic_names;
    topics.insert(names.begin(), names.end());
    settled = settled && !upgraded->gives_up;
    members.push_back(std::move(upgraded->member));
  }
  GiveUpWhatOthersHave(members);
  // Members of a group in the midst of a rebalance were promised a new assignment: the target, which
  // is the last one they all had, is one behind then. So it is where one of them gives up what others
  // were to get with the rebalance that it then asks for.
  const int32_t generation = group.generation().value();
  std::vector<GroupRecord> records;
  for (const ConsumerMember& member : members) records.push_back(MemberRecord(id, member));
  records.push_back(
      EpochRecord(id, settled ? generation : generation + 1, HashTopics(topics, image)));
  for (const ConsumerMember& member : members) {
    records.push_back(TargetRecord(id, member.member_id, WithoutEpochs(member.current.assigned)));
  }
  records.push_back(TargetEpochRecord(id, generation, group.state_since()));
  for (const ConsumerMember& member : members) {
    records.push_back(CurrentRecord(id, member.member_id, member.current));
  }
  return records;
}

std::vector<ClassicMember> DowngradedMembers(const ConsumerGroupState& state,
                                             const std::set<std::string>& gone,
                                             const MetadataImage& image) {
  std::vector<ClassicMember> members;
  for (const auto& [id, member] : state.members()) {
    if (gone.contains(id)) continue;
    ClassicMember& downgraded = members.emplace_back(
        ClassicMember{.id = id,
                      .instance_id = member.instance_id,
                      .client_id = member.client_id,
                      .client_host = member.client_host,
                      .session_timeout = milliseconds(member.classic->session_timeout_ms),
                      .rebalance_timeout = member.rebalance_timeout,
                      .protocols = {},
                      .timer = {.order = 0}});
    for (const auto& protocol : member.classic->supported_protocols) {
      downgraded.protocols.push_back({protocol.name, std::string(protocol.metadata.view())});
    }
    const PartitionList has =
        Union(WithoutEpochs(member.current.assigned), WithoutEpochs(member.current.revoking));
    downgraded.assignment = FormatAssignment(has, image, downgraded.protocols.front().metadata);
  }
  return members;
}

}  // namespace millrace

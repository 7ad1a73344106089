// How a group with members goes from one protocol to the other, and what members of the classic protocol
// ask of a consumer group (migration.h, rule 8.18).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/groups/group_coordinator.h"

namespace millrace {

using kafka::KafkaError;

std::expected<std::vector<GroupRecord>, std::string> GroupCoordinator::Upgrade(
    const Group& group, const MetadataImage& image) const {
  const auto refuse = [&](std::string_view why) {
    return std::unexpected(
        fmt::format("Cannot upgrade classic group {} to a consumer group: {}.", group.id(), why));
  };
  if (!options_.migration.upgrade) return refuse("online upgrade is disabled");
  if (group.classic->member_count() > options_.consumer.members_max) {
    return refuse("it has more members than a consumer group may have");
  }
  auto records = UpgradeRecords(*group.classic, image);
  if (!records.has_value()) return refuse(records.error());
  return records;
}

void GroupCoordinator::BecomeConsumer(Group& group, std::unique_ptr<ConsumerGroup> consumer,
                                      std::vector<GroupRecord> records, GroupTime time,
                                      GroupOutput& out) {
  ClassicGroupOutput came;
  group.classic->Dismiss(KafkaError::kRebalanceInProgress, came);
  std::ranges::move(came.joined, std::back_inserter(out.joined));
  std::ranges::move(came.synced, std::back_inserter(out.synced));
  Empty(group, time, out);
  group.classic.emplace(std::string(group.id()), options_.classic, time);
  std::ranges::move(records, std::back_inserter(out.records));
  group.consumer = std::move(consumer);
  group.rewritten = true;
}

bool GroupCoordinator::BecomesClassicWithout(const Group& group,
                                             const std::set<std::string>& gone) const {
  return options_.migration.downgrade && group.consumer->IsClassicWithout(gone) &&
         group.consumer->member_count() - gone.size() <= options_.classic.members_max;
}

void GroupCoordinator::BecomeClassic(Group& group, const std::set<std::string>& gone,
                                     const MetadataImage& image, GroupTime time, GroupOutput& out) {
  const ConsumerGroup& consumer = *group.consumer;
  const GenerationId generation(consumer.group_epoch());
  std::vector<ClassicMember> members = DowngradedMembers(consumer.state(), gone, image);
  Write(group, consumer.Tombstones(), time, out);
  group.consumer = nullptr;
  group.classic.emplace(std::string(group.id()), options_.classic, generation, std::move(members),
                        time);
  ClassicGroupOutput came;
  came.write = true;
  // Also where all have what they are to have: the coordinator looks after their topics no longer, and
  // no client does before one of them has become the leader.
  group.classic->BeginAnew(time, came);
  Settle(group, came, out);
}

void GroupCoordinator::RemoveMembers(Group& group, const std::set<std::string>& gone,
                                     const MetadataImage& image, GroupTime time, GroupOutput& out) {
  if (gone.empty()) return Settle(group);
  // Also where members of the classic protocol were left before: they may have been too many, or the
  // policy another.
  if (BecomesClassicWithout(group, gone)) {
    return BecomeClassic(group, gone, image, time, out);
  }
  Write(group, group.consumer->Remove(gone), time, out);
  Settle(group);
}

void GroupCoordinator::JoinConsumer(Group& group, JoinGroup request, Ticket ticket,
                                    const MetadataImage& image, Uuid drawn, GroupTime time,
                                    GroupOutput& out) {
  const bool may_change = options_.migration.upgrade || options_.migration.downgrade;
  const bool in_time = request.session_timeout >= options_.classic.session_min &&
                       request.session_timeout <= options_.classic.session_max;
  if (!may_change || !in_time) {
    JoinedGroup refused;
    refused.error =
        in_time ? KafkaError::kInconsistentGroupProtocol : KafkaError::kInvalidSessionTimeout;
    out.joined.emplace_back(ticket, std::move(refused));
    return;
  }
  RemoveRepeated(request.protocols);
  const bool was_classic = group.consumer->IsClassicWithout({});
  ClassicJoinDecision decision = group.consumer->Join(request, image, drawn, time);
  if (decision.answer.error == KafkaError::kNone) {
    Write(group, std::move(decision.records), time, out);
    group.consumer->OnJoined(decision.answer.member_id, time);
  }
  out.joined.emplace_back(ticket, std::move(decision.answer));
  // It took the place of the last member of the consumer protocol, as a static one.
  const bool is_classic = !was_classic && group.consumer->IsClassicWithout({});
  if (is_classic && options_.migration.downgrade &&
      group.consumer->member_count() <= options_.classic.members_max) {
    return BecomeClassic(group, {}, image, time, out);
  }
  Settle(group);
}

}  // namespace millrace

// CurrentAssignment: what a member of a consumer group has been told it owns, and how it is led from
// there to its target (rule 8.6):
//
//   kStable      it is where the target of its epoch wants it
//     └ newer target, something to give up ───────────────► kUnrevoked
//     └ newer target, something that others still have ───► kUnreleased
//   kUnrevoked   it was told to give up `revoking` and has not said it did; its epoch stays
//     └ it no longer owns any of that ────► like kStable with a newer target
//   kUnreleased  it has its new epoch, and what was free; some of its target others still have
//     └ more became free, or a newer target ► like kStable with a newer target
//
// What is revoked stays the member's until it says that it gave it up; so a partition never has two
// owners, whatever members believe. A member that does not say so in time is removed.
//
// Shard: any; pure values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "broker/groups/consumer_requests.h"
#include "broker/groups/partition_list.h"
#include "proto/kafka/consumer_group_current_member_assignment_value.h"

namespace millrace {

// A partition a member has, and the member's epoch when it was given: commits of epochs before that
// are someone else's (KIP-1251).
struct HeldPartition {
  TopicPartitionId partition;
  MemberEpoch since;
  friend bool operator==(const HeldPartition&, const HeldPartition&) = default;
};
using HeldPartitions = std::vector<HeldPartition>;  // Sorted by partition, each once.

PartitionList WithoutEpochs(const HeldPartitions& held);
const HeldPartition* FindHeld(const HeldPartitions& held, const TopicPartitionId& partition);

struct CurrentAssignment {
  enum class State { kStable, kUnrevoked, kUnreleased };  // As records number them: 0, 1, 2.

  MemberEpoch epoch = kJoinEpoch;
  // The one before; a member may come with it when the answer with the new one was lost.
  MemberEpoch previous_epoch = kJoinEpoch;
  State state = State::kStable;
  HeldPartitions assigned;
  HeldPartitions revoking;
  friend bool operator==(const CurrentAssignment&, const CurrentAssignment&) = default;

  // Whether it is at the target of `epoch`, and all of it.
  bool ReconciledTo(MemberEpoch target) const { return state == State::kStable && epoch == target; }
};

kafka::ConsumerGroupCurrentMemberAssignmentValue ToRecord(const CurrentAssignment& current);
// Of a state that is not known here: kUnreleased, from which every way is open.
CurrentAssignment FromRecord(const kafka::ConsumerGroupCurrentMemberAssignmentValue& record);

// The next step of a member. `owned`: what it says it owns; nothing: as before. `is_free`: whether no
// OTHER member has the partition. Returns `current` when there is nothing to do.
CurrentAssignment NextAssignment(const CurrentAssignment& current, MemberEpoch target_epoch,
                                 const PartitionList& target,
                                 const std::optional<PartitionList>& owned,
                                 const std::function<bool(const TopicPartitionId&)>& is_free);

}  // namespace millrace

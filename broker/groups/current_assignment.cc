#include "broker/groups/current_assignment.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace millrace {
namespace {

using Value = kafka::ConsumerGroupCurrentMemberAssignmentValue;
using State = CurrentAssignment::State;

std::vector<Value::TopicPartitions> ToTopics(const HeldPartitions& held) {
  std::vector<Value::TopicPartitions> topics;
  for (const HeldPartition& one : held) {
    if (topics.empty() || topics.back().topic_id != one.partition.topic_id) {
      topics.emplace_back().topic_id = one.partition.topic_id;
      topics.back().assignment_epochs.emplace();
    }
    topics.back().partitions.push_back(one.partition.partition.value());
    topics.back().assignment_epochs->push_back(one.since.value());
  }
  return topics;
}

// Where epochs are not said, the member's own: then no commit of an earlier one is accepted.
HeldPartitions FromTopicsWithEpochs(const std::vector<Value::TopicPartitions>& topics,
                                    MemberEpoch unknown) {
  HeldPartitions held;
  for (const Value::TopicPartitions& topic : topics) {
    const bool said = topic.assignment_epochs.has_value() &&
                      topic.assignment_epochs->size() == topic.partitions.size();
    for (size_t i = 0; i < topic.partitions.size(); ++i) {
      held.push_back({{topic.topic_id, PartitionId(topic.partitions[i])},
                      said ? MemberEpoch((*topic.assignment_epochs)[i]) : unknown});
    }
  }
  std::ranges::sort(held, {},
                    [](const HeldPartition& one) { return std::pair(one.partition, one.since); });
  const auto repeated = std::ranges::unique(held, {}, &HeldPartition::partition);
  held.erase(repeated.begin(), repeated.end());
  return held;
}

HeldPartitions Select(const HeldPartitions& held, const PartitionList& wanted, bool in_it) {
  HeldPartitions selected;
  std::ranges::copy_if(held, std::back_inserter(selected), [&](const HeldPartition& one) {
    return Contains(wanted, one.partition) == in_it;
  });
  return selected;
}

}  // namespace

PartitionList WithoutEpochs(const HeldPartitions& held) {
  PartitionList partitions;
  partitions.reserve(held.size());
  for (const HeldPartition& one : held) partitions.push_back(one.partition);
  return partitions;
}

const HeldPartition* FindHeld(const HeldPartitions& held, const TopicPartitionId& partition) {
  const auto it = std::ranges::lower_bound(held, partition, {}, &HeldPartition::partition);
  return it == held.end() || it->partition != partition ? nullptr : &*it;
}

Value ToRecord(const CurrentAssignment& current) {
  Value record;
  record.member_epoch = current.epoch.value();
  record.previous_member_epoch = current.previous_epoch.value();
  record.state = static_cast<int8_t>(current.state);
  record.assigned_partitions = ToTopics(current.assigned);
  record.partitions_pending_revocation = ToTopics(current.revoking);
  return record;
}

CurrentAssignment FromRecord(const Value& record) {
  CurrentAssignment current;
  current.epoch = MemberEpoch(record.member_epoch);
  current.previous_epoch = MemberEpoch(record.previous_member_epoch);
  current.assigned = FromTopicsWithEpochs(record.assigned_partitions, current.epoch);
  current.revoking = FromTopicsWithEpochs(record.partitions_pending_revocation, current.epoch);
  switch (record.state) {
    case 0:
      current.state = State::kStable;
      break;
    case 1:
      current.state = State::kUnrevoked;
      break;
    case 2:
      current.state = State::kUnreleased;
      break;
    default:
      // What it was told to give up has to be waited for in any case.
      current.state = current.revoking.empty() ? State::kUnreleased : State::kUnrevoked;
  }
  return current;
}

CurrentAssignment NextAssignment(const CurrentAssignment& current, MemberEpoch target_epoch,
                                 const PartitionList& target,
                                 const std::optional<PartitionList>& owned,
                                 const std::function<bool(const TopicPartitionId&)>& is_free) {
  const auto still_owns = [&](const HeldPartitions& partitions) {
    return !owned.has_value() || Intersects(WithoutEpochs(partitions), *owned);
  };
  if (current.state == State::kStable && current.epoch == target_epoch) return current;
  if (current.state == State::kUnrevoked && still_owns(current.revoking)) return current;

  CurrentAssignment next = current;
  next.assigned = Select(current.assigned, target, true);
  next.revoking = Select(current.assigned, target, false);
  if (!next.revoking.empty() && still_owns(next.revoking)) {
    next.state = State::kUnrevoked;
    return next;
  }
  // What it shall not have it does not own (any more, or never learnt that it should).
  next.revoking.clear();
  next.state = State::kStable;
  if (next.epoch != target_epoch) {
    next.previous_epoch = next.epoch;
    next.epoch = target_epoch;
  }
  for (const TopicPartitionId& wanted : Difference(target, WithoutEpochs(next.assigned))) {
    if (is_free(wanted)) {
      next.assigned.push_back({wanted, target_epoch});
    } else {
      next.state = State::kUnreleased;
    }
  }
  std::ranges::sort(next.assigned, {}, &HeldPartition::partition);
  return next;
}

}  // namespace millrace

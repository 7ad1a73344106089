#include "broker/groups/current_assignment.h"

#include <catch2/catch.hpp>

using namespace millrace;

namespace {

using State = CurrentAssignment::State;

TopicPartitionId P(int32_t number) { return {TopicId(1, 1), PartitionId(number)}; }

CurrentAssignment At(int32_t epoch, std::vector<int32_t> assigned) {
  CurrentAssignment current;
  current.epoch = MemberEpoch(epoch);
  current.previous_epoch = MemberEpoch(epoch - 1);
  for (int32_t number : assigned) current.assigned.push_back({P(number), MemberEpoch(epoch)});
  return current;
}

PartitionList List(std::vector<int32_t> numbers) {
  PartitionList list;
  for (int32_t number : numbers) list.push_back(P(number));
  return list;
}

bool AllFree(const TopicPartitionId&) { return true; }

}  // namespace

TEST_CASE("CurrentAssignment: at its target a member stays as it is (8.6)") {
  const CurrentAssignment stable = At(5, {1, 2});
  CHECK(NextAssignment(stable, MemberEpoch(5), List({1, 2}), std::nullopt, AllFree) == stable);
}

TEST_CASE("CurrentAssignment: what is only added comes at once, with the new epoch") {
  const CurrentAssignment next =
      NextAssignment(At(5, {1}), MemberEpoch(7), List({0, 1, 2}), std::nullopt, AllFree);
  CHECK(next.epoch == MemberEpoch(7));
  CHECK(next.previous_epoch == MemberEpoch(5));
  CHECK(next.state == State::kStable);
  CHECK(next.assigned ==
        HeldPartitions{{P(0), MemberEpoch(7)}, {P(1), MemberEpoch(5)}, {P(2), MemberEpoch(7)}});
}

TEST_CASE("CurrentAssignment: what is taken away is waited for, and nothing comes before") {
  CurrentAssignment next =
      NextAssignment(At(5, {1, 2}), MemberEpoch(6), List({2, 3}), std::nullopt, AllFree);
  CHECK(next.state == State::kUnrevoked);
  CHECK(next.epoch == MemberEpoch(5));
  CHECK(WithoutEpochs(next.assigned) == List({2}));
  CHECK(WithoutEpochs(next.revoking) == List({1}));

  // It says nothing, or that it still owns it: it stays, whatever the target is by then.
  CHECK(NextAssignment(next, MemberEpoch(9), List({}), std::nullopt, AllFree) == next);
  CHECK(NextAssignment(next, MemberEpoch(9), List({}), List({1, 2}), AllFree) == next);

  next = NextAssignment(next, MemberEpoch(6), List({2, 3}), List({2}), AllFree);
  CHECK(next.state == State::kStable);
  CHECK(next.epoch == MemberEpoch(6));
  CHECK(WithoutEpochs(next.assigned) == List({2, 3}));
  CHECK(next.revoking.empty());
}

TEST_CASE("CurrentAssignment: having given up, it may be told to give up more") {
  CurrentAssignment next =
      NextAssignment(At(5, {1, 2}), MemberEpoch(6), List({2}), std::nullopt, AllFree);
  next = NextAssignment(next, MemberEpoch(7), List({3}), List({2}), AllFree);
  CHECK(next.state == State::kUnrevoked);
  CHECK(next.epoch == MemberEpoch(5));
  CHECK(WithoutEpochs(next.revoking) == List({2}));
  CHECK(next.assigned.empty());
}

TEST_CASE("CurrentAssignment: what others still have is waited for with the new epoch") {
  CurrentAssignment next = NextAssignment(At(5, {1}), MemberEpoch(6), List({1, 2, 3}), std::nullopt,
                                          [](const TopicPartitionId& p) { return p != P(3); });
  CHECK(next.state == State::kUnreleased);
  CHECK(next.epoch == MemberEpoch(6));
  CHECK(WithoutEpochs(next.assigned) == List({1, 2}));
  CHECK(NextAssignment(next, MemberEpoch(6), List({1, 2, 3}), std::nullopt,
                       [](const TopicPartitionId&) { return false; }) == next);
  next = NextAssignment(next, MemberEpoch(6), List({1, 2, 3}), std::nullopt, AllFree);
  CHECK(next.state == State::kStable);
  CHECK(next.previous_epoch == MemberEpoch(5));
  CHECK(WithoutEpochs(next.assigned) == List({1, 2, 3}));
}

TEST_CASE("CurrentAssignment: what it never learnt that it has is not waited for") {
  const CurrentAssignment next =
      NextAssignment(At(5, {1, 2}), MemberEpoch(6), List({3}), List({}), AllFree);
  CHECK(next.state == State::kStable);
  CHECK(next.epoch == MemberEpoch(6));
  CHECK(WithoutEpochs(next.assigned) == List({3}));
}

TEST_CASE("CurrentAssignment: reads back from its record, and from one without epochs or state") {
  CurrentAssignment current = At(5, {1, 2});
  current.assigned[0].since = MemberEpoch(3);
  current.revoking = {{P(4), MemberEpoch(2)}};
  current.state = State::kUnrevoked;
  auto record = ToRecord(current);
  CHECK(FromRecord(record) == current);

  record.assigned_partitions[0].assignment_epochs.reset();
  CHECK(FromRecord(record).assigned[0].since == MemberEpoch(5));
  record.state = 127;
  CHECK(FromRecord(record).state == State::kUnrevoked);
  record.partitions_pending_revocation.clear();
  CHECK(FromRecord(record).state == State::kUnreleased);
  // Doubled and unsorted, as nobody should write it.
  record.assigned_partitions[0].partitions = {2, 1, 2};
  CHECK(WithoutEpochs(FromRecord(record).assigned) == List({1, 2}));
}

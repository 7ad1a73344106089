#include "broker/replica_repair.h"

#include <catch2/catch.hpp>
#include <initializer_list>

#include "controller/image/metadata_image.h"

namespace millrace {
namespace {

constexpr BrokerId kSelf{1};

// Replicas 1 to `count`, those of `isr` in sync, led by `leader`.
PartitionAssignment Replicas(int32_t count, std::initializer_list<int32_t> isr, int32_t leader) {
  PartitionAssignment assignment;
  assignment.leader = BrokerId(leader);
  for (int32_t id = 1; id <= count; ++id) {
    assignment.replicas.push_back({.broker = BrokerId(id),
                                   .in_isr = std::ranges::count(isr, id) > 0,
                                   .active = true,
                                   .directory = DirectoryId(7, 1)});
  }
  return assignment;
}

PartitionAssignment GivenUp(PartitionAssignment assignment) {
  assignment.replicas.front().directory = kLostDirectory;
  return assignment;
}

}  // namespace

TEST_CASE("ReplicaRepair: a damaged replica is given up where others are in sync, leader or not") {
  for (int32_t leader : {1, 2}) {
    CHECK(NextRepairStep(Replicas(3, {1, 2, 3}, leader), kSelf, 2, true, true) ==
          RepairStep::kGiveUp);
  }
  CHECK(NextRepairStep(Replicas(3, {2, 3}, 2), kSelf, 2, true, true) == RepairStep::kGiveUp);
  CHECK(NextRepairStep(Replicas(3, {1, 2, 3}, 2), kSelf, 2, false, true) == RepairStep::kNone);
}

TEST_CASE(
    "ReplicaRepair: the last one in sync that lives is never given up, nor without a leader") {
  PartitionAssignment dead = Replicas(2, {1, 2}, 1);
  dead.replicas[1].active = false;
  CHECK(NextRepairStep(dead, kSelf, 1, true, true) == RepairStep::kNone);
  PartitionAssignment leaderless = Replicas(2, {2}, 2);
  leaderless.leader.reset();
  CHECK(NextRepairStep(leaderless, kSelf, 1, true, true) == RepairStep::kNone);
  CHECK(NextRepairStep(GivenUp(leaderless), kSelf, 1, true, true) == RepairStep::kNone);
  CHECK(NextRepairStep(Replicas(3, {1}, 1), kSelf, 1, true, true) == RepairStep::kNone);
  CHECK(NextRepairStep(Replicas(1, {1}, 1), kSelf, 1, true, true) == RepairStep::kNone);
}

TEST_CASE("ReplicaRepair: producers are not refused for it, unless they would be at any time") {
  // Broker 3 is away: it may come back.
  CHECK(NextRepairStep(Replicas(3, {1, 2}, 2), kSelf, 2, true, true) == RepairStep::kNone);
  CHECK(NextRepairStep(Replicas(3, {1, 2}, 2), kSelf, 1, true, true) == RepairStep::kGiveUp);
  CHECK(NextRepairStep(Replicas(2, {1, 2}, 2), kSelf, 2, true, true) == RepairStep::kGiveUp);
  // It leads, and broker 3 lives: that may wait for the records that cannot be read here.
  PartitionAssignment leads = Replicas(3, {1, 2}, 1);
  CHECK(NextRepairStep(leads, kSelf, 2, true, true) == RepairStep::kGiveUp);
  leads.replicas[2].active = false;
  CHECK(NextRepairStep(leads, kSelf, 2, true, true) == RepairStep::kNone);
}

TEST_CASE(
    "ReplicaRepair: nothing is deleted before the metadata says that the replica counts no more") {
  CHECK(NextRepairStep(GivenUp(Replicas(3, {1, 2, 3}, 2)), kSelf, 1, true, true) ==
        RepairStep::kNone);
  CHECK(NextRepairStep(GivenUp(Replicas(3, {2, 3}, 1)), kSelf, 1, true, true) == RepairStep::kNone);
  PartitionAssignment eligible = GivenUp(Replicas(3, {2, 3}, 2));
  eligible.elr = {kSelf};
  CHECK(NextRepairStep(eligible, kSelf, 1, true, true) == RepairStep::kNone);
  CHECK(NextRepairStep(GivenUp(Replicas(3, {2, 3}, 2)), kSelf, 1, true, true) ==
        RepairStep::kStartAnew);
  // Of a life before: it is put back.
  CHECK(NextRepairStep(GivenUp(Replicas(3, {2, 3}, 2)), kSelf, 1, true, false) ==
        RepairStep::kNone);
  // Its new log is sound: it stays.
  CHECK(NextRepairStep(GivenUp(Replicas(3, {2, 3}, 2)), kSelf, 1, false, true) ==
        RepairStep::kNone);
}

}  // namespace millrace

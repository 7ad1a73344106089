#include "cli/cluster/replica_plan.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

std::vector<BrokerId> Ids(std::vector<int32_t> values) { return {values.begin(), values.end()}; }

PlanPartition Partition(int32_t id, std::vector<int32_t> replicas) {
  return {"t", PartitionId(id), Ids(std::move(replicas))};
}

std::vector<PlanBroker> Brokers(int32_t count) {
  std::vector<PlanBroker> brokers;
  for (int32_t id = 1; id <= count; ++id) brokers.push_back({BrokerId(id), std::nullopt});
  return brokers;
}

}  // namespace

TEST_CASE(
    "ReplicaPlan: a broker that goes is replaced in place, by those with the fewest replicas") {
  ReplicaPlan plan(Brokers(4), {Partition(0, {1, 2}), Partition(1, {3, 1}), Partition(2, {2, 3})});
  auto moved = plan.Without(BrokerId(1));
  REQUIRE(moved.ok());
  CHECK(*moved == std::vector{Partition(0, {4, 2}), Partition(1, {3, 4})});
}

TEST_CASE("ReplicaPlan: where nobody can take over, the partition is named") {
  ReplicaPlan plan(Brokers(2), {Partition(0, {1, 2})});
  auto moved = plan.Without(BrokerId(1));
  CHECK(absl::IsFailedPrecondition(moved.status()));
  CHECK(std::string(moved.status().message()).find("t-0") != std::string::npos);
  std::vector<PlanBroker> brokers = Brokers(3);
  brokers[2].alive = false;
  CHECK_FALSE(ReplicaPlan(brokers, {Partition(0, {1, 2})}).Without(BrokerId(1)).ok());
}

TEST_CASE("ReplicaPlan: another rack comes before fewer replicas") {
  std::vector<PlanBroker> brokers = {{BrokerId(1), "a"}, {BrokerId(2), "a"}, {BrokerId(3), "b"}};
  ReplicaPlan plan(brokers, {Partition(0, {1}), Partition(1, {3}), Partition(2, {3})});
  CHECK(plan.WithFactor(Partition(0, {1}), 2)->replicas == Ids({1, 3}));
}

TEST_CASE("ReplicaPlan: more replicas are added at the end, fewer are dropped from it") {
  ReplicaPlan plan(Brokers(3), {Partition(0, {2})});
  CHECK(plan.WithFactor(Partition(0, {2}), 3)->replicas == Ids({2, 1, 3}));
  CHECK(plan.WithFactor(Partition(0, {2, 1, 3}), 1)->replicas == Ids({2}));
  CHECK_FALSE(plan.WithFactor(Partition(0, {2}), 4).ok());
  CHECK_FALSE(plan.WithFactor(Partition(0, {2}), 0).ok());
}

}  // namespace millrace

// A follower whose log directory has no room, and what its leader waits for.
#include <catch2/catch.hpp>
#include <string>

#include "replication/replica_cluster_test_tools.h"

namespace millrace {
namespace {

constexpr int kBusy = 0, kIdle = 1, kFollower = 3;

void MustConverge(ReplicaCluster& cluster) {
  if (!cluster.WaitConverged()) FAIL(cluster.Describe());
  cluster.CheckIdentical();
}

// Broker 3 finds no room any more for what broker 1 appends.
void FillDisk(ReplicaCluster& cluster) {
  cluster.node(kFollower).disk().Break(kTestDataDir, SimAccess::kRoom,
                                       absl::ResourceExhaustedError("no space left"));
  Partition& follower = cluster.partition(kBusy, kFollower);
  for (int i = 0; i < 1000 && follower.log().has_room(); ++i) {
    REQUIRE(cluster.Append(kBusy, {"until it is full"}).ok());
    cluster.world.RunFor(milliseconds(50));
  }
  REQUIRE_FALSE(follower.log().has_room());
}

bool Commits(ReplicaCluster& cluster, Duration limit) {
  REQUIRE(cluster.Append(kBusy, {"more"}).ok());
  Partition& leader = cluster.partition(kBusy, 1);
  return cluster.world.RunUntil(
      [&] { return leader.high_watermark() == leader.log().end_offset(); }, limit);
}

}  // namespace

TEST_CASE(
    "Full follower: outside the ISR nobody waits for it, and it joins by itself when there is "
    "room") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    ReplicaClusterOptions options;
    options.lag_max = seconds(30);
    ReplicaCluster cluster(seed, options);
    for (int p : {kBusy, kIdle}) {
      cluster.Create(p, 1);
      REQUIRE(cluster.Append(p, {"first"}).ok());
    }
    MustConverge(cluster);
    FillDisk(cluster);
    // The controller has heard of it. It follows in the same epoch.
    for (int p : {kBusy, kIdle}) {
      cluster.Shrink(p, kFollower);
      cluster.Tell(p, {1, 2, 3});
    }
    for (int i = 0; i < 40; ++i) {
      CHECK(Commits(cluster, seconds(1)));
      cluster.world.RunFor(milliseconds(500));
      for (int p : {kBusy, kIdle}) CHECK_FALSE(cluster.isr(p).contains(kFollower));
    }
    // Nothing is written any more: its own word brings it back.
    cluster.node(kFollower).disk().Mend(kTestDataDir);
    MustConverge(cluster);
  }
}

TEST_CASE("Full follower: who led until its disk was full is not waited for in the next epoch") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    ReplicaClusterOptions options;
    options.lag_max = seconds(30);
    ReplicaCluster cluster(seed, options);
    cluster.Create(kBusy, kFollower);
    REQUIRE(cluster.Append(kBusy, {"first"}).ok());
    MustConverge(cluster);
    cluster.node(kFollower).disk().Break(kTestDataDir, SimAccess::kRoom,
                                         absl::ResourceExhaustedError("no space left"));
    for (int i = 0; i < 1000 && cluster.Append(kBusy, {"until it is full"}).ok(); ++i) {
      cluster.world.RunFor(milliseconds(50));
    }
    cluster.Elect(kBusy, 1);
    cluster.Shrink(kBusy, kFollower);
    cluster.Tell(kBusy, {1, 2, 3});
    for (int i = 0; i < 40; ++i) {
      CHECK(Commits(cluster, seconds(1)));
      cluster.world.RunFor(milliseconds(500));
      CHECK_FALSE(cluster.isr(kBusy).contains(kFollower));
    }
    cluster.node(kFollower).disk().Mend(kTestDataDir);
    MustConverge(cluster);
  }
}

TEST_CASE("Full follower: in the ISR it is left behind when it has lagged for long enough") {
  ReplicaClusterOptions options;
  options.lag_max = seconds(5);
  ReplicaCluster cluster(9, options);
  cluster.Create(kBusy, 1);
  REQUIRE(cluster.Append(kBusy, {"first"}).ok());
  MustConverge(cluster);
  FillDisk(cluster);
  CHECK_FALSE(Commits(cluster, seconds(1)));
  CHECK(Commits(cluster, seconds(10)));
  CHECK_FALSE(cluster.isr(kBusy).contains(kFollower));
  for (int i = 0; i < 40; ++i) CHECK(Commits(cluster, seconds(1)));
  cluster.node(kFollower).disk().Mend(kTestDataDir);
  MustConverge(cluster);
}

}  // namespace millrace

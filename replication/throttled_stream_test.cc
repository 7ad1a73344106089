// Replication throttles (KIP-73) on both ends of a stream, on simulated machines.
#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>
#include <string>

#include "replication/replica_cluster_test_tools.h"

namespace millrace {
namespace {

// Broker 3 comes back and lacks 2 MB of partition 0, of which the others have everything; partition
// 1 is small and lives. Throttled is, or may be, partition 0.
class Throttled {
 public:
  static constexpr int kBatches = 200;
  static constexpr int64_t kBatchBytes = 10'000;
  static constexpr double kBytes = kBatches * kBatchBytes;

  Throttled(uint64_t seed, bool by_leader, bool cached) : by_leader(by_leader) {
    ReplicaClusterOptions options;
    if (!cached) options.store.tail_cache_bytes_max = 64 << 10;
    options.store.segment_write_bytes = 64 << 10;
    options.store.segment_write_age = milliseconds(20);
    options.store.retention_initial_delay = std::chrono::hours(1);  // What there is is old.
    cluster.emplace(seed, options);
    (by_leader ? cluster->throttled_leading : cluster->throttled_following).insert(0);
    cluster->Create(0, 1);
    cluster->Create(1, 1);
    MustConverge(seconds(20));
    cluster->Stop(3);
    cluster->Shrink(0, 3);
    cluster->Tell(0, {1, 2});
    cluster->Tell(1, {1, 2});
    for (int i = 0; i < kBatches; ++i) {
      REQUIRE(cluster->Append(0, {std::string(kBatchBytes, 'x')}, false).ok());
      if (i % 4 == 0) cluster->world.RunFor(milliseconds(5));
    }
    REQUIRE(cluster->world.RunUntil([this] { return Committed(0); }, seconds(20)));
    cluster->Shrink(1, 3);
    cluster->Tell(1, {1, 2});
  }

  void Begin(std::optional<uint64_t> rate) {
    cluster->Start(3);
    SetRate(rate);
    began = cluster->world.Now();
    cluster->Tell(0, {1, 2, 3});
    cluster->Tell(1, {1, 2, 3});
  }
  void MustConverge(Duration limit) {
    if (!cluster->WaitConverged(limit)) FAIL(cluster->Describe());
    cluster->CheckIdentical();
  }
  void SetRate(std::optional<uint64_t> rate) {
    ThrottleRates rates;
    (by_leader ? rates.leader : rates.follower) = rate;
    cluster->streams(by_leader ? 1 : 3).SetThrottleRates(rates);
  }
  bool Committed(int number) {
    Partition& leader = cluster->partition(number, 1);
    return leader.high_watermark() == leader.log().end_offset();
  }
  // How long an append to the partition takes to be committed.
  Duration CommitTime(int number) {
    const Instant before = cluster->world.Now();
    REQUIRE(cluster->Append(number, {"live"}).ok());
    REQUIRE(cluster->world.RunUntil([&] { return Committed(number); }, seconds(60)));
    return cluster->world.Now() - before;
  }
  // Of what it lacked; what came since is small.
  double Has() {
    const int64_t batches = cluster->partition(0, 3).log().end_offset().value();
    return static_cast<double>(std::min<int64_t>(batches, kBatches) * kBatchBytes);
  }
  double Seconds() const {
    return static_cast<double>((cluster->world.Now() - began).count()) / 1e9;
  }
  bool InSync() { return cluster->isr(0).contains(3); }

  const bool by_leader;
  std::optional<ReplicaCluster> cluster;
  Instant began{0};
};

template <typename Test>
void OnEitherSide(Test test) {
  for (bool by_leader : {true, false}) {
    for (bool cached : {true, false}) {
      for (uint64_t seed = 1; seed <= 2; ++seed) {
        CAPTURE(by_leader);
        CAPTURE(cached);
        CAPTURE(seed);
        Throttled story(seed, by_leader, cached);
        test(story);
      }
    }
  }
}

}  // namespace

TEST_CASE("Replication throttle: who is not in sync is fed at the rate, and nobody waits for it") {
  OnEitherSide([](Throttled& story) {
    constexpr double kRate = 20'000;  // Half a second for a batch.
    story.Begin(static_cast<uint64_t>(kRate));
    // The partition beside it goes on as if nothing were, and so do those in sync of this one, also
    // while the replica joins them.
    Duration worst{0};
    while (!story.InSync() && story.Seconds() < 200) {
      worst = std::max({worst, story.CommitTime(0), story.CommitTime(1)});
      story.cluster->world.RunFor(milliseconds(200));
      CHECK(story.cluster->Converged(1));
      if (story.InSync()) break;
      CHECK(story.Has() < kRate * (story.Seconds() + 2));
      CHECK(story.Has() > kRate * (story.Seconds() * 0.9 - 2));  // What is new goes beside it.
    }
    CHECK(worst < milliseconds(200));
    CHECK(story.Seconds() > Throttled::kBytes / kRate - 2);
    CHECK(story.Seconds() < Throttled::kBytes / kRate * 1.1 + 3);
    story.MustConverge(seconds(1));
  });
}

TEST_CASE(
    "Replication throttle: who waits for the leader's shares it, whichever follower's it is") {
  constexpr int kPartitions = 4;
  ReplicaClusterOptions options;
  options.isr_min = 1;
  options.store.retention_initial_delay = std::chrono::hours(1);
  ReplicaCluster cluster(11, options);
  for (int p = 0; p < kPartitions; ++p) {
    cluster.throttled_leading.insert(p);
    cluster.Create(p, 1);
  }
  REQUIRE(cluster.WaitConverged());
  for (int id : {2, 3}) {
    cluster.Stop(id);
    for (int p = 0; p < kPartitions; ++p) cluster.Shrink(p, id);
  }
  for (int p = 0; p < kPartitions; ++p) {
    cluster.Tell(p, {1});
    for (int i = 0; i < 50; ++i) REQUIRE(cluster.Append(p, {std::string(10'000, 'x')}, false).ok());
  }
  cluster.streams(1).SetThrottleRates({.leader = 200'000});
  for (int id : {2, 3}) cluster.Start(id);
  for (int p = 0; p < kPartitions; ++p) cluster.Tell(p, {1, 2, 3});
  cluster.world.RunFor(seconds(10));
  int64_t all = 0;
  for (int id : {2, 3}) {
    for (int p = 0; p < kPartitions; ++p) {
      const int64_t batches = cluster.partition(p, id).log().end_offset().value();
      CHECK(batches > 15);
      CHECK(batches < 35);
      all += batches;
    }
  }
  CHECK(all > 180);
  CHECK(all < 220);
  CHECK(cluster.WaitConverged(seconds(15)));
}

TEST_CASE("Replication throttle: it can be raised, lowered and taken away at any time") {
  OnEitherSide([](Throttled& story) {
    ReplicaCluster& cluster = *story.cluster;
    story.Begin(100'000);
    cluster.world.RunFor(seconds(3));
    CHECK(story.Has() < 500'000);
    // A batch goes, however small the rate; then there is little left to do for nobody.
    story.SetRate(0);
    cluster.world.RunFor(seconds(10));
    const double stopped = story.Has();
    CHECK(stopped < 700'000);
    cluster.world.RunFor(seconds(100));
    CHECK(story.Has() <= stopped + 2 * Throttled::kBatchBytes);
    story.SetRate(400'000);
    cluster.world.RunFor(seconds(2));
    CHECK(story.Has() > stopped + 500'000);
    CHECK(story.Has() < stopped + 1'300'000);
    story.SetRate(std::nullopt);
    story.MustConverge(seconds(1));
  });
}

TEST_CASE("Replication throttle: a topic that is throttled no more is so at once") {
  OnEitherSide([](Throttled& story) {
    ReplicaCluster& cluster = *story.cluster;
    story.Begin(1);
    cluster.world.RunFor(seconds(20));
    CHECK(story.Has() < 300'000);
    cluster.throttled_leading.clear();
    cluster.throttled_following.clear();
    cluster.Tell(0, {1, 2, 3});
    story.MustConverge(seconds(1));
  });
}

TEST_CASE("Replication throttle: one that comes in the midst holds from then on") {
  OnEitherSide([](Throttled& story) {
    ReplicaCluster& cluster = *story.cluster;
    story.Begin(std::nullopt);
    cluster.world.RunUntil([&] { return story.Has() > 200'000; }, seconds(10));
    story.SetRate(20'000);
    cluster.world.RunFor(milliseconds(200));
    const double before = story.Has();
    cluster.world.RunFor(seconds(10));
    CHECK(story.Has() < before + 400'000);
    story.SetRate(std::nullopt);
    story.MustConverge(seconds(1));
  });
}

TEST_CASE("Replication throttle: streams that break and leaders that change lose no grants") {
  OnEitherSide([](Throttled& story) {
    ReplicaCluster& cluster = *story.cluster;
    story.Begin(200'000);
    for (int i = 0; i < 8; ++i) {
      cluster.world.RunFor(milliseconds(300));
      cluster.world.network().BreakAll();
      if (i == 4) {
        cluster.throttled_leading.erase(0);
        cluster.throttled_following.insert(0);
        cluster.Elect(0, 2);
        cluster.Tell(0, {1, 2, 3});
      }
    }
    story.MustConverge(seconds(60));
  });
}

}  // namespace millrace

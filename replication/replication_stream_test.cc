// The two ends of the replication stream together, on simulated machines.
#include <catch2/catch.hpp>
#include <string>

#include "replication/replica_cluster_test_tools.h"
#include "test/rounds.h"

namespace millrace {
namespace {

std::string Value(int number, size_t padding = 0) {
  return fmt::format("v{}{}", number, std::string(padding, 'x'));
}

void MustConverge(ReplicaCluster& cluster, Duration limit = seconds(60)) {
  if (!cluster.WaitConverged(limit)) FAIL(cluster.Describe());
  cluster.CheckIdentical();
}

}  // namespace

double MetricOf(const PartitionTable& table, std::string_view name) {
  MetricRegistry registry;
  table.RegisterMetrics(registry);
  for (const MetricSample& sample : registry.Snapshot()) {
    if (sample.name.name == name) return std::get<double>(sample.value);
  }
  FAIL("no metric " << name);
  return 0;
}

TEST_CASE("Replication stream: what a leader appends is committed and known on three replicas") {
  for (Durability durability : {Durability::kDisk, Durability::kPageCache}) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      CAPTURE(seed);
      ReplicaClusterOptions options;
      options.durability = durability;
      ReplicaCluster cluster(seed, options);
      for (int p = 0; p < 4; ++p) cluster.Create(p, 1 + p % 3);
      for (int i = 0; i < 40; ++i) {
        REQUIRE(cluster.Append(i % 4, {Value(i), Value(i, 500)}).ok());
        if (i % 3 == 0) cluster.world.RunFor(milliseconds(1));
      }
      MustConverge(cluster);
      CHECK(cluster.losses.empty());
      for (int p = 0; p < 4; ++p) CHECK(cluster.Contents(p, 2).size() == 20);
    }
  }
}

TEST_CASE("Replication stream: nothing is committed before min.insync.replicas have it durably") {
  ReplicaCluster cluster(3);
  cluster.Create(0, 1);
  REQUIRE(cluster.Append(0, {"a"}).ok());
  MustConverge(cluster);
  // What the leader has on its disk counts only as far as its followers have it on theirs.
  REQUIRE(cluster.Append(0, {"b"}).ok());
  const bool held = cluster.world.RunUntil(
      [&] {
        Partition& leader = cluster.partition(0, 1);
        for (int id : {2, 3}) {
          CHECK(leader.high_watermark() <= cluster.partition(0, id).log().durable_end());
        }
        return leader.high_watermark() == Offset(2);
      },
      seconds(5));
  CHECK(held);
}

TEST_CASE("Replication stream: what only a deposed leader has is cut off when it follows") {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    ReplicaCluster cluster(seed);
    cluster.Create(0, 1);
    for (int i = 0; i < 5; ++i) REQUIRE(cluster.Append(0, {Value(i)}).ok());
    MustConverge(cluster);
    cluster.world.network().Isolate(cluster.node(1));
    for (int i = 100; i < 103; ++i) REQUIRE(cluster.Append(0, {Value(i)}, false).ok());
    cluster.Elect(0, 2);
    cluster.Tell(0, {2, 3});
    for (int i = 5; i < 7; ++i) REQUIRE(cluster.Append(0, {Value(i)}).ok());
    cluster.world.RunFor(seconds(1));
    cluster.world.network().HealAll();
    cluster.Tell(0, {1});
    MustConverge(cluster);
    const std::vector<ReadRecord> all = cluster.Contents(0, 1);
    REQUIRE(all.size() == 7);
    for (int i = 0; i < 7; ++i) CHECK(all[static_cast<size_t>(i)].value == Value(i));
  }
}

TEST_CASE("Replication stream: a stream that breaks is resumed, and its loss is told at once") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    ReplicaCluster cluster(seed);
    cluster.Create(0, 1);
    cluster.Create(1, 2);
    REQUIRE(cluster.Append(0, {"first"}).ok());
    REQUIRE(cluster.Append(1, {"first"}).ok());
    MustConverge(cluster);
    for (int i = 0; i < 30; ++i) {
      REQUIRE(cluster.Append(i % 2, {Value(i, 200)}).ok());
      cluster.world.RunFor(milliseconds(3));
      if (i % 10 == 5) cluster.world.network().BreakAll();
    }
    MustConverge(cluster);
    CHECK(cluster.losses.size() >= 3);
    CHECK(cluster.lost.empty());  // All of it was taken back.
    for (const auto& loss : cluster.losses) CHECK(loss.how == StreamLoss::kBroken);
  }
}

TEST_CASE(
    "Replication stream: a killed leader is missed within milliseconds, a dark one by silence") {
  for (bool power : {false, true}) {
    ReplicaClusterOptions options;
    options.streams.keep_alive = milliseconds(500);
    options.streams.silence_max = seconds(2);
    ReplicaCluster cluster(7, options);
    cluster.Create(0, 1);
    REQUIRE(cluster.Append(0, {"a"}).ok());
    MustConverge(cluster);
    const Instant before = cluster.world.Now();
    if (power) {
      cluster.PowerLoss(1);
    } else {
      cluster.Kill(1);
    }
    const bool told = cluster.world.RunUntil(
        [&] {
          std::set<int> who;
          for (const auto& loss : cluster.losses) {
            if (loss.peer == 1) who.insert(loss.at);
          }
          return who.size() == 2;
        },
        seconds(20));
    REQUIRE(told);
    CHECK(cluster.losses.front().how == (power ? StreamLoss::kSilent : StreamLoss::kBroken));
    const Duration took = cluster.world.Now() - before;
    CHECK(took < (power ? Duration(seconds(4)) : Duration(milliseconds(20))));
    // Life goes on under another leader; the old one comes back and follows.
    cluster.Elect(0, 3);
    cluster.world.RunFor(milliseconds(100));
    cluster.Tell(0, {2, 3});
    CHECK(cluster.streams(3).metrics().failover.count() == 1);
    CHECK(cluster.streams(3).metrics().failover.sum_ns() >= uint64_t{100'000'000});
    CHECK(cluster.streams(2).metrics().failover.count() == 0);
    REQUIRE(cluster.Append(0, {"b"}).ok());
    cluster.Start(1);
    cluster.Tell(0, {1, 2, 3});
    MustConverge(cluster);
  }
}

TEST_CASE("Replication stream: who falls behind leaves the ISR, catches up from disk, comes back") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    ReplicaClusterOptions options;
    options.store.tail_cache_bytes_max = 64 << 10;
    options.store.segment_write_bytes = 64 << 10;
    options.store.segment_write_age = milliseconds(20);
    ReplicaCluster cluster(seed, options);
    cluster.Create(0, 1);
    cluster.Create(1, 1);
    MustConverge(cluster);
    cluster.Stop(3);
    cluster.Tell(0, {1, 2});
    cluster.Tell(1, {1, 2});
    for (int i = 0; i < 400; ++i) {
      REQUIRE(cluster.Append(0, {Value(i, 10'000)}, false).ok());
      if (i % 4 == 0) cluster.world.RunFor(milliseconds(5));
    }
    const bool shrunk = cluster.world.RunUntil(
        [&] { return !cluster.isr(0).contains(3) && cluster.Converged(0); }, seconds(20));
    if (!shrunk) FAIL(cluster.Describe());
    CHECK(MetricOf(cluster.table(1), "millrace_isr_shrinks_total") >= 1);
    CHECK(MetricOf(cluster.table(1), "millrace_partitions_led_under_replicated") >= 1);
    cluster.world.RunFor(seconds(2));
    cluster.Start(3);
    cluster.Tell(0, {1, 2, 3});
    cluster.Tell(1, {1, 2, 3});
    // Meanwhile partition 1 is live, and its commits do not wait for the catching up.
    Duration worst{0};
    for (int i = 0; i < 20; ++i) {
      const Instant began = cluster.world.Now();
      REQUIRE(cluster.Append(1, {Value(i)}).ok());
      REQUIRE(cluster.world.RunUntil(
          [&] {
            Partition& live = cluster.partition(1, 1);
            return live.high_watermark() == live.log().end_offset();
          },
          seconds(20)));
      worst = std::max(worst, Duration(cluster.world.Now() - began));
    }
    CHECK(worst < milliseconds(300));
    MustConverge(cluster, seconds(120));
    CHECK(cluster.streams(1).metrics().catch_up_bytes.value() > 2'000'000);
    CHECK(MetricOf(cluster.table(1), "millrace_isr_expands_total") >= 1);
    CHECK(MetricOf(cluster.table(1), "millrace_partitions_led_under_replicated") == 0);
  }
}

TEST_CASE("Replication stream: little credit and little memory slow it down, and no more") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    ReplicaClusterOptions options;
    options.streams.credit_bytes = 4000;
    options.streams.data_bytes_max = 2000;
    options.streams.send_bytes_max = 3000;
    options.store.pending_bytes_max = 64 << 10;
    options.store.segment_write_bytes = 16 << 10;
    ReplicaCluster cluster(seed, options);
    for (int p = 0; p < 3; ++p) cluster.Create(p, 1);
    for (int i = 0; i < 120; ++i) REQUIRE(cluster.Append(i % 3, {Value(i, 1500)}, false).ok());
    // Larger than all the credit there is: it goes alone.
    REQUIRE(cluster.Append(0, {Value(1000, 20'000)}, false).ok());
    MustConverge(cluster, seconds(120));
  }
}

TEST_CASE(
    "Replication stream: records that were deleted are deleted on followers, also on late ones") {
  ReplicaCluster cluster(5);
  cluster.Create(0, 1);
  for (int i = 0; i < 10; ++i) REQUIRE(cluster.Append(0, {Value(i)}).ok());
  MustConverge(cluster);
  cluster.Stop(3);
  cluster.Shrink(0, 3);
  cluster.Tell(0, {1, 2});
  Partition& leader = cluster.partition(0, 1);
  REQUIRE(cluster.world.Run(cluster.env(1), leader.log().AdvanceStart(Offset(6))).ok());
  cluster.streams(1).OnReplicaChange(leader, ReplicaChange::kLogStart);
  REQUIRE(cluster.world.RunUntil(
      [&] { return cluster.partition(0, 2).log().start_offset() == Offset(6); }, seconds(5)));
  cluster.Start(3);
  cluster.Tell(0, {1, 2, 3});
  REQUIRE(cluster.world.RunUntil(
      [&] {
        return cluster.AllConverged() && cluster.partition(0, 3).log().start_offset() == Offset(6);
      },
      seconds(20)));
  cluster.CheckIdentical();
}

TEST_CASE("Replication stream: a follower whose log ends before the leader's begins starts anew") {
  ReplicaCluster cluster(6);
  cluster.Create(0, 1);
  for (int i = 0; i < 3; ++i) REQUIRE(cluster.Append(0, {Value(i)}).ok());
  MustConverge(cluster);
  cluster.Stop(3);
  cluster.Shrink(0, 3);
  cluster.Tell(0, {1, 2});
  for (int i = 3; i < 10; ++i) REQUIRE(cluster.Append(0, {Value(i)}).ok());
  REQUIRE(cluster.world.RunUntil([&] { return cluster.Converged(0); }, seconds(20)));
  REQUIRE(cluster.world.Run(cluster.env(1), cluster.partition(0, 1).log().AdvanceStart(Offset(8)))
              .ok());
  cluster.Start(3);
  cluster.Tell(0, {1, 2, 3});
  REQUIRE(cluster.world.RunUntil(
      [&] {
        const Log& log = cluster.partition(0, 3).log();
        return log.start_offset() == Offset(8) && log.end_offset() == Offset(10);
      },
      seconds(20)));
  CHECK(cluster.Contents(0, 3) == cluster.Contents(0, 1));
}

TEST_CASE(
    "Replication stream: a new follower takes a batch in the middle of which the log starts") {
  ReplicaCluster cluster(7);
  cluster.Create(0, 1);
  REQUIRE(cluster.Append(0, {"a", "b", "c", "d"}).ok());
  MustConverge(cluster);
  cluster.Stop(3);
  cluster.Shrink(0, 3);
  cluster.Tell(0, {1, 2});
  REQUIRE(cluster.Append(0, {"e"}).ok());
  REQUIRE(cluster.world.RunUntil([&] { return cluster.Converged(0); }, seconds(20)));
  REQUIRE(cluster.world.Run(cluster.env(1), cluster.partition(0, 1).log().AdvanceStart(Offset(2)))
              .ok());
  cluster.node(3).Wipe();
  cluster.Start(3);
  cluster.Tell(0, {1, 2, 3});
  REQUIRE(cluster.world.RunUntil(
      [&] {
        const Log& log = cluster.partition(0, 3).log();
        return cluster.Converged(0) && log.start_offset() == Offset(2);
      },
      seconds(20)));
  CHECK(cluster.Contents(0, 3) == cluster.Contents(0, 1));
}

namespace {

// Says hello over a connection of its own, and gives the answer.
Task<absl::StatusOr<ReplicationWelcome>> Knock(Env* env, ReplicationHello hello, std::string then,
                                               bool* closed) {
  auto connection = co_await env->network.Connect({"n1", ReplicaCluster::kPort}, Instant::Max());
  if (!connection.ok()) co_return connection.status();
  StreamReader reader(env->reactor, **connection, StreamSide::kLeader, 1 << 20);
  (void)co_await (*connection)->Send(Chain(EncodeReplicationHello(hello)));
  auto answer = co_await reader.NextKafkaFrame(kHelloBytesMax);
  absl::StatusOr<ReplicationWelcome> welcome = absl::UnavailableError("no answer");
  if (answer.ok()) welcome = ParseReplicationWelcome(answer->span());
  if (!then.empty()) (void)co_await (*connection)->Send(Chain(Slice::Copy(then)));
  for (;;) {
    auto frame = co_await reader.Next();
    if (frame.ok()) continue;
    *closed = true;
    break;
  }
  co_await (*connection)->Close();
  co_return welcome;
}

}  // namespace

TEST_CASE("Replication stream: only a broker of this cluster, in its present epoch, is welcome") {
  ReplicaCluster cluster(9);
  cluster.Create(0, 1);
  Env& env = cluster.world.AddNode("stranger").Boot();
  const ReplicationHello good{.cluster_id = "cluster",
                              .broker = BrokerId(2),
                              .broker_epoch = *cluster.EpochOf(BrokerId(2)),
                              .shard = ShardId(5),
                              .leader = BrokerId(1),
                              .leader_shard = ShardId(0)};
  const auto verdict = [&](ReplicationHello hello, std::string then = "") {
    bool closed = false;
    auto welcome = cluster.world.Run(env, Knock(&env, std::move(hello), std::move(then), &closed));
    CHECK(closed);
    REQUIRE(welcome.ok());
    return welcome->verdict;
  };
  ReplicationHello hello = good;
  hello.cluster_id = "another";
  CHECK(verdict(hello) == ReplicationVerdict::kWrongCluster);
  hello = good;
  hello.broker = BrokerId(77);
  CHECK(verdict(hello) == ReplicationVerdict::kUnknownBroker);
  hello = good;
  hello.broker_epoch = BrokerEpoch(good.broker_epoch.value() - 1);
  CHECK(verdict(hello) == ReplicationVerdict::kStaleBroker);
  hello.broker_epoch = BrokerEpoch(good.broker_epoch.value() + 1);
  CHECK(verdict(hello) == ReplicationVerdict::kUnknownBroker);
  hello = good;
  hello.leader = BrokerId(3);
  CHECK(verdict(hello) == ReplicationVerdict::kWrongBroker);
  hello = good;
  hello.leader_shard = ShardId(1);
  CHECK(verdict(hello) == ReplicationVerdict::kNoSuchShard);
  hello = good;
  hello.broker = BrokerId(1);  // Itself.
  CHECK(verdict(hello) == ReplicationVerdict::kWrongBroker);
  // Welcome, and then it says what no follower says.
  CHECK(verdict(good, std::string(12, '\0')) == ReplicationVerdict::kWelcome);
  StreamFrameWriter data;
  data.AddData({StreamHandle(1), Offset(0), Offset(0)}, Chain(Slice::Copy("batches")));
  CHECK(verdict(good, std::string(data.Take().Flatten().view())) == ReplicationVerdict::kWelcome);
  StreamFrameWriter twice;
  const StreamSubscribe subscribe{
      StreamHandle(1),
      TestPartition(0),
      {LeaderEpoch(0), std::nullopt, {Offset(0), Offset(0), Offset(0)}}};
  twice.Add(subscribe);
  twice.Add(subscribe);
  CHECK(verdict(good, std::string(twice.Take().Flatten().view())) == ReplicationVerdict::kWelcome);
  // It claims to have what was never sent to it: nothing is committed by that.
  StreamFrameWriter liar;
  liar.Add(subscribe);
  const std::vector<StreamProgress::Entry> lie = {
      {StreamHandle(1), {Offset(0), Offset(1000), Offset(1000)}}};
  liar.Add(lie);
  CHECK(verdict(good, std::string(liar.Take().Flatten().view())) == ReplicationVerdict::kWelcome);
  REQUIRE(cluster.Append(0, {"a"}).ok());
  MustConverge(cluster);
}

}  // namespace millrace

namespace millrace {
namespace {

// Keeps what was acknowledged: a value, and where it is.
struct Acknowledged final : OffsetWaiter {
  void OnReached(const absl::Status& how) override { done = how; }
  std::string value;
  Offset offset{0};
  std::optional<absl::Status> done;
};

// One seed: producers on two partitions, and everything breaks; a controller that elects cleanly.
class Turmoil {
 public:
  explicit Turmoil(uint64_t seed)
      : dice_(SimRandom::Derived(seed, "turmoil")), cluster_(seed, Options(dice_)) {
    for (int p = 0; p < kPartitions; ++p) cluster_.Create(p, 1 + p);
  }

  void Run() {
    const int steps = 60;
    for (int step = 0; step < steps; ++step) {
      Produce();
      cluster_.world.RunFor(dice_.Between(microseconds(50), milliseconds(120)));
      if (dice_.Below(4) == 0) BreakSomething();
      Elections();
    }
    cluster_.world.network().HealAll();
    for (int id = 1; id <= 3; ++id) {
      if (!cluster_.up(id)) Restart(id);
      cluster_.streams(id).SetThrottleRates({});
    }
    Elections();
    for (int p = 0; p < kPartitions; ++p) cluster_.Tell(p, {1, 2, 3});
    // Something new commits what an election left undecided.
    Produce();
    if (!cluster_.WaitConverged(seconds(120))) FAIL(cluster_.Describe());
    cluster_.CheckIdentical();
    for (int p = 0; p < kPartitions; ++p) {
      const std::vector<ReadRecord> log = cluster_.Contents(p, cluster_.leader(p));
      for (const auto& sent : sent_[p]) {
        if (!sent->done.has_value() || !sent->done->ok()) continue;
        ++acknowledged_;
        const auto at = static_cast<size_t>(sent->offset.value());
        INFO("acknowledged " << sent->value << " at " << at << " of " << log.size());
        REQUIRE(at < log.size());
        CHECK(log[at].value == sent->value);
      }
    }
  }
  int acknowledged() const { return acknowledged_; }

 private:
  static constexpr int kPartitions = 2;

  static ReplicaClusterOptions Options(SimRandom& dice) {
    ReplicaClusterOptions options;
    options.lag_max = milliseconds(static_cast<int64_t>(dice.Between(100, 3000)));
    options.streams.silence_max = seconds(2);
    options.streams.keep_alive = milliseconds(300);
    options.streams.credit_bytes = dice.Between(2000, 1 << 20);
    options.streams.data_bytes_max = dice.Between(1000, 64 << 10);
    options.streams.send_bytes_max = dice.Between(2000, 128 << 10);
    options.store.tail_cache_bytes_max = dice.Between(1000, 1 << 20);
    options.store.segment_write_bytes = 16 << 10;
    options.store.segment_write_age = milliseconds(20);
    options.world.network.buffer_bytes = dice.Between(2000, 256 << 10);
    options.world.network.segment_bytes_max = dice.Between(200, 16 << 10);
    options.world.disk.sync_latency_max =
        dice.Between(Duration(microseconds(100)), milliseconds(20));
    return options;
  }

  void Produce() {
    for (int p = 0; p < kPartitions; ++p) {
      const int leader = cluster_.leader(p);
      for (uint64_t n = dice_.Below(6); n > 0 && cluster_.up(leader); --n) {
        auto sent = std::make_unique<Acknowledged>();
        sent->value = Value(next_value_++, dice_.Below(2000));
        Partition& partition = cluster_.partition(p, leader);
        const Offset end = partition.log().end_offset();
        if (!cluster_.Append(p, {sent->value}).ok()) break;
        sent->offset = end;
        if (partition.high_watermark() > end) {
          sent->done = absl::OkStatus();
        } else {
          partition.committed().Add(*sent, end + OffsetDelta(1));
        }
        sent_[p].push_back(std::move(sent));
      }
    }
  }

  void BreakSomething() {
    const int id = static_cast<int>(1 + dice_.Below(3));
    const int other = 1 + id % 3;
    SimFabric& network = cluster_.world.network();
    switch (dice_.Below(8)) {
      case 0:
        network.BreakAll();
        break;
      case 1:
        network.Cut(cluster_.node(id), cluster_.node(other));
        break;
      case 2:
        network.CutOneWay(cluster_.node(id), cluster_.node(other));
        break;
      case 3:
        network.HealAll();
        break;
      case 4:
        if (cluster_.up(id)) cluster_.Kill(id);
        break;
      case 5:
        if (cluster_.up(id)) cluster_.PowerLoss(id);
        break;
      case 6:
        Throttle(id);
        break;
      default:  // All of them, just after something was sent (P2).
        Produce();
        cluster_.world.RunFor(dice_.Between(microseconds(50), milliseconds(10)));
        for (int each = 1; each <= 3; ++each) {
          if (cluster_.up(each)) cluster_.PowerLoss(each);
        }
    }
  }

  // Whatever it is, it changes when replicas are equal, and not that they will be.
  void Throttle(int id) {
    for (std::set<int>* throttled : {&cluster_.throttled_leading, &cluster_.throttled_following}) {
      const auto number = static_cast<int>(dice_.Below(kPartitions));
      if (throttled->erase(number) == 0) throttled->insert(number);
    }
    if (!cluster_.up(id)) return;
    cluster_.streams(id).SetThrottleRates(
        {.leader = dice_.Below(100'000), .follower = dice_.Below(5'000)});
    for (int p = 0; p < kPartitions; ++p) cluster_.Tell(p, {id});
  }

  void Restart(int id) {
    cluster_.Start(id);
    for (int p = 0; p < kPartitions; ++p) cluster_.Tell(p, {1, 2, 3});
  }

  void Elections() {
    for (int id = 1; id <= 3; ++id) {
      if (!cluster_.up(id) && dice_.Below(6) == 0) Restart(id);
    }
    for (int p = 0; p < kPartitions; ++p) {
      if (cluster_.up(cluster_.leader(p)) && dice_.Below(30) > 0) continue;
      std::vector<int> candidates;
      for (int id : cluster_.isr(p)) {
        if (cluster_.up(id)) candidates.push_back(id);
      }
      if (candidates.empty()) continue;  // Nobody may lead: P12.
      cluster_.Elect(p, candidates[dice_.Below(candidates.size())]);
      for (int id = 1; id <= 3; ++id) {
        if (dice_.Below(5) > 0 || id == cluster_.leader(p)) cluster_.Tell(p, {id});
      }
    }
  }

  SimRandom dice_;
  ReplicaCluster cluster_;
  std::map<int, std::vector<std::unique_ptr<Acknowledged>>> sent_;
  int next_value_ = 0;
  int acknowledged_ = 0;
};

}  // namespace

TEST_CASE("Replication stream: what was acknowledged is on all replicas, whatever broke") {
  int acknowledged = 0;
  for (uint64_t seed = 1; seed <= Rounds(40); ++seed) {
    CAPTURE(seed);
    Turmoil turmoil(seed);
    turmoil.Run();
    acknowledged += turmoil.acknowledged();
  }
  CHECK(acknowledged > Rounds(2000));
}

}  // namespace millrace

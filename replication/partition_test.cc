#include "replication/partition.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "replication/partition_table.h"
#include "storage/log_test_tools.h"
#include "storage/producer/transaction_test_tools.h"

namespace millrace {
namespace {

constexpr BrokerId kSelf(1);

struct Told final : OffsetWaiter {
  void OnReached(const absl::Status& how) override { status = how; }
  std::optional<absl::Status> status;
};

// One broker's replicas on a simulated machine.
struct Replicas {
  explicit Replicas(uint64_t seed = 1, BrokerId self = kSelf, LogStoreOptions options = {})
      : world(seed),
        node(world.AddNode("n1")),
        env(node.Boot()),
        store(world, env, std::move(options)) {
    REQUIRE(store.Start().ok());
    table = std::make_unique<PartitionTable>(env, *store, self);
  }
  ~Replicas() {
    Stop();
    table.reset();
    CHECK(store.Stop().ok());
  }

  void Stop() { REQUIRE(world.Run(env, StopTable(table.get())).ok()); }
  static Task<absl::Status> StopTable(PartitionTable* table) {
    co_await table->Stop();
    co_return absl::OkStatus();
  }

  // Replicas on brokers 1, 2, ... Every broker is in epoch 10 times its id.
  static PartitionAssignment Assigned(int number, std::optional<BrokerId> leader, int32_t epoch,
                                      std::set<BrokerId> isr = {kSelf}, int replicas = 1) {
    PartitionAssignment assignment;
    assignment.id = TestPartition(number);
    assignment.topic = TestTopic(number);
    assignment.leader = leader;
    assignment.leader_epoch = LeaderEpoch(epoch);
    assignment.partition_epoch = PartitionEpoch(epoch);
    for (int id = 1; id <= replicas; ++id) {
      assignment.replicas.push_back({.broker = BrokerId(id),
                                     .epoch = BrokerEpoch(10 * id),
                                     .in_isr = isr.contains(BrokerId(id)),
                                     .active = true});
    }
    return assignment;
  }
  static std::shared_ptr<PartitionRules> Rules(Durability durability = Durability::kDisk) {
    auto rules = std::make_shared<PartitionRules>();
    rules->log.durability = durability;
    return rules;
  }
  Partition& Open(PartitionAssignment assignment, std::shared_ptr<PartitionRules> rules = Rules()) {
    const TopicPartitionId id = assignment.id;
    REQUIRE(world.Run(env, table->Open(std::move(assignment), std::move(rules))).ok());
    REQUIRE(table->Find(id) != nullptr);
    return *table->Find(id);
  }
  absl::StatusOr<LeaderAppend> Append(Partition& partition, BatchView batch, bool acks_all = true) {
    auto valid = partition.Prepare(batch, acks_all, Timestamp(1000), validator);
    REQUIRE(valid.has_value());  // None of these is long.
    if (!valid->has_value()) return valid->error().status;
    const size_t size = (*valid)->batch.bytes().size();
    auto admission = world.Run(env, store->Admit(size, CancellationToken()));
    REQUIRE(admission.ok());
    return partition.Append(**std::move(valid), acks_all, *admission);
  }
  LeaderAppend MustAppend(Partition& partition, BatchView batch, bool acks_all = true) {
    auto appended = Append(partition, std::move(batch), acks_all);
    if (!appended.ok()) FAIL(appended.status().ToString());
    return *appended;
  }

  SimWorld world;
  SimNode& node;
  Env& env;
  TestStore store;
  std::unique_ptr<PartitionTable> table;
  ShardValidator validator{env, {}};
};

}  // namespace

TEST_CASE("Partition: on a disk topic nothing is committed, or readable, before it is durable") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Replicas replicas(seed);
    Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0));
    LeaderAppend first = replicas.MustAppend(partition, TestBatch({"a", "b"}));
    CHECK(first.base_offset == Offset(0));
    CHECK(first.next_offset == Offset(2));
    CHECK(partition.high_watermark() <= partition.log().durable_end());
    Told told;
    LeaderAppend second = replicas.MustAppend(partition, TestBatch({"c"}));
    if (partition.high_watermark() < second.next_offset) {
      partition.committed().Add(told, second.next_offset);
      CHECK(!told.status.has_value());
      replicas.store.WaitDurable(partition.log());
      REQUIRE(told.status.has_value());
      CHECK(told.status->ok());
    }
    CHECK(partition.high_watermark() == Offset(3));
    CHECK(partition.high_watermark_is_current());
  }
}

TEST_CASE("Partition: on a page-cache topic an append is committed at once") {
  Replicas replicas;
  Partition& partition =
      replicas.Open(Replicas::Assigned(0, kSelf, 0), Replicas::Rules(Durability::kPageCache));
  CHECK(replicas.MustAppend(partition, TestBatch({"a"})).next_offset == Offset(1));
  CHECK(partition.high_watermark() == Offset(1));
}

TEST_CASE("Partition: committed reading ends before what is undecided, and never above the rest") {
  Replicas replicas;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0));
  replicas.MustAppend(partition, TestBatch({"a"}));
  Log& log = partition.log();
  // Clients cannot begin transactions yet; a log that another broker wrote may hold some.
  replicas.store.Append(log, TransactionalBatch(5, 0, 1));
  replicas.MustAppend(partition, TestBatch({"b"}));
  replicas.store.WaitDurable(log);
  CHECK(partition.high_watermark() == Offset(4));
  CHECK(partition.last_stable_offset() == Offset(1));
  replicas.store.Append(log, MarkerBatch(5, 0, /*commit=*/true));
  CHECK(partition.last_stable_offset() == Offset(1));  // The marker is not durable yet.
  replicas.store.WaitDurable(log);
  CHECK(partition.last_stable_offset() == Offset(5));
}

TEST_CASE("Partition: a duplicate answers the place it has, and appends nothing") {
  Replicas replicas;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0));
  auto batch = [](int32_t sequence) {
    return TestBatch({"a", "b"}, Timestamp(1000),
                     BatchProducer{ProducerId(7), ProducerEpoch(0), Sequence(sequence)});
  };
  replicas.MustAppend(partition, batch(0));
  replicas.MustAppend(partition, batch(2));
  LeaderAppend again = replicas.MustAppend(partition, batch(0));
  CHECK(again.duplicate);
  CHECK(again.base_offset == Offset(0));
  CHECK(again.next_offset == Offset(2));
  CHECK(partition.log().end_offset() == Offset(4));
  CHECK(KindOf(replicas.Append(partition, batch(9)).status()) == ErrorKind::kOutOfOrderSequence);
}

TEST_CASE(
    "Partition: acks=all needs min.insync.replicas, others do not; below it nothing commits") {
  Replicas replicas;
  std::shared_ptr<PartitionRules> rules = Replicas::Rules();
  rules->isr_min = 2;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0, {kSelf}, 3), rules);
  CHECK(KindOf(replicas.Append(partition, TestBatch({"a"})).status()) ==
        ErrorKind::kNotEnoughReplicas);
  replicas.MustAppend(partition, TestBatch({"a"}), /*acks_all=*/false);
  replicas.store.WaitDurable(partition.log());
  CHECK(partition.high_watermark() == Offset(0));
  // More than there are replicas is asked for: all of them are enough (rule 1.5).
  Partition& alone = replicas.Open(Replicas::Assigned(1, kSelf, 0, {kSelf}, 1), rules);
  replicas.MustAppend(alone, TestBatch({"a"}));
  replicas.store.WaitDurable(alone.log());
  CHECK(alone.high_watermark() == Offset(1));
}

TEST_CASE("Partition: a leadership that ends tells its waiters, and an older one is fenced") {
  Replicas replicas;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 3));
  CHECK(partition.CheckLeader(std::nullopt).ok());
  CHECK(partition.CheckLeader(LeaderEpoch(3)).ok());
  CHECK(KindOf(partition.CheckLeader(LeaderEpoch(2))) == ErrorKind::kFencedLeaderEpoch);
  CHECK(KindOf(partition.CheckLeader(LeaderEpoch(4))) == ErrorKind::kUnknownLeaderEpoch);

  Told told;
  partition.committed().Add(told, Offset(100));
  replicas.Open(Replicas::Assigned(0, kSelf, 4));  // The same leader, a new epoch.
  REQUIRE(told.status.has_value());
  CHECK(KindOf(*told.status) == ErrorKind::kNotLeaderOrFollower);
  CHECK(KindOf(partition.CheckLeader(LeaderEpoch(3))) == ErrorKind::kFencedLeaderEpoch);
  CHECK(partition.log().latest_epoch() == LeaderEpoch(4));

  replicas.Open(Replicas::Assigned(0, BrokerId(2), 5, {BrokerId(2)}, 2));
  CHECK(!partition.leads());
  CHECK(partition.led_before());
  CHECK(KindOf(partition.CheckLeader(std::nullopt)) == ErrorKind::kNotLeaderOrFollower);
  CHECK(KindOf(replicas.Append(partition, TestBatch({"a"})).status()) ==
        ErrorKind::kNotLeaderOrFollower);

  // Nobody leads for an epoch: who waits there is told of the next role, too.
  replicas.Open(Replicas::Assigned(0, std::nullopt, 6, {BrokerId(2)}, 2));
  CHECK(!partition.led_before());
  Told of_role;
  partition.committed().Add(of_role, Offset(100));
  replicas.Open(Replicas::Assigned(0, kSelf, 7));
  CHECK(of_role.status.has_value());
}

TEST_CASE("Partition: a leadership that ends between validation and append refuses the append") {
  Replicas replicas;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0));
  auto valid = partition.Prepare(TestBatch({"a"}), true, Timestamp(1000), replicas.validator);
  REQUIRE(valid.has_value());
  REQUIRE(valid->has_value());
  replicas.Open(Replicas::Assigned(0, BrokerId(2), 1, {BrokerId(2)}, 2));
  auto admission =
      replicas.world.Run(replicas.env, replicas.store->Admit(1000, CancellationToken()));
  REQUIRE(admission.ok());
  CHECK(KindOf(partition.Append(**std::move(valid), true, *admission).status()) ==
        ErrorKind::kNotLeaderOrFollower);
  CHECK(partition.log().end_offset() == Offset(0));
}

TEST_CASE("PartitionTable: Remove tells those who wait, also for durability") {
  Replicas replicas;
  Partition& partition = replicas.Open(Replicas::Assigned(0, kSelf, 0));
  Told committed;
  Told durable;
  partition.committed().Add(committed, Offset(100));
  partition.durable().Add(durable, Offset(100));
  CHECK(replicas.world.Run(replicas.env, replicas.table->Remove(TestPartition(0))).ok());
  REQUIRE(committed.status.has_value());
  CHECK(KindOf(*committed.status) == ErrorKind::kUnknownTopicOrPartition);
  REQUIRE(durable.status.has_value());
  CHECK(!durable.status->ok());
  CHECK(replicas.table->Find(TestPartition(0)) == nullptr);
  CHECK(replicas.world.Run(replicas.env, replicas.table->Remove(TestPartition(0))).ok());
}

TEST_CASE("PartitionTable: who waits for a replica hears when it is open, and when it cannot be") {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};  // One is to fail.
  Replicas replicas(1, kSelf, std::move(options));
  PartitionTable& table = *replicas.table;
  const auto open = [&](int number) {
    return replicas.world.Run(replicas.env,
                              table.Open(Replicas::Assigned(number, kSelf, 0), Replicas::Rules()));
  };
  Told opened;
  CHECK(table.MayBeOpened(TestPartition(0)));
  table.AwaitOpening(TestPartition(0), opened);
  Told of_another;
  table.AwaitOpening(TestPartition(1), of_another);
  CHECK(open(0).ok());
  CHECK(opened.status == absl::OkStatus());
  CHECK_FALSE(table.MayBeOpened(TestPartition(0)));
  CHECK_FALSE(of_another.status.has_value());

  // Not waited for again until it is tried again.
  replicas.node.disk().FailNextSync();
  CHECK_FALSE(open(1).ok());
  REQUIRE(of_another.status.has_value());
  CHECK_FALSE(of_another.status->ok());
  CHECK_FALSE(table.MayBeOpened(TestPartition(1)));

  CHECK(open(1).ok());  // In the other directory.
  CHECK(table.Find(TestPartition(1)) != nullptr);

  // Nor what was waited for in vain, until it is open.
  table.NoteAwaitedInVain(TestPartition(4));
  CHECK_FALSE(table.MayBeOpened(TestPartition(4)));
  CHECK(open(4).ok());
  CHECK(replicas.world.Run(replicas.env, table.Remove(TestPartition(4))).ok());
  CHECK(table.MayBeOpened(TestPartition(4)));

  Told of_removed;
  CHECK(table.MayBeOpened(TestPartition(2)));
  table.AwaitOpening(TestPartition(2), of_removed);
  CHECK(replicas.world.Run(replicas.env, table.Remove(TestPartition(2))).ok());
  REQUIRE(of_removed.status.has_value());
  CHECK_FALSE(of_removed.status->ok());

  Told of_stopped;
  table.AwaitOpening(TestPartition(3), of_stopped);
  replicas.Stop();
  REQUIRE(of_stopped.status.has_value());
  CHECK_FALSE(of_stopped.status->ok());
}

TEST_CASE("PartitionTable: strays are kept, out of the way of a topic of the same name") {
  Replicas replicas;
  LeaderAppend kept =
      replicas.MustAppend(replicas.Open(Replicas::Assigned(1, kSelf, 0)), TestBatch({"kept"}));
  replicas.Open(Replicas::Assigned(0, kSelf, 0));
  // As after a crash between the deletion's record and the removal of the log.
  replicas.Stop();
  PartitionAssignment anew = Replicas::Assigned(2, kSelf, 0);
  anew.topic = TestTopic(0);
  const auto is_ours = [](const TopicPartitionId& id) { return id != TestPartition(0); };
  CHECK(replicas.world.Run(replicas.env, replicas.table->SetStraysAside(is_ours)).ok());
  CHECK(replicas.Open(anew).log().end_offset() == Offset(0));
  CHECK(replicas.Open(Replicas::Assigned(1, kSelf, 1)).log().end_offset() == kept.next_offset);
  CHECK(replicas.store->Find(TestPartition(0)) == nullptr);
  replicas.world.RunFor(seconds(120));  // Beyond file.delete.delay.ms.
  const auto entries = replicas.world.Run(replicas.env, replicas.env.disk.List("/data"));
  REQUIRE(entries.ok());
  CHECK(std::ranges::count_if(*entries, [](const DirectoryEntry& entry) {
          return entry.name.ends_with("-stray");
        }) == 1);
}

TEST_CASE("Partition: DeleteRecords goes as far as the high watermark and no further") {
  Replicas replicas;
  auto rules = Replicas::Rules();
  Partition& partition = replicas.Open(Replicas::Assigned(1, kSelf, 0), rules);
  replicas.MustAppend(partition, TestBatch({"a", "b", "c"}));
  // Not durable yet, so not committed.
  CHECK(KindOf(partition.StartAfterDelete(Offset(1)).status()) == ErrorKind::kOffsetOutOfRange);
  REQUIRE(replicas.world.RunUntil([&] { return partition.high_watermark() == Offset(3); },
                                  seconds(10)));
  CHECK(*partition.StartAfterDelete(Offset(1)) == Offset(1));
  CHECK(*partition.StartAfterDelete(std::nullopt) == Offset(3));
  CHECK(KindOf(partition.StartAfterDelete(Offset(4)).status()) == ErrorKind::kOffsetOutOfRange);
}

TEST_CASE(
    "Partition: of a topic that is only compacted no records are deleted, nor by a follower") {
  Replicas replicas;
  auto rules = Replicas::Rules();
  rules->log.cleanup_compact = true;
  Partition& both = replicas.Open(Replicas::Assigned(1, kSelf, 0), rules);
  CHECK(both.StartAfterDelete(std::nullopt).ok());
  rules = Replicas::Rules();
  rules->log.cleanup_compact = true;
  rules->log.cleanup_delete = false;
  Partition& compacted = replicas.Open(Replicas::Assigned(2, kSelf, 0), rules);
  CHECK(KindOf(compacted.StartAfterDelete(std::nullopt).status()) == ErrorKind::kPolicyViolation);
  Partition& follower = replicas.Open(Replicas::Assigned(3, BrokerId(2), 0));
  CHECK(KindOf(follower.StartAfterDelete(std::nullopt).status()) ==
        ErrorKind::kNotLeaderOrFollower);
}

namespace {

// Two brokers, 1 and 2, with a replica of partition 0 each, in a world of its own; what the stream
// would carry is carried by hand.
struct Pair {
  Pair() { Lead(1, 1); }

  // Both are in the ISR.
  void Lead(int32_t broker, int32_t epoch) {
    auto assigned = Replicas::Assigned(0, BrokerId(broker), epoch, {BrokerId(1), BrokerId(2)}, 2);
    leading = broker == 1 ? &first : &second;
    following = broker == 1 ? &second : &first;
    leader = &leading->Open(assigned);
    follower = &following->Open(assigned);
    follower_id = BrokerId(3 - broker);
  }
  BrokerEpoch follower_epoch() const { return BrokerEpoch(10 * follower_id.value()); }
  // Until the logs meet; how many hellos it took.
  int Meet() {
    for (int hellos = 1; hellos < 10; ++hellos) {
      std::optional<FollowerHello> hello = follower->Hello();
      REQUIRE(hello.has_value());
      auto answer = leader->OnFollowerHello(follower_id, follower_epoch(), *hello);
      if (!answer.ok()) FAIL(answer.status().ToString());
      auto met = following->world.Run(following->env,
                                      follower->OnHelloAnswer(hello->leader_epoch, *answer));
      if (!met.ok()) FAIL(met.status().ToString());
      if (*met) return hellos;
    }
    FAIL("they never meet");
    return 0;
  }
  absl::Status Take(const BatchView& batch) {
    auto admission =
        following->world.Run(following->env, following->store->Admit(batch.bytes().size(), {}));
    REQUIRE(admission.ok());
    return follower->AppendFromLeader(leader->leader_epoch(), batch, *admission);
  }
  // All that the follower lacks, then how the leader stands.
  void Fetch() {
    const Offset end = leader->log().end_offset();
    auto read = leader->log().TryReadCached(follower->log().end_offset(), {1 << 20, end});
    REQUIRE(read.ok());
    REQUIRE(read->has_value());
    BatchReader batches((*read)->batches.Flatten());
    for (;;) {
      auto batch = batches.Next();
      REQUIRE(batch.ok());
      if (!batch->has_value()) break;
      if (absl::Status taken = Take(**batch); !taken.ok()) FAIL(taken.ToString());
    }
    Hear();
  }
  void Hear() {
    REQUIRE(follower
                ->OnLeaderOffsets(leader->leader_epoch(), leader->high_watermark(),
                                  leader->log().start_offset())
                .ok());
  }
  absl::Status Report() {
    return leader->OnFollowerProgress(follower_id, follower_epoch(), follower->leader_epoch(),
                                      follower->ends());
  }
  void Sync() {
    leading->store.WaitDurable(leader->log());
    following->store.WaitDurable(follower->log());
  }
  // Everything, until it is committed on both.
  void Replicate() {
    Fetch();
    Sync();
    REQUIRE(Report().ok());
    Hear();
  }

  Replicas first{1, BrokerId(1)};
  Replicas second{2, BrokerId(2)};
  Replicas* leading = nullptr;
  Replicas* following = nullptr;
  Partition* leader = nullptr;
  Partition* follower = nullptr;
  BrokerId follower_id{2};
};

}  // namespace

TEST_CASE("Partition: a record is committed when it is on the disks of leader and follower") {
  Pair pair;
  CHECK(pair.Meet() == 1);
  Told told;
  LeaderAppend appended = pair.first.MustAppend(*pair.leader, TestBatch({"a", "b"}));
  pair.leader->committed().Add(told, appended.next_offset);
  pair.Fetch();
  CHECK(pair.follower->log().end_offset() == Offset(2));
  CHECK(pair.follower->high_watermark() == Offset(0));
  pair.Sync();
  CHECK(pair.leader->high_watermark() == Offset(0));
  CHECK(!told.status.has_value());
  CHECK(pair.Report().ok());
  REQUIRE(told.status.has_value());
  CHECK(told.status->ok());
  pair.Hear();
  CHECK(pair.follower->high_watermark() == Offset(2));
  CHECK(pair.follower->CheckReplica(LeaderEpoch(1)).ok());
  CHECK(KindOf(pair.follower->CheckLeader(LeaderEpoch(1))) == ErrorKind::kNotLeaderOrFollower);
}

TEST_CASE("Partition: batches are taken in the epoch that was agreed on, and in no other") {
  Pair pair;
  auto batch = [](int32_t epoch) {
    BatchView made = TestBatch({"a"});
    made.SetLeaderEpoch(LeaderEpoch(epoch));
    return made;
  };
  CHECK(KindOf(pair.Take(batch(1))) == ErrorKind::kFencedLeaderEpoch);  // Not agreed yet.
  pair.Meet();
  CHECK(KindOf(pair.follower->OnLeaderOffsets(LeaderEpoch(0), Offset(0), Offset(0))) ==
        ErrorKind::kFencedLeaderEpoch);
  CHECK(KindOf(pair.Take(batch(2))) == ErrorKind::kCorruptMessage);
  CHECK(pair.Take(batch(1)).ok());
  CHECK(KindOf(pair.Take(batch(1))) == ErrorKind::kOffsetOutOfRange);
  // More than the leader has; an incarnation that is gone; ends that cannot be.
  CHECK(KindOf(pair.Report()) == ErrorKind::kInvalidRequest);
  FollowerHello hello = *pair.follower->Hello();
  CHECK(KindOf(pair.leader->OnFollowerHello(BrokerId(2), BrokerEpoch(19), hello).status()) ==
        ErrorKind::kStaleBrokerEpoch);
  hello.ends.durable_end = Offset(7);
  CHECK(KindOf(pair.leader->OnFollowerHello(BrokerId(2), BrokerEpoch(20), hello).status()) ==
        ErrorKind::kInvalidRequest);
}

TEST_CASE("Partition: a leader that comes back as a follower cuts off what nobody else has") {
  Pair pair;
  pair.Meet();
  pair.first.MustAppend(*pair.leader, TestBatch({"a"}));
  pair.Replicate();
  Told acks_one;
  LeaderAppend lost = pair.first.MustAppend(*pair.leader, TestBatch({"lost"}), /*acks_all=*/false);
  pair.leader->durable().Add(acks_one, lost.next_offset + OffsetDelta(5));
  pair.Lead(2, 2);
  CHECK(KindOf(*acks_one.status) == ErrorKind::kNotLeaderOrFollower);
  pair.second.MustAppend(*pair.leader, TestBatch({"kept"}), /*acks_all=*/false);
  CHECK(pair.Meet() == 2);
  CHECK(pair.follower->log().end_offset() == Offset(1));
  pair.Replicate();
  CHECK(pair.follower->high_watermark() == Offset(2));
  CHECK(pair.first.store.ReadAll(pair.follower->log()).back().value == "kept");
}

TEST_CASE("Partition: a follower's start moves with the leader's, as far as it is committed") {
  Pair pair;
  pair.Meet();
  for (const char* value : {"a", "b", "c"}) {
    pair.first.MustAppend(*pair.leader, TestBatch({value}));
  }
  pair.Replicate();
  Told told;
  pair.leader->started().Add(told, Offset(2));
  CHECK(pair.first.world.Run(pair.first.env, pair.leader->DeleteBefore(Offset(2))).ok());
  CHECK(pair.leader->low_watermark() == Offset(0));
  pair.Hear();
  REQUIRE(pair.second.world.RunUntil(
      [&] { return pair.follower->log().start_offset() == Offset(2); }, seconds(10)));
  CHECK(!told.status.has_value());
  CHECK(pair.Report().ok());
  CHECK(pair.leader->low_watermark() == Offset(2));
  CHECK(told.status->ok());
}

TEST_CASE("Partition: a replica that knows nothing begins where the leader's log does") {
  Pair pair;
  pair.first.MustAppend(*pair.leader, TestBatch({"a", "b", "c"}), /*acks_all=*/false);
  pair.first.store.WaitDurable(pair.leader->log());
  // Deleted up to the middle of a batch: it comes whole, and the log begins with it.
  CHECK(pair.first.world.Run(pair.first.env, pair.leader->DeleteBefore(Offset(0))).ok());
  pair.Meet();
  pair.Replicate();
  CHECK(pair.first.world.Run(pair.first.env, pair.leader->DeleteBefore(Offset(2))).ok());
  CHECK(pair.second.world.Run(pair.second.env, pair.second.table->Remove(TestPartition(0))).ok());
  pair.Lead(1, 2);
  CHECK(pair.Meet() == 2);
  CHECK(pair.follower->log().start_offset() == Offset(2));
  auto read = pair.leader->log().TryReadCached(Offset(2), {1 << 20, Offset(3)});
  REQUIRE(read.ok());
  absl::StatusOr<BatchView> batch = BatchView::Parse((*read)->batches.Flatten());
  REQUIRE(batch.ok());
  CHECK(KindOf(pair.Take(*batch)) == ErrorKind::kOffsetOutOfRange);
  CHECK(pair.follower->BeginsInside(batch->header()));
  CHECK(
      pair.second.world
          .Run(pair.second.env, pair.follower->BeginAt(LeaderEpoch(2), batch->header().base_offset))
          .ok());
  CHECK(pair.follower->log().start_offset() == Offset(0));
  CHECK(pair.Take(*batch).ok());
  pair.Sync();
  CHECK(pair.Report().ok());
  pair.Hear();
  CHECK(pair.follower->log().end_offset() == Offset(3));
  CHECK(pair.follower->high_watermark() == Offset(3));
}

namespace {

// Answers what it is told to.
struct Scripted final : IsrChannel {
  Task<IsrOutcome> Propose(TopicPartitionId, IsrProposal proposal, CancellationToken) override {
    proposals.push_back(proposal);
    CommittedIsr committed{
        proposal.leader_epoch, PartitionEpoch(proposal.partition_epoch.value() + 1), {}};
    for (const IsrMember& member : proposal.isr) committed.isr.push_back(member.broker);
    co_return committed;
  }
  std::vector<IsrProposal> proposals;
};

}  // namespace

TEST_CASE("PartitionTable: a follower that falls silent leaves the ISR in its time") {
  Scripted channel;
  Pair pair;
  pair.first.table->set_isr_channel(&channel);
  pair.Meet();
  pair.first.MustAppend(*pair.leader, TestBatch({"a"}));
  const Instant since = pair.first.env.reactor.Now();
  REQUIRE(pair.first.world.RunUntil([&] { return pair.leader->high_watermark() == Offset(1); },
                                    seconds(60)));
  CHECK(pair.first.env.reactor.Now() - since >= seconds(30));
  CHECK(pair.first.env.reactor.Now() - since < seconds(31));
  REQUIRE(channel.proposals.size() == 1);
  CHECK(channel.proposals[0].isr == std::vector<IsrMember>{{BrokerId(1), BrokerEpoch(10)}});
  // It joins again when it has everything.
  pair.Fetch();
  pair.Sync();
  CHECK(pair.Report().ok());
  REQUIRE(pair.first.world.RunUntil([&] { return channel.proposals.size() == 2; }, seconds(1)));
  CHECK(channel.proposals[1].isr.size() == 2);
}

}  // namespace millrace

#include "replication/partition.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "replication/partition_table.h"
#include "storage/log_test_tools.h"
#include "storage/transaction_test_tools.h"

namespace millrace {
namespace {

constexpr BrokerId kSelf(1);

struct Told final : OffsetWaiter {
  void OnReached(const absl::Status& how) override { status = how; }
  std::optional<absl::Status> status;
};

// One broker's replicas on a simulated machine.
struct Replicas {
  explicit Replicas(uint64_t seed = 1)
      : world(seed), env(world.AddNode("n1").Boot()), store(world, env, {}) {
    REQUIRE(store.Start().ok());
    table = std::make_unique<PartitionTable>(env, *store, kSelf);
  }
  ~Replicas() {
    table->Close();
    table.reset();
    CHECK(store.Stop().ok());
  }

  static PartitionAssignment Assigned(int number, std::optional<BrokerId> leader, int32_t epoch,
                                      std::set<BrokerId> isr = {kSelf}, size_t replicas = 1) {
    return {TestPartition(number), TestTopic(number), leader, LeaderEpoch(epoch), isr, replicas};
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
  CHECK(KindOf(partition.CheckLeader(std::nullopt)) == ErrorKind::kNotLeaderOrFollower);
  CHECK(KindOf(replicas.Append(partition, TestBatch({"a"})).status()) ==
        ErrorKind::kNotLeaderOrFollower);
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

TEST_CASE("PartitionTable: strays give way to a topic of the same name that was made since") {
  Replicas replicas;
  LeaderAppend kept =
      replicas.MustAppend(replicas.Open(Replicas::Assigned(1, kSelf, 0)), TestBatch({"kept"}));
  replicas.Open(Replicas::Assigned(0, kSelf, 0));
  // As after a crash between the deletion's record and the removal of the log.
  replicas.table->Close();
  PartitionAssignment anew = Replicas::Assigned(2, kSelf, 0);
  anew.topic = TestTopic(0);
  const std::set<TopicPartitionId> ours = {TestPartition(1), TestPartition(2)};
  CHECK(replicas.world.Run(replicas.env, replicas.table->RemoveStrays(ours)).ok());
  CHECK(replicas.Open(anew).log().end_offset() == Offset(0));
  CHECK(replicas.Open(Replicas::Assigned(1, kSelf, 1)).log().end_offset() == kept.next_offset);
  CHECK(replicas.store->Find(TestPartition(0)) == nullptr);
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

}  // namespace millrace

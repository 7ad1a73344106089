#include "broker/lag_meter.h"

#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <utility>

#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr BrokerId kSelf(1);

// One broker's replicas on a simulated machine.
struct Replicas {
  Replicas() {
    REQUIRE(store.Start().ok());
    table = std::make_unique<PartitionTable>(env, *store, kSelf);
    meter = std::make_unique<LagMeter>(env, *table, kSelf);
  }
  ~Replicas() {
    REQUIRE(world.Run(env, StopTable(table.get())).ok());
    table.reset();
    CHECK(store.Stop().ok());
  }
  static Task<absl::Status> StopTable(PartitionTable* table) {
    co_await table->Stop();
    co_return absl::OkStatus();
  }

  Partition& Open(int number, BrokerId leader, std::set<BrokerId> isr) {
    PartitionAssignment assignment;
    assignment.id = TestPartition(number);
    assignment.topic = TestTopic(number);
    assignment.leader = leader;
    for (int id = 1; id <= 2; ++id) {
      assignment.replicas.push_back({.broker = BrokerId(id),
                                     .epoch = BrokerEpoch(10 * id),
                                     .in_isr = isr.contains(BrokerId(id)),
                                     .active = true});
    }
    auto rules = std::make_shared<PartitionRules>();
    rules->log.durability = Durability::kPageCache;
    REQUIRE(world.Run(env, table->Open(std::move(assignment), std::move(rules))).ok());
    return *table->Find(TestPartition(number));
  }
  // One record, written at `time`.
  void Append(Partition& partition, Timestamp time) {
    auto valid =
        partition.Prepare(TestBatch({"x"}, time), /*acks_all=*/true, Timestamp(1000), validator);
    REQUIRE(valid.has_value());
    REQUIRE(valid->has_value());
    auto admission =
        world.Run(env, store->Admit((*valid)->batch.bytes().size(), CancellationToken()));
    REQUIRE(admission.ok());
    REQUIRE(partition.Append(**std::move(valid), /*acks_all=*/true, *admission).ok());
  }
  std::vector<std::optional<Lag>> Measure(std::vector<LagQuestion> questions) {
    auto answers = world.Run(env, Ask(meter.get(), std::move(questions)));
    REQUIRE(answers.ok());
    return *answers;
  }
  std::optional<Lag> Measure(int number, int64_t position) {
    return Measure({{TestPartition(number), Offset(position)}}).front();
  }
  static Task<absl::StatusOr<std::vector<std::optional<Lag>>>> Ask(
      LagMeter* meter, std::vector<LagQuestion> questions) {
    co_return co_await meter->Measure(std::move(questions));
  }

  SimWorld world{1};
  Env& env = world.AddNode("n1").Boot();
  TestStore store{world, env, {}};
  std::unique_ptr<PartitionTable> table;
  std::unique_ptr<LagMeter> meter;
  ShardValidator validator{env, {}};
};

}  // namespace

TEST_CASE("LagMeter: records up to the high watermark, and the time of the oldest of them") {
  Replicas replicas;
  Partition& partition = replicas.Open(0, kSelf, {kSelf});
  for (int64_t time : {1000, 3000, 2000}) replicas.Append(partition, Timestamp(time));
  REQUIRE(partition.high_watermark() == Offset(3));
  // Twice: the second time it knows the times already.
  for (int round = 0; round < 2; ++round) {
    const auto answers = replicas.Measure({{TestPartition(0), Offset(0)},
                                           {TestPartition(0), Offset(1)},
                                           {TestPartition(0), Offset(3)},
                                           {TestPartition(0), Offset(7)},
                                           {TestPartition(5), Offset(0)}});
    REQUIRE(answers.size() == 5);
    CHECK(answers[0]->records == 3);
    CHECK(answers[0]->oldest == Timestamp(1000));
    CHECK(answers[1]->records == 2);
    CHECK(answers[1]->oldest == Timestamp(3000));
    CHECK(answers[2]->records == 0);
    CHECK(!answers[2]->oldest.has_value());
    CHECK(answers[3]->records == 0);  // Behind the end.
    CHECK(!answers[4].has_value());   // No replica of it here.
  }
  replicas.Append(partition, Timestamp(4000));
  CHECK(replicas.Measure(0, 3)->oldest == Timestamp(4000));
}

TEST_CASE("LagMeter: a position before every offset is the first one") {
  Replicas replicas;
  Partition& partition = replicas.Open(0, kSelf, {kSelf});
  for (int64_t time : {1000, 2000}) replicas.Append(partition, Timestamp(time));
  for (int64_t position : {int64_t{-1}, int64_t{-5}, INT64_MIN}) {
    const std::optional<Lag> lag = replicas.Measure(0, position);
    CHECK(lag->records == 2);
    CHECK(lag->oldest == Timestamp(1000));
  }
}

TEST_CASE("LagMeter: what was deleted unread counts, and is not waited for") {
  Replicas replicas;
  Partition& partition = replicas.Open(0, kSelf, {kSelf});
  for (int64_t time : {1000, 2000, 3000}) replicas.Append(partition, Timestamp(time));
  REQUIRE(replicas.world.Run(replicas.env, partition.DeleteBefore(Offset(2))).ok());
  const std::optional<Lag> lag = replicas.Measure(0, 0);
  CHECK(lag->records == 3);
  CHECK(lag->oldest == Timestamp(3000));
}

TEST_CASE("LagMeter: a follower in the ISR is asked, and one outside it says nothing") {
  Replicas replicas;
  replicas.Open(0, BrokerId(2), {BrokerId(2)});
  CHECK(!replicas.Measure(0, 0).has_value());
  replicas.Open(1, BrokerId(2), {kSelf, BrokerId(2)});
  REQUIRE(replicas.Measure(1, 0).has_value());
  CHECK(replicas.Measure(1, 0)->records == 0);
}

}  // namespace millrace

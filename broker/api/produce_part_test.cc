// Produce requests of one connection while one of the broker's log directories hangs.
#include "broker/api/produce_part.h"

#include <catch2/catch.hpp>
#include <list>
#include <memory>
#include <utility>

#include "broker/controller_access.h"
#include "broker/metadata_applier.h"
#include "common/runtime/task_scope.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr BrokerId kSelf(1);
constexpr BrokerId kOther(2);
constexpr int kPartitions = 4;
constexpr size_t kRecordBytes = 100 << 10;
constexpr Duration kTimeMax = seconds(600);  // The disk hangs so long.

class NoController final : public ControllerAccess {
 public:
  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(std::vector<CreateTopicRequest>,
                                                                   bool) override {
    co_return absl::UnavailableError("nobody asks");
  }
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds() override {
    co_return absl::UnavailableError("nobody asks");
  }
};

constexpr size_t kMemory = 16 << 20;  // More than a journal takes in.

LogStoreOptions TwoDirectories() {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.pending_bytes_max = kMemory;
  return options;
}

// One request: a batch for each of some partitions.
struct Asked {
  Asked(Broker& broker, const std::vector<TopicPartitionId>& ids, size_t bytes) {
    for (const TopicPartitionId& id : ids) {
      data.push_back({0, Chain(TestBatch({std::string(bytes, 'x')}).bytes())});
      answers.emplace_back();
      items.push_back({id, &data.back(), &answers.back()});
    }
    const ProduceTerms terms{.version = 9,
                             .acks = -1,
                             .timeout_ms = 5000,
                             .may_write_internal_topics = false,
                             .lent = false};
    part.emplace(broker, terms, items);
  }
  std::vector<int16_t> errors() const {
    std::vector<int16_t> errors;
    for (const ProduceAnswer& answer : answers) errors.push_back(answer.error_code);
    return errors;
  }

  std::list<ProducedPartition> data;
  std::list<ProduceAnswer> answers;
  std::vector<ProduceItem> items;
  std::optional<ProducePart> part;
  std::optional<bool> appended;  // What Append() gave, once it has.
};

// A broker that leads what lies in /a, which hangs and whose journal is full, and in /b.
struct Hanging {
  Hanging() {
    REQUIRE(store.Start().ok());
    table = std::make_unique<PartitionTable>(env, *store, kSelf);
    applier = std::make_unique<MetadataApplier>(env, kSelf, 1, *table, configs);
    broker.reset(new Broker{
        .options = {.node_id = kSelf, .cluster_id = "c"},
        .env = env,
        .shards = brokers,
        .controller = controller,
        .metadata = *applier,
        .partitions = *table,
        .store = *store,
        .configs = configs,
        .fetch_budget = fetch_budget,
        .sessions = FetchSessionCache({}),
        .producer_ids = ProducerIdSource(env, controller),
        .validator{env, {}},
    });
    brokers.Set(ShardId(0), broker.get());
    // Each directory gets every other one.
    for (int i = 0; i < kPartitions; ++i) Assign(TestPartition(i), kSelf, 1);
    for (int i = 0; i < 2; ++i) Assign(TestPartition(kPartitions + i), kOther, 1);
    for (Log* log : store->Logs()) {
      const bool hangs = log->directory() == "/a";
      if (table->Find(log->id())->leads()) {
        (hangs ? hung : well).push_back(log->id());
      } else {
        (hangs ? followed_hung : followed_well) = log->id();
      }
    }
    REQUIRE(hung.size() == 2);
    REQUIRE(well.size() == 2);
    REQUIRE(followed_hung != followed_well);
    node.disk().Slow("/a", kTimeMax);
    const BatchView batch = TestBatch({std::string(kRecordBytes, 'x')});
    while (auto admission = store->TryAdmit(batch.bytes().size())) {
      REQUIRE(store->Find(hung[0])->Append(batch, LeaderEpoch(1), *admission).ok());
    }
  }
  ~Hanging() {
    node.disk().Slow("/a", Duration(0));
    world.RunFor(kTimeMax);  // What began while it was slow ends.
    CHECK(world.Run(env, Stop(this)).ok());
    broker.reset();
    applier.reset();
    table.reset();
    CHECK(store.Stop().ok());
  }
  static Task<absl::Status> Stop(Hanging* self) {
    co_await self->connection.Join();
    co_await self->table->Stop();
    co_return absl::OkStatus();
  }

  void Assign(TopicPartitionId id, BrokerId leader, int epoch) {
    PartitionAssignment assignment;
    assignment.id = id;
    assignment.topic = fmt::format("topic{}", id.topic_id);
    assignment.leader = leader;
    assignment.leader_epoch = LeaderEpoch(epoch);
    for (BrokerId each : {kSelf, kOther}) {
      assignment.replicas.push_back(
          {.broker = each, .epoch = BrokerEpoch(1), .in_isr = true, .active = true});
    }
    const Instant begun = env.reactor.Now();
    const absl::Status opened =
        world.Run(env, table->Open(std::move(assignment), std::make_shared<PartitionRules>()));
    REQUIRE(opened.ok());
    CHECK(env.reactor.Now() - begun < seconds(1));  // No role waits for a disk.
  }
  Asked& Ask(const std::vector<TopicPartitionId>& ids, size_t bytes = 10) {
    return asked.emplace_back(*broker, ids, bytes);
  }
  // As a connection does: one after another.
  void Begin() { connection.Spawn(AppendAll(this)); }
  static Task<void> AppendAll(Hanging* self) {
    for (Asked& one : self->asked) {
      one.appended = co_await one.part->Append(self->cancel.token());
    }
  }
  Offset End(const TopicPartitionId& id) { return store->Find(id)->end_offset(); }

  SimWorld world{7};
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  TestStore store{world, env, TwoDirectories()};
  Shards calls{{&env.reactor}};
  BrokerShards brokers{calls};
  TopicConfigSource configs{kSelf, {}};
  FetchBudget fetch_budget{env.reactor, 1 << 20};
  NoController controller;
  std::unique_ptr<PartitionTable> table;
  std::unique_ptr<MetadataApplier> applier;
  std::unique_ptr<Broker> broker;
  std::vector<TopicPartitionId> hung;
  std::vector<TopicPartitionId> well;
  TopicPartitionId followed_hung = TestPartition(0);
  TopicPartitionId followed_well = TestPartition(0);
  CancellationSource cancel;
  std::list<Asked> asked;
  TaskScope connection{env.reactor};
};

// Until there is none.
Task<void> TakeMemory(LogStore* store, TopicPartitionId id, std::vector<Admission>* taken,
                      CancellationToken token) {
  for (;;) {
    auto admission = co_await store->AdmitInto({id}, kRecordBytes, token);
    if (!admission.ok()) co_return;
    taken->push_back(*std::move(admission));
  }
}

const std::vector<int16_t> kNone = {0};
const std::vector<int16_t> kNotLeader = {ErrorCode(kafka::KafkaError::kNotLeaderOrFollower)};

}  // namespace

TEST_CASE(
    "ProducePart: what waits for a directory that hangs is refused when another broker leads") {
  Hanging broker;
  const Offset end = broker.End(broker.hung[1]);
  // Together more than the memory there is: none of it may be kept.
  for (int i = 0; i < 40; ++i) broker.Ask({broker.hung[1]}, kRecordBytes * 8);
  Asked& behind = broker.Ask({broker.well[0]});
  broker.Begin();
  broker.world.RunFor(seconds(60));
  CHECK(!broker.asked.front().appended.has_value());
  broker.Assign(broker.hung[1], kOther, 2);
  broker.world.RunFor(seconds(1));
  for (const Asked& one : broker.asked) {
    CHECK(one.appended == true);
    CHECK(one.errors() == (&one == &behind ? kNone : kNotLeader));
  }
  CHECK(broker.End(broker.hung[1]) == end);
  CHECK(broker.End(broker.well[0]) == Offset(1));
  // What comes now, and does not know yet, does not wait either.
  Asked& late = broker.Ask({broker.hung[1]});
  const Instant asked = broker.env.reactor.Now();
  CHECK(broker.world.Run(broker.env, late.part->Append({})));
  CHECK(broker.env.reactor.Now() - asked < seconds(1));
  CHECK(late.errors() == kNotLeader);
}

TEST_CASE("ProducePart: a request refused where it leads no more is appended where it does") {
  Hanging broker;
  Asked& both = broker.Ask({broker.well[0], broker.hung[1], broker.well[1]});
  broker.Begin();
  broker.world.RunFor(seconds(60));
  CHECK(!both.appended.has_value());
  CHECK(broker.End(broker.well[0]) == Offset(0));
  broker.Assign(broker.hung[1], kOther, 2);
  broker.world.RunFor(seconds(1));
  CHECK(both.appended == true);
  CHECK(both.errors() == std::vector<int16_t>{0, kNotLeader[0], 0});
  CHECK(broker.End(broker.hung[1]) == Offset(0));
  CHECK(broker.End(broker.well[0]) == Offset(1));
  CHECK(broker.End(broker.well[1]) == Offset(1));
}

TEST_CASE(
    "ProducePart: what waits while this broker leads is appended once, also in a later epoch") {
  Hanging broker;
  Asked& first = broker.Ask({broker.hung[1]});
  Asked& second = broker.Ask({broker.hung[1]});
  broker.Begin();
  broker.world.RunFor(seconds(60));
  broker.Assign(broker.hung[0], kOther, 2);  // Another one, whose batches fill the journal.
  broker.Assign(broker.hung[1], kSelf, 2);
  broker.world.RunFor(seconds(60));
  CHECK(!first.appended.has_value());
  broker.node.disk().Slow("/a", Duration(0));
  broker.world.RunFor(kTimeMax);
  for (const Asked* one : {&first, &second}) {
    CHECK(one->appended == true);
    CHECK(one->errors() == kNone);
  }
  CHECK(first.answers.front().base_offset == 0);
  CHECK(second.answers.front().base_offset == 1);
  CHECK(broker.End(broker.hung[1]) == Offset(2));
}

TEST_CASE("ProducePart: what waits for memory is refused when another broker leads") {
  Hanging broker;
  // All there is, as bytes do that cannot be written to their segments.
  CancellationSource enough;
  std::vector<Admission> taken;
  TaskScope taking(broker.env.reactor);
  taking.Spawn(TakeMemory(&*broker.store, broker.well[1], &taken, enough.token()));
  broker.world.RunFor(seconds(1));
  enough.Cancel();
  broker.world.RunFor(seconds(1));
  broker.Ask({broker.well[0]}, kRecordBytes);
  broker.Ask({broker.well[1], broker.well[0]}, kRecordBytes);
  broker.Begin();
  broker.world.RunFor(seconds(60));
  for (const Asked& one : broker.asked) CHECK(!one.appended.has_value());
  broker.Assign(broker.well[0], kOther, 2);
  broker.world.RunFor(seconds(1));
  CHECK(broker.asked.front().errors() == kNotLeader);
  CHECK(!broker.asked.back().appended.has_value());
  taken.clear();
  broker.world.RunFor(seconds(1));
  CHECK(broker.asked.back().errors() == std::vector<int16_t>{0, kNotLeader[0]});
}

TEST_CASE("ProducePart: what this broker comes to lead meanwhile waits for the journal it needs") {
  Hanging broker;
  Asked& well = broker.Ask({broker.followed_well});
  Asked& hung = broker.Ask({broker.followed_hung});
  broker.Begin();
  broker.world.RunFor(milliseconds(10));
  CHECK(!well.appended.has_value());
  broker.Assign(broker.followed_well, kSelf, 2);
  broker.world.RunFor(milliseconds(10));
  CHECK(well.errors() == kNone);
  CHECK(broker.End(broker.followed_well) == Offset(1));
  CHECK(!hung.appended.has_value());
  broker.Assign(broker.followed_hung, kSelf, 2);
  broker.world.RunFor(seconds(60));
  CHECK(!hung.appended.has_value());
  broker.node.disk().Slow("/a", Duration(0));
  broker.world.RunFor(kTimeMax);
  CHECK(hung.errors() == kNone);
  CHECK(broker.End(broker.followed_hung) == Offset(1));
}

TEST_CASE("ProducePart: who waits for a directory that hangs ends when its connection does") {
  Hanging broker;
  Asked& waits = broker.Ask({broker.hung[1]});
  broker.Begin();
  broker.world.RunFor(seconds(60));
  CHECK(!waits.appended.has_value());
  broker.cancel.Cancel();
  broker.world.RunFor(seconds(1));
  CHECK(waits.appended == false);
  CHECK(broker.End(broker.hung[1]) == Offset(0));
}

}  // namespace millrace

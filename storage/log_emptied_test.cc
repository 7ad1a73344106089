// Logs that were emptied, and whose checkpoints are gone then, with the whole key-value store: no offset
// is given out twice.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "storage/compaction_test_tools.h"
#include "storage/journal/journal.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

constexpr int kBatches = 10;  // Of two records, in a segment each.
constexpr Offset kEnd(2 * kBatches);
const BatchProducer kProducer{ProducerId(3), ProducerEpoch(0), Sequence(0)};

LogStoreOptions EverySecond() {
  LogStoreOptions options;
  options.retention_initial_delay = seconds(1);
  options.retention_check_interval = seconds(1);
  return options;
}

LogConfig SmallSegments(Durability durability) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_ms = 1000;
  config.file_delete_delay_ms = 100;
  config.durability = durability;
  return config;
}

void Fill(TestStore& store, Log& log) {
  for (int i = 0; i < kBatches; ++i) {
    BatchProducer producer = kProducer;
    producer.base_sequence = Sequence(2 * i);
    store.Append(log, TestBatch({fmt::format("value-{}", i), std::string(800, 'x')},
                                store.env().clock.Now(), producer));
  }
}

// Ends a life in which everything was stored, so that the next one's journal tells nothing of it.
void FillAndStop(SimWorld& world, SimNode& node, const LogConfig& config) {
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Fill(store, store.Open(1, config));
  REQUIRE(store.Stop().ok());
  node.Kill();
}

// The one of the store without its checkpoints.
Log& Found(TestStore& store, int number) {
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(number));
  REQUIRE(log != nullptr);
  return *log;
}

}  // namespace

TEST_CASE("Recovery: a log that retention has emptied goes on at its end, wherever that came to") {
  const bool power = GENERATE(false, true);
  const Durability durability = GENERATE(Durability::kDisk, Durability::kPageCache);
  CommittedObserver observer;
  bool ended = false;
  for (uint64_t operation = 1; !ended; ++operation) {
    INFO("operation " << operation << (power ? ", power" : ", kill"));
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    const LogConfig config = SmallSegments(durability);
    FillAndStop(world, node, config);
    {
      TestStore store(world, node.Boot(), EverySecond());
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1, config);
      log.set_observer(&observer);
      bool died = false;
      DieAt(world, node, operation, power, &died);
      REQUIRE(world.RunUntil([&] { return died || log.start_offset() == kEnd; }, seconds(100)));
      // Their new names, and their removal.
      if (!died) (void)world.RunUntil([&] { return died; }, seconds(1));
      node.disk().set_operation_hook(nullptr);
      ended = !died;
      if (ended) Die(node, power);
      (void)store.Stop();
    }
    TestStore store(world, BootWithoutStore(world, node), EverySecond());
    Log& log = Found(store, 1);
    CHECK(log.end_offset() == kEnd);
    if (ended && !power) CHECK(log.start_offset() == kEnd);
    CHECK(static_cast<int64_t>(store.ReadAll(log).size()) <= (kEnd - log.start_offset()).value());
    CHECK(log.producers().Find(kProducer.id) != nullptr);
    CHECK(store.Append(log, TestBatch({"next"})).base_offset == kEnd);
    REQUIRE(store.Stop().ok());
  }
}

TEST_CASE("Recovery: a log that was begun anew further on goes on there") {
  const bool power = GENERATE(false, true);
  // As of a version that left such a log without a file, or where somebody has removed it.
  const bool without_file = GENERATE(false, true);
  CAPTURE(power, without_file);
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1);
    Fill(store, log);
    REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(1000))).ok());
    Die(node, power);
    (void)store.Stop();
  }
  {
    // The checkpoint is there, and what the journal has is void from here on.
    Env& env = node.Boot();
    const std::string file = JoinPath("/data/topic1-0", SegmentFileName(Offset(1000), kLogSuffix));
    if (without_file) REQUIRE(world.Run(env, env.disk.Remove(file)).ok());
    TestStore store(world, env, {});
    CHECK(Found(store, 1).end_offset() == Offset(1000));
    Die(node, power);
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), {});
  Log& log = Found(store, 1);
  CHECK(log.start_offset() == Offset(1000));
  CHECK(log.end_offset() == Offset(1000));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: an emptied log that has moved to another directory goes on at its end") {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1);
    Fill(store, log);
    REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(1000))).ok());
    const std::string target = log.directory() == "/a" ? "/b" : "/a";
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(100)));
    REQUIRE(log.directory() == target);
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), options);
  CHECK(Found(store, 1).end_offset() == Offset(1000));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: of two cuts in the journal of a log without files the last one counts") {
  const bool power = GENERATE(false, true);
  int without = 0;
  bool ended = false;
  for (uint64_t operation = 1; !ended; ++operation) {
    INFO("operation " << operation << (power ? ", power" : ", kill"));
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& other = store.Open(2);  // Keeps what comes in the journal behind it.
      store.Append(other, TestBatch({"another's"}));
      store.WaitDurable(other);
      Log& log = store.Open(1);
      REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(1000))).ok());
      bool died = false;
      DieAt(world, node, operation, power, &died);
      (void)world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(10)));
      node.disk().set_operation_hook(nullptr);
      ended = !died;
      if (ended) {
        store.Append(log, TestBatch({"kept"}));
        store.WaitDurable(log);
        Die(node, power);
      }
      (void)store.Stop();
    }
    const std::vector<std::string> files = node.disk().Files();
    const bool any = std::ranges::any_of(files, [](const std::string& path) {
      return path.contains("topic1-0/") && path.ends_with(kLogSuffix);
    });
    TestStore store(world, BootWithoutStore(world, node), {});
    Log& log = Found(store, 1);
    if (ended) {
      CHECK(store.ReadAll(log) == std::vector<ReadRecord>{{Offset(10), "kept"}});
    } else if (any) {
      CHECK((log.end_offset() == Offset(10) || log.end_offset() == Offset(1000)));
    } else {
      CHECK(log.end_offset() == Offset(10));
      ++without;
    }
    REQUIRE(store.Stop().ok());
  }
  CHECK(without > 0);
}

// The first batch is too large for a journal, so the others are there before it is anywhere.
TEST_CASE("Recovery: a log of which nothing is on the disk begins at its beginning") {
  const std::string large(Journal::Options().entry_bytes_max(), 'x');
  const bool reset = GENERATE(false, true);
  const Offset begin(reset ? 1000 : 0);
  bool ended = false;
  for (uint64_t operation = 1; !ended; ++operation) {
    INFO("operation " << operation << (reset ? ", begun anew" : ""));
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    std::vector<ReadRecord> before;
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1);
      if (reset) REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(begin)).ok());
      store.Append(log, TestBatch({"first", large}));
      for (int i = 0; i < 3; ++i) store.Append(log, TestBatch({fmt::format("small {}", i)}));
      before = store.ReadAll(log, 4 << 20);  // From memory.
      bool died = false;
      DieAt(world, node, operation, /*power=*/true, &died);
      REQUIRE(world.RunUntil([&] { return died || log.durable_end() == log.end_offset(); },
                             seconds(100)));
      node.disk().set_operation_hook(nullptr);
      ended = !died;
      if (ended) node.PowerLoss();
      (void)store.Stop();
    }
    TestStore store(world, BootWithoutStore(world, node), {});
    Log& log = Found(store, 1);
    CHECK(log.start_offset() == begin);
    const std::vector<ReadRecord> after = store.ReadAll(log, 4 << 20);
    REQUIRE(after.size() <= before.size());
    CHECK(std::equal(after.begin(), after.end(), before.begin()));
    if (ended) CHECK(after == before);
    REQUIRE(store.Stop().ok());
  }
}

}  // namespace millrace

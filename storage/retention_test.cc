// Retention on the simulated disk, in virtual time: what goes, when, and what a restart makes of
// it.
#include "storage/retention.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;  // The wall clock when a world begins.

const std::string kFolder =
    JoinPath(kTestDataDir, PartitionDirectoryName(TestTopic(1), PartitionId(0)));

// A partition's part: knows what is committed.
class Committed final : public LogObserver {
 public:
  void OnDurable(Log&, Offset) override {}
  void OnFailed(Log&, absl::Status) override {}
  Offset CommittedEnd(const Log& log) const override { return bound.value_or(log.durable_end()); }
  std::optional<Offset> bound;
};

LogStoreOptions EverySecond() {
  LogStoreOptions options;
  options.retention_initial_delay = seconds(1);
  options.retention_check_interval = seconds(1);
  options.checkpoint_age = seconds(2);
  return options;
}

LogConfig Small() {
  LogConfig config;
  config.segment_bytes = 1000;
  config.retention_ms = 60'000;
  config.file_delete_delay_ms = 5000;
  return config;
}

std::vector<std::string> Names(SimWorld& world, Env& env) {
  auto entries = world.Run(env, env.disk.List(kFolder));
  REQUIRE(entries.ok());
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
  return names;
}

size_t CountOf(const std::vector<std::string>& names, std::string_view suffix) {
  return static_cast<size_t>(std::ranges::count_if(
      names, [&](const std::string& name) { return name.ends_with(suffix); }));
}

// Ten batches, a segment each but for rounding; number i is stamped kStart + i * 10 s.
void Fill(TestStore& store, Log& log, int from = 0, int count = 10) {
  for (int i = from; i < from + count; ++i) {
    store.Append(log, TestBatch({fmt::format("value-{}", i), std::string(800, 'x')},
                                Timestamp(kStart + i * 10'000)));
  }
  store.WaitDurable(log);
}

}  // namespace

TEST_CASE("Retention: a segment is removed once its newest record is older than retention.ms") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Committed partition;
  Log& log = store.Open(1, Small());
  log.set_observer(&partition);
  Fill(store, log);
  world.RunFor(seconds(50));
  CHECK(log.start_offset() == Offset(0));
  // From second 60 on one segment goes every ten seconds, and with it its two records.
  world.RunFor(seconds(12));
  CHECK(log.start_offset() == Offset(2));
  world.RunFor(seconds(10));
  CHECK(log.start_offset() == Offset(4));
  CHECK(store.ReadAll(log).front() == ReadRecord{Offset(4), "value-2"});
  auto below = world.Run(store.env(), log.Read(Offset(3), {1000, log.end_offset(), true}));
  CHECK(below.status().code() == absl::StatusCode::kOutOfRange);
  // Files wait for file.delete.delay.ms under another name.
  std::vector<std::string> names = Names(world, store.env());
  CHECK(std::ranges::count(names, "00000000000000000002.log.deleted") == 1);
  CHECK(std::ranges::count(names, "00000000000000000002.log") == 0);
  world.RunFor(seconds(6));
  CHECK(CountOf(Names(world, store.env()), ".deleted") == 0);
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: a directory that hangs does not keep old segments in the others") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = EverySecond();
  options.log_dirs = {"/a", "/b"};
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Committed partition;
  Log& first = store.Open(1, Small());
  Log& second = store.Open(2, Small());
  REQUIRE(first.directory() != second.directory());
  for (Log* log : {&first, &second}) {
    log->set_observer(&partition);
    Fill(store, *log);
  }
  node.disk().Slow(first.directory(), seconds(3600));
  // A checkpoint of it begins and does not end, and it is the first that has changed.
  store.Append(first, TestBatch({"hangs"}, Timestamp(kStart)));
  world.RunFor(seconds(5));
  store.Append(first, TestBatch({"more"}, Timestamp(kStart)));
  store.Append(second, TestBatch({"more"}, Timestamp(kStart + 100'000)));
  world.RunFor(seconds(75));
  CHECK(first.start_offset() == Offset(0));
  CHECK(second.start_offset() >= Offset(4));
  node.disk().Slow(first.directory(), Duration(0));
  world.RunFor(seconds(4000));
  CHECK(first.start_offset() > Offset(0));
  first.set_observer(nullptr);
  second.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: the active segment is closed when it is too old, and appends go on") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  Committed partition;
  {
    TestStore store(world, node.Boot(), EverySecond());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, Small());
    log.set_observer(&partition);
    Fill(store, log);
    world.RunFor(seconds(200));
    CHECK(log.start_offset() == Offset(20));
    CHECK(log.end_offset() == Offset(20));
    CHECK(log.size_bytes() == 0);
    // The offsets go on, now and after a crash.
    CHECK(store.Append(log, TestBatch({"next"}, Timestamp(kStart + 300'000))).base_offset ==
          Offset(20));
    store.WaitDurable(log);
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, Small());
  CHECK(log.start_offset() == Offset(20));
  CHECK(store.ReadAll(log) == std::vector<ReadRecord>{{Offset(20), "next"}});
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "Retention: retention.bytes removes the oldest segments, and a new value counts at once") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Committed partition;
  LogConfig config = Small();
  config.retention_ms = -1;
  Log& log = store.Open(1, config);
  log.set_observer(&partition);
  Fill(store, log);
  world.RunFor(seconds(5));
  CHECK(log.start_offset() == Offset(0));
  config.retention_bytes = 3000;
  log.set_config(config);
  world.RunFor(seconds(2));
  CHECK(log.size_bytes() >= 3000);
  CHECK(log.size_bytes() < 4000);
  CHECK(log.end_offset() == Offset(20));
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: what is not committed stays, and goes when it is") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Committed partition;
  partition.bound = Offset(5);
  LogConfig config = Small();
  config.retention_ms = 1000;
  Log& log = store.Open(1, config);
  log.set_observer(&partition);
  Fill(store, log);
  world.RunFor(seconds(200));
  CHECK(log.start_offset() == Offset(4));
  partition.bound = Offset(20);
  world.RunFor(seconds(2));
  CHECK(log.start_offset() == Offset(20));
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: a log without a partition, or of a compacted topic, keeps what it has") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Committed partition;
  LogConfig config = Small();
  Log& log = store.Open(1, config);
  Fill(store, log);
  world.RunFor(seconds(200));
  CHECK(log.start_offset() == Offset(0));
  config.cleanup_compact = true;
  config.cleanup_delete = false;
  log.set_config(config);
  log.set_observer(&partition);
  world.RunFor(seconds(5));
  CHECK(log.start_offset() == Offset(0));
  // Segments below a start that was asked for go with every policy.
  REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(5))).ok());
  CHECK(log.start_offset() == Offset(5));
  CHECK(std::ranges::count(Names(world, store.env()), "00000000000000000002.log") == 0);
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: segments found at start are judged by their newest record too") {
  const bool clean = GENERATE(true, false);
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), EverySecond());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, Small());
    Fill(store, log);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    if (clean) REQUIRE(store.Stop().ok());
    node.Kill();
    if (!clean) (void)store.Stop();
  }
  world.RunFor(seconds(75));
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Committed partition;
  Log& log = store.Open(1, Small());
  log.set_observer(&partition);
  world.RunFor(seconds(2));
  CHECK(log.start_offset() == Offset(4));
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "Retention: a start that was told survives power loss, and files left behind go at start") {
  const bool power_loss = GENERATE(true, false);
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), EverySecond());
    REQUIRE(store.Start().ok());
    LogConfig config = Small();
    config.file_delete_delay_ms = 3'600'000;
    Log& log = store.Open(1, config);
    Fill(store, log);
    REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(7))).ok());
    CHECK(CountOf(Names(world, store.env()), ".log.deleted") == 3);
    power_loss ? node.PowerLoss() : node.Kill();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, Small());
  CHECK(log.start_offset() == Offset(7));
  CHECK(log.end_offset() == Offset(20));
  CHECK(store.ReadAll(log).front() == ReadRecord{Offset(7), std::string(800, 'x')});
  world.RunFor(seconds(10));
  std::vector<std::string> names = Names(world, store.env());
  CHECK(CountOf(names, ".deleted") == 0);
  CHECK(CountOf(names, ".log") == 7);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: the start moves inside the newest batch without a sync of the segment") {
  SimWorld world(8);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = EverySecond();
  options.checkpoint_age = seconds(3600);
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, Small());
    Fill(store, log, 0, 1);
    REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(1))).ok());
    CHECK(log.start_offset() == Offset(1));
    node.PowerLoss();
    (void)store.Stop();
  }
  // The recovery point is 0 still; the start lies behind it and the journal brings the rest.
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, Small());
  CHECK(log.start_offset() == Offset(1));
  CHECK(log.end_offset() == Offset(2));
  CHECK(store.ReadAll(log).size() == 1);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: offsets below the start are not given out again when power loss takes them") {
  SimWorld world(9);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = EverySecond();
  options.checkpoint_age = seconds(3600);
  LogConfig config = Small();
  config.durability = Durability::kPageCache;
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, config);
    Fill(store, log, 0, 1);
    REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(2))).ok());
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, config);
  CHECK(log.start_offset() == Offset(2));
  CHECK(log.end_offset() == Offset(2));
  CHECK(store.Append(log, TestBatch({"next"})).base_offset == Offset(2));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Retention: a deleted partition's folder goes after file.delete.delay.ms") {
  SimWorld world(10);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), EverySecond());
  REQUIRE(store.Start().ok());
  Fill(store, store.Open(1, Small()));
  REQUIRE(world.Run(store.env(), store->Delete(TestPartition(1))).ok());
  auto folders = [&] {
    auto entries = world.Run(store.env(), store.env().disk.List(kTestDataDir));
    REQUIRE(entries.ok());
    return std::ranges::count_if(
        *entries, [](const DirectoryEntry& entry) { return entry.name.starts_with(TestTopic(1)); });
  };
  CHECK(folders() == 1);
  world.RunFor(seconds(4));
  CHECK(folders() == 1);
  world.RunFor(seconds(2));
  CHECK(folders() == 0);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

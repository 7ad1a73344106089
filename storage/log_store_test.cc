#include "storage/log_store.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

std::vector<std::string> Values(int first, int count, size_t bytes = 10) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) {
    std::string value = fmt::format("v{}-", first + i);
    value.resize(std::max(bytes, value.size()), 'x');
    values.push_back(value);
  }
  return values;
}

std::vector<ReadRecord> Expected(int count, size_t bytes = 10) {
  std::vector<ReadRecord> records;
  std::vector<std::string> values = Values(0, count, bytes);
  for (int i = 0; i < count; ++i) records.push_back({Offset(i), values[static_cast<size_t>(i)]});
  return records;
}

}  // namespace

TEST_CASE("LogStore: what is appended becomes durable and is read back from memory") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  for (int i = 0; i < 100; i += 10) {
    AppendInfo info = store.Append(log, TestBatch(Values(i, 10)));
    CHECK(info.base_offset == Offset(i));
    CHECK(info.last_offset == Offset(i + 9));
  }
  CHECK(log.end_offset() == Offset(100));
  CHECK(log.durable_end() == Offset(0));
  store.WaitDurable(log);
  CHECK(store.ReadAll(log) == Expected(100));
  auto cached = log.TryReadCached(Offset(15), {10'000, Offset(40), false});
  REQUIRE(cached.ok());
  REQUIRE(cached->has_value());
  CHECK((*cached)->next_offset == Offset(40));
  CHECK(store.Stop().ok());
}

TEST_CASE("LogStore: a clean stop leaves an empty journal and the next start scans nothing") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    CHECK_FALSE(store->was_clean());
    Log& log = store.Open(1);
    for (int i = 0; i < 100; i += 10) store.Append(log, TestBatch(Values(i, 10)));
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  CHECK(store->was_clean());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(log->topic() == TestTopic(1));
  CHECK(log->end_offset() == Offset(100));
  CHECK(log->durable_end() == Offset(100));
  CHECK(store.ReadAll(*log) == Expected(100));
  // And it goes on where it was.
  CHECK(store.Append(*log, TestBatch({"more"})).base_offset == Offset(100));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a clean stop writes nothing of logs that never had a record") {
  SimWorld world(9);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  constexpr uint64_t kLogs = 60;
  for (uint64_t i = 1; i <= kLogs; ++i) store.Open(i).BeginEpoch(LeaderEpoch(3));
  const uint64_t before = node.disk().operations();
  REQUIRE(store.Stop().ok());
  CHECK(node.disk().operations() - before < kLogs / 2);
}

TEST_CASE("LogStore: what was durable is there after a kill and after power loss") {
  const bool power_loss = GENERATE(false, true);
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  TestStore before(world, node.Boot(), {});
  REQUIRE(before.Start().ok());
  Log& log = before.Open(1);
  for (int i = 0; i < 100; i += 10) before.Append(log, TestBatch(Values(i, 10)));
  before.WaitDurable(log);
  if (power_loss) {
    node.PowerLoss();
  } else {
    node.Kill();
  }
  (void)before.Stop();

  TestStore store(world, node.Boot(), {});
  absl::Status started = store.Start();
  INFO(started.ToString());
  REQUIRE(started.ok());
  CHECK_FALSE(store->was_clean());
  Log* again = store->Find(TestPartition(1));
  REQUIRE(again != nullptr);
  CHECK(again->end_offset() == Offset(100));
  CHECK(store.ReadAll(*again) == Expected(100));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: segments roll by size and are read from disk, at any offset") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.tail_cache_bytes_max = 4096;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  LogConfig config;
  config.segment_bytes = 4000;
  config.index_interval_bytes = 300;
  Log& log = store.Open(1, config);
  for (int i = 0; i < 500; i += 5) store.Append(log, TestBatch(Values(i, 5, 40)));
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  CHECK_FALSE(log.TryReadCached(Offset(0), {1000, Offset(500), true})->has_value());
  CHECK(store.ReadAll(log) == Expected(500, 40));
  for (int from = 0; from < 500; from += 7) {
    auto read = world.Run(store.env(), log.Read(Offset(from), {700, Offset(500), true}));
    REQUIRE(read.ok());
    std::vector<ReadRecord> records;
    AppendRecords(read->batches, Offset(from), records);
    REQUIRE_FALSE(records.empty());
    CHECK(records.front().offset == Offset(from));
    CHECK(records.front().value == Values(from, 1, 40)[0]);
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a topic on page-cache durability is acknowledged at once and written behind") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  TestStore before(world, node.Boot(), {});
  REQUIRE(before.Start().ok());
  LogConfig config;
  config.durability = Durability::kPageCache;
  Log& log = before.Open(1, config);
  for (int i = 0; i < 100; i += 10) {
    before.Append(log, TestBatch(Values(i, 10)));
    CHECK(log.durable_end() == log.end_offset());
  }
  world.RunFor(seconds(3));  // Longer than segment_write_age.
  node.Kill();
  (void)before.Stop();
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  CHECK(store.ReadAll(*store->Find(TestPartition(1))) == Expected(100));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: settings that come again, and are the same, sync nothing") {
  SimWorld world(1);
  TestStore store(world, world.AddNode("n1").Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  for (int i = 0; i < 50; i += 10) {
    store.Append(log, TestBatch(Values(i, 10)));
    store.WaitDurable(log);
    store.Open(1);
    world.RunFor(milliseconds(100));
  }
  MetricRegistry registry;
  store->RegisterMetrics(registry);
  for (const MetricSample& sample : registry.Snapshot()) {
    const bool is_sync = sample.name.name == "millrace_log_sync_seconds";
    if (!is_sync) continue;
    const bool of_segment = sample.name.labels.front().second == "segment";
    CHECK((std::get<Histogram>(sample.value).count() > 0) == !of_segment);
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a topic that is to wait for the disk from now on does so for what it has") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    TestStore before(world, node.Boot(), {});
    REQUIRE(before.Start().ok());
    LogConfig config;
    config.durability = Durability::kPageCache;
    Log& log = before.Open(1, config);
    for (int i = 0; i < 90; i += 10) before.Append(log, TestBatch(Values(i, 10)));
    if (seed % 2 == 0) world.RunFor(seconds(3));  // In its file by then, unsynced.
    config.durability = Durability::kDisk;
    before.Open(1, config);
    before.Append(log, TestBatch(Values(90, 10)));
    before.WaitDurable(log);
    node.PowerLoss();
    (void)before.Stop();
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    CHECK(store.ReadAll(*store->Find(TestPartition(1))) == Expected(100));
    REQUIRE(store.Stop().ok());
  }
}

TEST_CASE(
    "LogStore: flush.messages and flush.ms bound what power loss takes of a page-cache topic") {
  const int which = GENERATE(0, 1, 2);
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.checkpoint_age = seconds(3600);
  options.segment_write_age = seconds(3600);
  LogConfig config;
  config.durability = Durability::kPageCache;
  if (which == 1) config.flush_messages = 50;
  if (which == 2) config.flush_ms = 200;
  {
    TestStore before(world, node.Boot(), options);
    REQUIRE(before.Start().ok());
    Log& log = before.Open(1, config);
    for (int i = 0; i < 90; i += 10) before.Append(log, TestBatch(Values(i, 10)));
    CHECK(log.durable_end() == log.end_offset());
    world.RunFor(milliseconds(150));
    if (which == 2) CHECK(log.state().synced_end == Offset(0));
    world.RunFor(milliseconds(150));
    node.PowerLoss();
    (void)before.Stop();
  }
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  const int64_t end = store->Find(TestPartition(1))->end_offset().value();
  if (which == 0) CHECK(end == 0);
  if (which == 1) CHECK(end >= 50);
  if (which == 2) CHECK(end == 90);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a log that is set aside is not served, stays whole, and can be had back") {
  SimWorld world(8);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.checkpoint_age = seconds(3600);
  options.segment_write_age = seconds(3600);
  const BatchProducer producer{ProducerId(3), ProducerEpoch(0), Sequence(0)};
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    LogConfig config;
    config.file_delete_delay_ms = 10;
    Log& log = store.Open(1, config);
    store.Append(log, TestBatch(Values(0, 10), Timestamp(1000), producer), LeaderEpoch(4));
    store.WaitDurable(log);  // In the journal alone.
    REQUIRE(world.Run(store.env(), store->SetAside(TestPartition(1))).ok());
    CHECK(store->Find(TestPartition(1)) == nullptr);
    CHECK(absl::IsNotFound(world.Run(store.env(), store->SetAside(TestPartition(1)))));
    CHECK(store.Open(1, config).end_offset() == Offset(0));  // The name is free.
    REQUIRE(world.Run(store.env(), store->Delete(TestPartition(1))).ok());
    world.RunFor(seconds(10));
    node.PowerLoss();
    (void)store.Stop();
  }
  std::string stray;
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    CHECK(store->Find(TestPartition(1)) == nullptr);
    world.RunFor(seconds(10));
    auto entries = world.Run(store.env(), store.env().disk.List("/data"));
    REQUIRE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      CHECK_FALSE(IsDeletedDirectoryName(entry.name));
      if (IsStrayDirectoryName(entry.name)) stray = "/data/" + entry.name;
    }
    REQUIRE_FALSE(stray.empty());
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  Env& env = node.Boot();
  REQUIRE(world.Run(env, env.disk.Rename(stray, "/data/topic1-0")).ok());
  TestStore store(world, env, options);
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log) == Expected(10));
  CHECK(log->latest_epoch() == LeaderEpoch(4));
  CHECK(log->producers().Find(ProducerId(3)) != nullptr);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

#include "storage/log_cleaner.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "storage/compaction_test_tools.h"
#include "storage/log_state.h"

namespace millrace {
namespace {

constexpr Duration kLong = seconds(30);

struct Fixture {
  explicit Fixture(LogStoreOptions options = CleanerStoreOptions(), uint64_t seed = 7)
      : world(seed), node(world.AddNode("n1")), store(world, node.Boot(), std::move(options)) {
    REQUIRE(store.Start().ok());
  }
  ~Fixture() {
    for (Log* log : store->Logs()) log->set_observer(nullptr);
    CHECK(store.Stop().ok());
    node.Kill();
  }
  Log& Open(LogConfig config = CompactedConfig(), int number = 0) {
    Log& log = store.Open(number, config);
    log.set_observer(&observer);
    return log;
  }
  // Appends one batch of keys with the values given; no value is a tombstone.
  AppendInfo Append(Log& log, const std::vector<KeyValue>& records) {
    return store.Append(log, KeyedBatch(records, store.env().clock.Now()));
  }
  // A value that fills half of a segment.
  void Fill(Log& log, int batches) {
    for (int i = 0; i < batches; ++i) Append(log, {{"fill", std::string(600, 'f')}});
  }
  bool WaitCleaned(Log& log, Offset to) {
    return world.RunUntil([&] { return log.state().cleaned_to >= to; }, kLong);
  }
  std::vector<CompactedRecord> Read(Log& log) { return ReadKeyed(world, store.env(), log); }

  SimWorld world;
  SimNode& node;
  TestStore store;
  CommittedObserver observer;
};

// What the records come to, tombstones included.
std::map<std::string, std::optional<std::string>> Latest(
    const std::vector<CompactedRecord>& records) {
  std::map<std::string, std::optional<std::string>> latest;
  for (const CompactedRecord& record : records) latest.insert_or_assign(record.key, record.value);
  return latest;
}

}  // namespace

TEST_CASE("LogCleaner: a compacted log keeps every key's latest value at its offset") {
  Fixture f;
  Log& log = f.Open();
  std::map<std::string, CompactedRecord> model;
  SimRandom random(3);
  for (int i = 0; i < 300; ++i) {
    const std::string key = std::to_string(random.Below(20));
    const std::string value = std::string(random.Between(1, 60), 'v') + std::to_string(i);
    const AppendInfo info = f.Append(log, {{key, value}});
    model.insert_or_assign(key, CompactedRecord{info.base_offset, key, value});
  }
  const Offset closed = log.state().active().base;
  REQUIRE(closed > Offset(200));
  REQUIRE(f.WaitCleaned(log, closed));
  const std::vector<CompactedRecord> records = f.Read(log);
  CHECK(records.size() < 150);
  std::map<std::string, CompactedRecord> found;
  for (const CompactedRecord& record : records) found.insert_or_assign(record.key, record);
  CHECK(found == model);
  CHECK(log.start_offset() == Offset(0));
  CHECK(log.end_offset() == Offset(300));
  CHECK(log.state().segments.front().base == Offset(0));
}

TEST_CASE("LogCleaner: an uncompacted topic is left alone") {
  LogConfig config = CompactedConfig();
  config.cleanup_compact = false;
  Fixture f;
  Log& log = f.Open(config);
  for (int i = 0; i < 20; ++i) f.Append(log, {{"a", std::string(300, 'x')}});
  f.world.RunFor(kLong);
  CHECK(f.Read(log).size() == 20);
}

TEST_CASE("LogCleaner: a topic that becomes compacted is, and one that ceases to is not") {
  LogConfig config = CompactedConfig();
  config.cleanup_compact = false;
  Fixture f;
  Log& log = f.Open(config);
  for (int i = 0; i < 20; ++i) f.Append(log, {{"a", std::string(300, 'x')}});
  f.world.RunFor(kLong);
  log.set_config(CompactedConfig());
  REQUIRE(f.WaitCleaned(log, log.state().active().base));
  const size_t left = f.Read(log).size();
  CHECK(left < 5);
  log.set_config(config);
  for (int i = 0; i < 20; ++i) f.Append(log, {{"a", std::string(300, 'x')}});
  f.world.RunFor(kLong);
  CHECK(f.Read(log).size() == left + 20);
}

TEST_CASE("LogCleaner: nothing above the high watermark is touched") {
  Fixture f;
  f.observer.committed = Offset(6);
  Log& log = f.Open();
  for (int i = 0; i < 20; ++i) f.Append(log, {{"a", std::string(300, 'x')}});
  f.world.RunFor(kLong);
  CHECK(log.state().cleaned_to <= Offset(6));
  CHECK(f.Read(log).size() >= 14);
  f.observer.committed.reset();
  CHECK(f.WaitCleaned(log, log.state().active().base));
}

TEST_CASE("LogCleaner: a tombstone outlives delete.retention.ms, then goes and nothing returns") {
  Fixture f;
  LogConfig config = CompactedConfig();
  config.delete_retention_ms = 60'000;
  Log& log = f.Open(config);
  f.Append(log, {{"gone", "1"}, {"kept", "1"}});
  f.Append(log, {{"gone", std::nullopt}});
  f.Fill(log, 4);
  REQUIRE(f.WaitCleaned(log, Offset(4)));
  auto latest = Latest(f.Read(log));
  REQUIRE(latest.contains("gone"));
  CHECK_FALSE(latest.at("gone").has_value());
  CHECK(latest.at("kept") == "1");

  // Before its time: another round leaves it.
  f.Fill(log, 8);
  REQUIRE(f.WaitCleaned(log, Offset(12)));
  CHECK(Latest(f.Read(log)).contains("gone"));
  // After it: the next one takes it.
  f.world.RunFor(seconds(61));
  f.Fill(log, 16);
  REQUIRE(f.WaitCleaned(log, log.state().active().base));
  latest = Latest(f.Read(log));
  CHECK_FALSE(latest.contains("gone"));
  CHECK(latest.at("kept") == "1");
}

TEST_CASE("LogCleaner: min.compaction.lag.ms holds it back, max.compaction.lag.ms calls it") {
  Fixture f;
  LogConfig config = CompactedConfig();
  config.min_compaction_lag_ms = 100'000;
  Log& log = f.Open(config);
  f.Fill(log, 10);
  f.world.RunFor(seconds(60));
  CHECK(log.state().cleaned_to == Offset(0));
  REQUIRE(f.WaitCleaned(log, log.state().active().base) == false);
  f.world.RunFor(seconds(60));
  CHECK(f.WaitCleaned(log, log.state().active().base));

  LogConfig lazy = CompactedConfig();
  lazy.min_cleanable_dirty_ratio = 1.0;
  lazy.max_compaction_lag_ms = 100'000;
  Log& other = f.Open(lazy, 1);
  f.Fill(other, 10);
  f.world.RunFor(seconds(60));
  CHECK(other.state().cleaned_to == Offset(0));
  f.world.RunFor(seconds(60));
  CHECK(f.WaitCleaned(other, other.state().active().base));
}

TEST_CASE("LogCleaner: a map that is full ends the round, and the next ones do the rest") {
  LogStoreOptions options = CleanerStoreOptions();
  options.cleaner.map_bytes_max = 20 * kKeySlotBytes;
  Fixture f(options);
  Log& log = f.Open();
  for (int i = 0; i < 200; ++i) {
    f.Append(log, {{std::to_string(i % 50), std::string(40, 'v') + std::to_string(i)}});
  }
  const Offset closed = log.state().active().base;
  REQUIRE(f.WaitCleaned(log, closed));
  const auto latest = Latest(f.Read(log));
  REQUIRE(latest.size() == 50);
  for (int i = 150; i < 200; ++i) {
    CHECK(latest.at(std::to_string(i % 50)) == std::string(40, 'v') + std::to_string(i));
  }
}

TEST_CASE("LogCleaner: what was compacted is known after a restart, and read as before") {
  SimWorld world(9);
  SimNode& node = world.AddNode("n1");
  CommittedObserver observer;
  std::vector<CompactedRecord> before;
  Offset cleaned(0);
  for (int life = 0; life < 3; ++life) {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, CompactedConfig());
    CHECK(log.state().cleaned_to == cleaned);
    if (life > 0) CHECK(ReadKeyed(world, store.env(), log) == before);
    log.set_observer(&observer);
    for (int i = 0; i < 40; ++i) {
      store.Append(log, KeyedBatch({{std::to_string(i % 7), std::string(100, 'x')}},
                                   store.env().clock.Now()));
    }
    REQUIRE(
        world.RunUntil([&] { return log.state().cleaned_to >= log.state().active().base; }, kLong));
    world.RunFor(seconds(20));  // And its checkpoint is stored.
    before = ReadKeyed(world, store.env(), log);
    cleaned = log.state().cleaned_to;
    log.set_observer(nullptr);
    if (life == 0) {
      REQUIRE(store.Stop().ok());
      node.Kill();
    } else {
      node.PowerLoss();
      (void)store.Stop();
    }
  }
}

TEST_CASE("LogCleaner: a log with damage is marked, and served as before") {
  Fixture f;
  Log& log = f.Open();
  f.Fill(log, 3);
  REQUIRE(f.world.Run(f.store.env(), log.Flush()).ok());
  const std::string path = log.state().SegmentPath(Offset(0), ".log");
  FlipByte(f.world, f.store.env(), path, 100);
  f.Fill(log, 6);
  REQUIRE(f.world.RunUntil([&] { return !log.state().uncleanable.empty(); }, kLong));
  CHECK(log.damage().size() == 1);
  CHECK(log.state().cleaned_to == Offset(0));
  f.Fill(log, 6);
  f.world.RunFor(kLong);
  CHECK(log.state().cleaned_to == Offset(0));
}

TEST_CASE("LogCleaner: readers that are under way see every key's latest value") {
  Fixture f;
  Log& log = f.Open();
  SimRandom random(5);
  std::map<std::string, std::optional<std::string>> model;
  for (int lap = 0; lap < 30; ++lap) {
    for (int i = 0; i < 40; ++i) {
      const std::string key = std::to_string(random.Below(12));
      const std::string value = std::string(random.Between(1, 80), 'y') + std::to_string(lap);
      f.Append(log, {{key, value}});
      model.insert_or_assign(key, value);
    }
    f.world.RunFor(milliseconds(static_cast<int64_t>(random.Below(300))));
    // Reads suspend between batches, and files are replaced meanwhile.
    CHECK(Latest(f.Read(log)) == model);
  }
  CHECK(log.state().cleaned_to > Offset(0));
}

TEST_CASE("LogCleaner: compact,delete does both") {
  LogStoreOptions options = CleanerStoreOptions();
  options.retention_check_interval = milliseconds(50);
  options.retention_initial_delay = milliseconds(50);
  Fixture f(options);
  LogConfig config = CompactedConfig();
  config.cleanup_delete = true;
  config.retention_ms = 60'000;
  Log& log = f.Open(config);
  for (int i = 0; i < 40; ++i) f.Append(log, {{std::to_string(i % 5), std::string(200, 'x')}});
  REQUIRE(f.WaitCleaned(log, log.state().active().base));
  CHECK(log.start_offset() == Offset(0));
  CHECK(f.Read(log).size() < 15);
  f.world.RunFor(seconds(62));
  CHECK(log.start_offset() == Offset(40));
}

TEST_CASE("LogCleaner: a follower takes the leader's holes, and keeps them over a crash") {
  SimWorld world(11);
  SimNode& node = world.AddNode("n1");
  for (int life = 0; life < 4; ++life) {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(store.Start().ok());
    LogConfig config = CompactedConfig();
    config.cleanup_compact = false;
    config.durability = life % 2 == 0 ? Durability::kDisk : Durability::kPageCache;
    Log& log = store.Open(0, config);
    for (int64_t i = 0; i < 30; ++i) {
      BatchView batch = KeyedBatch({{"k", std::string(100, 'x')}}, store.env().clock.Now());
      batch.SetBaseOffset(Offset(life * 1000 + i * 10));
      batch.SetLeaderEpoch(LeaderEpoch(1));
      auto admission =
          world.Run(store.env(), store->Admit(batch.bytes().size(), CancellationToken()));
      REQUIRE(log.AppendAsFollower(batch, *admission).ok());
      // Readers come at the holes, wherever the records are by then.
      auto read = world.Run(store.env(), log.Read(Offset(life * 1000 + i * 10 - (i > 0 ? 8 : 0)),
                                                  {100'000, log.end_offset(), true}));
      REQUIRE(read.ok());
      REQUIRE(read->next_offset == log.end_offset());
      if (i % 7 == 3) world.RunFor(milliseconds(300));
    }
    store.WaitDurable(log);
    if (config.durability == Durability::kDisk) {
      node.PowerLoss();
    } else {
      world.RunFor(seconds(5));
      node.Kill();
    }
    (void)store.Stop();
    TestStore again(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(again.Start().ok());
    Log& found = *again->Find(TestPartition(0));
    CHECK(found.end_offset() == Offset(life * 1000 + 291));
    CHECK(ReadKeyed(world, again.env(), found).size() == static_cast<size_t>(30 * (life + 1)));
    for (int64_t at = 0; at < found.end_offset().value(); at += 7) {
      auto read = world.Run(again.env(), found.Read(Offset(at), {1, found.end_offset(), true}));
      REQUIRE(read.ok());
      REQUIRE(read->next_offset > Offset(at));
    }
    REQUIRE(again.Stop().ok());
    node.Kill();
  }
}

}  // namespace millrace

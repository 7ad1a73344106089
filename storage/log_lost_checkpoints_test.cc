// Logs whose checkpoints are gone, with the whole key-value store, after a kill or a power loss: the
// files and the journals have everything that was acknowledged.
#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "storage/compaction_test_tools.h"
#include "storage/journal/journal.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "test/rounds.h"

namespace millrace {
namespace {

BatchView Small(std::string name) { return TestBatch({std::move(name), "second", "third"}); }

// More than the journal takes.
BatchView Large(std::string name) {
  return TestBatch({std::move(name), std::string(Journal::Options().entry_bytes_max(), 'x')});
}

void Append(TestStore& store, Log& log, BatchView batch) {
  store.Append(log, std::move(batch));
  store.WaitDurable(log);
}

}  // namespace

TEST_CASE(
    "Recovery: a start of a topic that had the name before takes nothing from its successor") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  const TopicPartitionId successor = TestPartition(7);
  const int batches = GENERATE(5, 10);  // It ends in front of the old start, or behind it.
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0);
    for (int i = 0; i < 10; ++i) Append(store, log, Small("old"));
    REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(20))).ok());
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    REQUIRE(world.Run(store.env(), store->Delete(TestPartition(0))).ok());
    auto made = world.Run(store.env(), store->Open(successor, TestTopic(0), LogConfig(), true));
    REQUIRE(made.ok());
    for (int i = 0; i < batches; ++i) Append(store, **made, Small("new"));
    REQUIRE(world.Run(store.env(), (*made)->Flush()).ok());
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), {});
  REQUIRE(store.Start().ok());
  Log* log = store->Find(successor);
  REQUIRE(log != nullptr);
  CHECK(log->start_offset() == Offset(0));
  CHECK(store.ReadAll(*log).size() == static_cast<size_t>(batches) * 3);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a start beyond the end that no checkpoint of ours says costs no record") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Append(store, store.Open(0), Small("kept"));
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  Env& env = BootWithoutStore(world, node);
  const std::string path = JoinPath(kTestDataDir, kLogStartFile);
  const std::string text = FormatOffsetCheckpoint({{TestTopic(0), PartitionId(0), Offset(1000)}});
  REQUIRE(world.Run(env, ReplaceFile(env.disk, path, text)).ok());
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  CHECK(store.ReadAll(store.Open(0)).size() == 3);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a start that no checkpoint of ours says leaves nothing of a log unread") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  LogConfig config;
  config.segment_bytes = 500;
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, config);
    for (int i = 0; i < 20; ++i) {
      store.Append(log, TestBatch({std::string(300, 'x')}), LeaderEpoch(i));
    }
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    node.Kill();
    (void)store.Stop();
  }
  Env& env = BootWithoutStore(world, node);
  const std::string path = JoinPath(kTestDataDir, kLogStartFile);
  const std::string text = FormatOffsetCheckpoint({{TestTopic(0), PartitionId(0), Offset(1000)}});
  REQUIRE(world.Run(env, ReplaceFile(env.disk, path, text)).ok());
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(0));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log).size() == 20);
  for (int epoch = 0; epoch < 19; ++epoch) {
    const auto end = log->EndOffsetForEpoch(LeaderEpoch(epoch));
    REQUIRE(end.has_value());
    CHECK(end->epoch == LeaderEpoch(epoch));
    CHECK(end->end_offset == Offset(epoch + 1));
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a replica that came back is not given what its former self had journaled") {
  const bool power = GENERATE(false, true);
  const bool appended = GENERATE(false, true);
  CAPTURE(power, appended);
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  std::vector<ReadRecord> before;
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Append(store, store.Open(1), Small("another's"));  // Keeps what comes in the journal behind it.
    Log& first = store.Open(0);
    for (int i = 0; i < 3; ++i) Append(store, first, Small("first life"));
    REQUIRE(world.Run(store.env(), store->Delete(TestPartition(0))).ok());
    LogConfig config;
    config.durability = Durability::kPageCache;
    Log& second = store.Open(0, config);
    if (appended) {
      store.Append(second, Small("second life"));
      REQUIRE(world.Run(store.env(), second.Flush()).ok());
    }
    before = store.ReadAll(second);
    world.RunFor(seconds(1));
    Die(node, power);
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), {});
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(0));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log) == before);
  REQUIRE(store.Stop().ok());
}

// Cuts of one kind, and behind them what only the files have, or both, or the journal alone.
TEST_CASE("Recovery: a cut that has ended takes nothing of what came behind it") {
  const bool power = GENERATE(false, true);
  const bool flushed = GENERATE(false, true);
  const auto durability = GENERATE(Durability::kDisk, Durability::kPageCache);
  for (uint64_t seed = 1; seed < Rounds(40); ++seed) {
    INFO("seed " << seed << (power ? ", power" : ", kill") << (flushed ? ", flushed" : "")
                 << (durability == Durability::kDisk ? ", disk" : ", page cache"));
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    SimRandom random = SimRandom::Derived(seed, "lost_checkpoints");
    LogConfig config;
    config.durability = durability;
    config.segment_bytes = 3 << 20;
    std::vector<ReadRecord> before;
    Offset start(0);
    bool moved = false;
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(0, config);
      for (uint64_t i = random.Between(3, 20); i > 0; --i) {
        const uint64_t what = random.Below(12);
        const Offset end = log.end_offset();
        if (what == 0) {
          const Offset next = end + OffsetDelta(static_cast<int64_t>(random.Between(1, 100)));
          REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(next)).ok());
          moved = false;
        } else if (what == 1 && log.start_offset() < end) {
          const Offset next = end - OffsetDelta(static_cast<int64_t>(random.Below(3)));
          REQUIRE(world.Run(store.env(), log.AdvanceStart(next)).ok());
          moved = true;
        } else if (what < 4 && log.start_offset() < end) {
          const auto kept = static_cast<int64_t>(
              random.Below(static_cast<uint64_t>((end - log.start_offset()).value())));
          const Offset to = log.start_offset() + OffsetDelta(kept);
          REQUIRE(world.Run(store.env(), log.Truncate(to)).ok());
        } else if (what < 6) {
          Append(store, log, Large(fmt::format("large {}", i)));
        } else {
          Append(store, log, Small(fmt::format("small {}", i)));
        }
      }
      // Else a power loss may take it.
      if (flushed || durability == Durability::kPageCache) {
        REQUIRE(world.Run(store.env(), log.Flush()).ok());
      }
      before = store.ReadAll(log, 4 << 20);
      start = log.start_offset();
      Die(node, power);
      (void)store.Stop();
    }
    for (int life = 0; life < 2; ++life) {
      TestStore store(world, BootWithoutStore(world, node), {});
      REQUIRE(store.Start().ok());
      Log* log = store->Find(TestPartition(0));
      REQUIRE(log != nullptr);
      std::vector<ReadRecord> after = store.ReadAll(*log, 4 << 20);
      // How far a start was moved inside its segment nothing tells any more,
      if (moved && after.size() > before.size()) {
        after.erase(after.begin(), after.end() - static_cast<std::ptrdiff_t>(before.size()));
      }
      CHECK(after == before);
      // nor where a log starts that was left empty.
      if (!moved && !before.empty()) CHECK(log->start_offset() == start);
      if (!before.empty()) CHECK(log->start_offset() <= start);
      Die(node, /*power=*/true);
      (void)store.Stop();
    }
  }
}

TEST_CASE("Recovery: a cut that has not ended leaves what it was to leave, wherever it came to") {
  const bool power = GENERATE(false, true);
  const bool all = GENERATE(false, true);
  constexpr int kKept = 6;  // Records; of two batches.
  for (uint64_t operation = 1;; ++operation) {
    INFO("operation " << operation << (power ? ", power" : ", kill") << (all ? ", all" : ""));
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    std::vector<ReadRecord> before;
    bool ended = false;
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(0);
      // An earlier cut, and other batches at the same offsets before it.
      for (int i = 0; i < 4; ++i) Append(store, log, Small("cut"));
      REQUIRE(world.Run(store.env(), log.Truncate(Offset(3))).ok());
      for (int i = 0; i < 5; ++i) Append(store, log, Small(fmt::format("batch {}", i)));
      before = store.ReadAll(log);
      bool crashed = false;
      DieAt(world, node, operation, power, &crashed);
      (void)world.Run(store.env(), all ? log.TruncateFullyAndStartAt(Offset(1000))
                                       : log.Truncate(Offset(kKept)));
      ended = !crashed;
      node.disk().set_operation_hook(nullptr);
      if (!crashed) Die(node, power);
      (void)store.Stop();
    }
    TestStore store(world, BootWithoutStore(world, node), {});
    REQUIRE(store.Start().ok());
    Log* log = store->Find(TestPartition(0));
    REQUIRE(log != nullptr);
    const std::vector<ReadRecord> after = store.ReadAll(*log);
    REQUIRE(after.size() <= before.size());
    CHECK(std::equal(after.begin(), after.end(), before.begin()));
    if (!all) CHECK(after.size() >= kKept);
    if (ended) {
      CHECK(after.size() == (all ? 0 : kKept));
      CHECK(log->end_offset() == Offset(all ? 1000 : kKept));
    }
    Append(store, *log, Small("goes on"));
    REQUIRE(store.Stop().ok());
    if (ended) break;
  }
}

// As after any failed sync (log_offline_test.cc), but no journal tells of such a batch.
TEST_CASE(
    "Recovery: a large batch that a failed sync left in the page cache is durable when served") {
  const bool followed = GENERATE(false, true);
  CAPTURE(followed);
  size_t served = 0;
  for (uint64_t seed = 1; seed < Rounds(30); ++seed) {
    INFO("seed " << seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Append(store, store.Open(0), Small("before"));
      REQUIRE(store.Stop().ok());
      node.Kill();
    }
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(0);
      if (!followed) node.disk().FailNextSync();
      store.Append(log, Large("first"));
      store.Append(log, Large("second"));
      if (followed) {
        store.Append(log, Small("behind"));
        node.disk().FailNextSync();
      }
      (void)world.Run(store.env(), log.Flush());
      node.Kill();
      (void)store.Stop();
    }
    std::vector<ReadRecord> before;
    {
      TestStore store(world, BootWithoutStore(world, node), {});
      REQUIRE(store.Start().ok());
      before = store.ReadAll(store.Open(0), 4 << 20);
      node.PowerLoss();
      (void)store.Stop();
    }
    served += before.size();
    TestStore store(world, BootWithoutStore(world, node), {});
    REQUIRE(store.Start().ok());
    CHECK(store.ReadAll(store.Open(0), 4 << 20) == before);
    REQUIRE(store.Stop().ok());
  }
  CHECK(served > Rounds(30) * 4);  // Not only the first batch.
}

TEST_CASE("Recovery: what a compaction has replaced is not taken back from the journal") {
  const bool power = GENERATE(false, true);
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  CommittedObserver observer;
  std::vector<CompactedRecord> before;
  {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(store.Start().ok());
    // Its entries are in the journal as long as those of the other one.
    Log& log = store.Open(0, CompactedConfig());
    for (int i = 0; i < 60; ++i) {
      store.Append(
          log, KeyedBatch({{std::to_string(i % 5), std::string(100, 'v')}}, Timestamp(1000 + i)));
    }
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    log.set_observer(&observer);
    REQUIRE(world.RunUntil([&] { return log.state().cleaned_to >= log.state().active().base; },
                           seconds(60)));
    log.set_observer(nullptr);
    before = ReadKeyed(world, store.env(), log);
    REQUIRE(before.size() < 30);
    Die(node, power);
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), CleanerStoreOptions());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(0));
  REQUIRE(log != nullptr);
  CHECK(log->end_offset() == Offset(60));
  CHECK(ReadKeyed(world, store.env(), *log) == before);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

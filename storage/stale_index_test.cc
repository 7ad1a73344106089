// Index entries of batches that a power loss took: the index may have reached the disk, and what it speaks of not.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_test_tools.h"
#include "storage/segment/offset_index.h"

namespace millrace {
namespace {

const std::string kSegment = std::string(kTestDataDir) + "/topic0-0/00000000000000000000";

LogConfig Config() {
  LogConfig config;
  config.durability = Durability::kPageCache;
  config.index_interval_bytes = 200;
  return config;
}

BatchView BatchOf(size_t bytes, int number) {
  return TestBatch({std::string(bytes, 'x')}, Timestamp(1000 + number));
}

// Power is lost when the index has grown, and it and the time index are on the disk to their last byte.
void LosePowerBehindIndex(SimWorld& world, SimNode& node) {
  const uint64_t before = node.disk().Find(kSegment + ".index")->size();
  bool lost = false;
  node.disk().set_operation_hook([&](uint64_t) {
    if (lost || node.disk().Find(kSegment + ".index")->size() <= before) return;
    lost = true;
    world.After(Duration(0), [&] {
      for (const char* suffix : {".index", ".timeindex"})
        node.disk().Find(kSegment + suffix)->Sync();
      node.PowerLoss();
    });
  });
  world.RunFor(seconds(15));
  node.disk().set_operation_hook(nullptr);
  REQUIRE(lost);
}

// Of other sizes than those before, and beyond where those ended.
void AppendOthers(SimWorld& world, TestStore& store, Log& log) {
  for (int i = 0; i < 40; ++i) store.Append(log, BatchOf(523 + static_cast<size_t>(i), 100 + i));
  world.RunFor(seconds(30));
}

void ReadEach(SimWorld& world, TestStore& store, Log& log) {
  // From the end, so that each place is looked up.
  for (Offset at = log.end_offset() - OffsetDelta(1); at > Offset(0); at = at - OffsetDelta(1)) {
    auto read = world.Run(store.env(), log.Read(at, {1, log.end_offset(), true}));
    INFO("offset " << at.value() << ": " << read.status().ToString());
    REQUIRE(read.ok());
    std::vector<ReadRecord> records;
    AppendRecords(read->batches, at, records);
    REQUIRE_FALSE(records.empty());
    REQUIRE(records.front().offset == at);
  }
  CHECK(log.damage().empty());
}

}  // namespace

TEST_CASE("Recovery: index entries of batches that a power loss took are not those of later ones") {
  size_t shorter = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    Offset lost_end{0};
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(0, Config());
      for (int i = 0; i < 10; ++i) store.Append(log, BatchOf(300, i));
      world.RunFor(seconds(30));
      for (int i = 10; i < 40; ++i) store.Append(log, BatchOf(300, i));
      lost_end = log.end_offset();
      LosePowerBehindIndex(world, node);
      (void)store.Stop();
    }
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(0, Config());
      if (log.end_offset() < lost_end) ++shorter;
      AppendOthers(world, store, log);
      REQUIRE(store.Stop().ok());
      node.Kill();
    }
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, Config());
    ReadEach(world, store, log);
    REQUIRE(store.Stop().ok());
  }
  CHECK(shorter > 0);
}

TEST_CASE("Recovery: an index whose segment a power loss took is not that of the next one there") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, Config());
    for (int i = 0; i < 90; ++i) store.Append(log, BatchOf(300, i));
    world.RunFor(seconds(30));
    node.Kill();
    (void)store.Stop();
  }
  {
    Env& env = node.Boot();
    REQUIRE(world.Run(env, env.disk.Remove(kSegment + ".log")).ok());
    TestStore store(world, env, {});
    REQUIRE(store.Start().ok());
    for (const char* suffix : {".index", ".timeindex"}) {
      CHECK(node.disk().Find(kSegment + suffix) == nullptr);
    }
    AppendOthers(world, store, store.Open(0, Config()));
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  ReadEach(world, store, store.Open(0, Config()));
  REQUIRE(store.Stop().ok());
}

// As versions left it that wrote behind such entries without looking: the last entry that is in order
// points into the midst of a batch, or to one behind its offset.
TEST_CASE("Recovery: an index whose last entry is not true of its segment is built anew") {
  const bool midst = GENERATE(false, true);
  CAPTURE(midst);
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  LogConfig config = Config();
  config.index_interval_bytes = 1000;  // Several batches lie between two entries.
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, config);
    for (int i = 0; i < 40; ++i) store.Append(log, BatchOf(300, i));
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  SimFileData& index = *node.disk().Find(kSegment + ".index");
  const uint64_t last = index.size() - kOffsetIndexEntryBytes;
  // Of the four bytes of the offset, which is odd, or of those of the position behind them.
  index.FlipBit(last + (midst ? 7 : 3), 0);
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(0, config);
  ReadEach(world, store, log);
  AppendOthers(world, store, log);
  ReadEach(world, store, log);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

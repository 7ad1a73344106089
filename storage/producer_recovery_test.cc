// Producer snapshots as files: when they are written, read, dropped and removed.
#include <catch2/catch.hpp>
#include <functional>
#include <map>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_snapshot.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

constexpr int kBatches = 200;
constexpr size_t kFileBytesMax = 1 << 20;

const std::string kFolder =
    JoinPath(kTestDataDir, PartitionDirectoryName(TestTopic(1), PartitionId(0)));

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 4000;
  return config;
}

BatchView BatchOf(int64_t producer, int sequence) {
  return TestBatch({fmt::format("value-{}", sequence), std::string(40, 'x')}, Timestamp(1000),
                   BatchProducer{ProducerId(producer), ProducerEpoch(0), Sequence(sequence)});
}

using Entries = std::map<ProducerId, ProducerEntry>;

// One batch of producer 6, then many of producer 5.
void Fill(TestStore& store, Log& log) {
  store.Append(log, BatchOf(6, 0));
  for (int i = 0; i < kBatches; ++i) store.Append(log, BatchOf(5, i * 2));
}

// Offsets in the names of `suffix` files in the folder.
std::vector<Offset> Names(SimWorld& world, Env& env, std::string_view suffix) {
  auto entries = world.Run(env, env.disk.List(kFolder));
  REQUIRE(entries.ok());
  std::vector<Offset> offsets;
  for (const DirectoryEntry& entry : *entries) {
    if (auto at = ParseSegmentFileName(entry.name, suffix)) offsets.push_back(*at);
  }
  return offsets;
}

std::string PathOf(Offset at) { return JoinPath(kFolder, SegmentFileName(at, kSnapshotSuffix)); }

// What this broker knows beyond the folder is gone: it is opened as one that Kafka stopped cleanly.
void ForgetCheckpoints(SimWorld& world, Env& env) {
  auto entries = world.Run(env, env.disk.List(kTestMetaDir));
  REQUIRE(entries.ok());
  for (const DirectoryEntry& entry : *entries) {
    REQUIRE(world.Run(env, env.disk.Remove(JoinPath(kTestMetaDir, entry.name))).ok());
  }
}

using Damage = std::function<std::string(std::string)>;

struct Damaged {
  Entries before;
  Entries after;
  Offset active_base{0};  // Of the segment whose snapshot is the newest that the start reads.
  bool sound_again = false;
};

// Stops a log cleanly, changes the newest `count` snapshots, and opens the folder as Kafka's.
Damaged StopDamageStart(uint64_t seed, size_t count, const Damage& damage) {
  SimWorld world(seed);
  SimNode& node = world.AddNode("n1");
  Damaged result;
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, SmallSegments());
    Fill(store, log);
    // Producer 6 stays known after its only batch is gone (rule 1.41): by snapshots alone.
    REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(150))).ok());
    REQUIRE(log.state().segments.front().base > Offset(2));
    REQUIRE(log.state().segments.size() > 2);
    result.active_base = log.state().active().base;
    result.before = log.producers().entries();
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  Env& env = node.Boot();
  ForgetCheckpoints(world, env);
  std::vector<Offset> files = Names(world, env, kSnapshotSuffix);
  for (size_t i = 0; i < std::min(count, files.size()); ++i) {
    const std::string path = PathOf(files[files.size() - 1 - i]);
    auto bytes = world.Run(env, ReadWholeFile(env.disk, path, kFileBytesMax));
    REQUIRE(bytes.ok());
    REQUIRE(world.Run(env, ReplaceFile(env.disk, path, damage(std::string(bytes->view())))).ok());
  }
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  REQUIRE(store->was_clean());
  Log& log = store.Open(1, SmallSegments());
  result.after = log.producers().entries();
  CHECK(world.Run(env, log.Flush()).ok());
  auto bytes = world.Run(env, ReadWholeFile(env.disk, PathOf(result.active_base), kFileBytesMax));
  result.sound_again = bytes.ok() && DecodeProducerSnapshot(bytes->span(), env.clock.Now()).ok();
  REQUIRE(store.Stop().ok());
  return result;
}

std::string Flipped(std::string bytes) {
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  return bytes;
}
std::string Truncated(std::string bytes) { return bytes.substr(0, bytes.size() - 5); }
std::string TooNew(std::string bytes) {
  bytes[1] = 2;  // The version is outside the CRC.
  return bytes;
}

}  // namespace

TEST_CASE("Snapshots: one at each roll and one at a clean stop, and they go with segments (1.42)") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  Fill(store, log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  std::vector<Offset> bases;
  for (const Segment& segment : log.state().segments) bases.push_back(segment.base);
  REQUIRE(bases.size() > 4);
  std::vector<Offset> expected(bases.begin() + 1, bases.end());
  CHECK(Names(world, store.env(), kSnapshotSuffix) == expected);

  REQUIRE(world.Run(store.env(), log.AdvanceStart(bases[3])).ok());
  expected.assign(bases.begin() + 3, bases.end());
  CHECK(Names(world, store.env(), kSnapshotSuffix) == expected);

  const Offset end = log.end_offset();
  REQUIRE(store.Stop().ok());
  expected.push_back(end);
  CHECK(Names(world, store.env(), kSnapshotSuffix) == expected);
  node.Kill();

  // The one of the clean stop serves no truncation once the log has gone on.
  TestStore next(world, node.Boot(), {});
  REQUIRE(next.Start().ok());
  next.Append(next.Open(1, SmallSegments()), BatchOf(5, kBatches * 2));
  REQUIRE(next.Stop().ok());
  node.Kill();
  TestStore last(world, node.Boot(), {});
  REQUIRE(last.Start().ok());
  expected.back() = end + OffsetDelta(2);
  CHECK(Names(world, last.env(), kSnapshotSuffix) == expected);
  REQUIRE(last.Stop().ok());
}

TEST_CASE("Snapshots: a log without producers says so at each roll") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  for (int i = 0; i < 40; ++i) store.Append(log, TestBatch({std::string(300, 'x')}));
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  std::vector<Offset> files = Names(world, store.env(), kSnapshotSuffix);
  REQUIRE(files.size() + 1 == log.state().segments.size());
  REQUIRE(files.size() > 1);
  auto bytes =
      world.Run(store.env(), ReadWholeFile(store.env().disk, PathOf(files.front()), kFileBytesMax));
  REQUIRE(bytes.ok());
  CHECK(bytes->size() == 10);
  CHECK(DecodeProducerSnapshot(bytes->span(), Timestamp(0))->empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Snapshots: the newest sound one is loaded, what follows it is read") {
  Damaged result = StopDamageStart(3, 0, Flipped);
  CHECK(result.after == result.before);
  CHECK(result.after.contains(ProducerId(6)));
}

TEST_CASE("Snapshots: a corrupt one is dropped and the state comes from an older one") {
  Damaged result = StopDamageStart(4, 2, Flipped);
  CHECK(result.after == result.before);
  CHECK(result.sound_again);
}

TEST_CASE("Snapshots: a truncated one is dropped and the state comes from an older one") {
  Damaged result = StopDamageStart(5, 2, Truncated);
  CHECK(result.after == result.before);
  CHECK(result.sound_again);
}

TEST_CASE("Snapshots: one of a newer version is dropped and the state comes from an older one") {
  Damaged result = StopDamageStart(6, 2, TooNew);
  CHECK(result.after == result.before);
  CHECK(result.sound_again);
}

TEST_CASE("Snapshots: with all of them corrupt the state is what the log still says") {
  Damaged result = StopDamageStart(7, 1000, Truncated);
  CHECK_FALSE(result.after.contains(ProducerId(6)));
  result.before.erase(ProducerId(6));
  CHECK(result.after == result.before);
  CHECK(result.sound_again);
}

TEST_CASE("Snapshots: a truncation takes producers back, also those that have expired since") {
  SimWorld world(8);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  Fill(store, log);
  world.RunFor(std::chrono::hours(25));
  REQUIRE(log.producers().empty());
  REQUIRE(world.Run(store.env(), log.Truncate(Offset(100))).ok());
  const ProducerEntry* entry = log.producers().Find(ProducerId(5));
  REQUIRE(entry != nullptr);
  CHECK(entry->batches().size() == 5);
  CHECK(entry->batches().back().last_offset == Offset(99));
  CHECK(log.producers().Find(ProducerId(6)) != nullptr);
  for (Offset at : Names(world, store.env(), kSnapshotSuffix)) CHECK(at <= Offset(100));
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

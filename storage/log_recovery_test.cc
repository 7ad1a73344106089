// What recovery makes of files that somebody or something damaged (RELIABILITY §C 26-31).
#include <catch2/catch.hpp>
#include <functional>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

constexpr int kBatches = 120;

const std::string kFolder =
    JoinPath(kTestDataDir, PartitionDirectoryName(TestTopic(1), PartitionId(0)));

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 4000;
  config.index_interval_bytes = 300;
  return config;
}

BatchView BatchNumber(int number) {
  return TestBatch({fmt::format("value-{}", number), std::string(40, 'x')},
                   Timestamp(1000 + number * 10),
                   BatchProducer{ProducerId(5), ProducerEpoch(0), Sequence(number * 2)});
}

// Fills a log and ends the process: cleanly, or by kill -9 after everything was checkpointed.
void FillAndEnd(SimWorld& world, SimNode& node, bool clean) {
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  for (int i = 0; i < kBatches; ++i) {
    store.Append(log, BatchNumber(i), LeaderEpoch(i < kBatches / 2 ? 3 : 7));
  }
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  if (clean) REQUIRE(store.Stop().ok());
  node.Kill();
  if (!clean) (void)store.Stop();
}

void CheckAll(SimWorld& world, TestStore& store, Log& log) {
  std::vector<ReadRecord> records = store.ReadAll(log);
  REQUIRE(records.size() == kBatches * 2);
  for (int i = 0; i < kBatches; i += 7) {
    CHECK(records[static_cast<size_t>(i) * 2] ==
          ReadRecord{Offset(i * 2), fmt::format("value-{}", i)});
    auto found =
        world.Run(store.env(), log.OffsetForTimestamp(Timestamp(1000 + i * 10), log.end_offset()));
    REQUIRE(found.ok());
    REQUIRE(found->has_value());
    CHECK((*found)->offset == Offset(i * 2));
    CHECK((*found)->timestamp == Timestamp(1000 + i * 10));
  }
}

Task<absl::Status> RemoveBySuffix(Disk* disk, std::string folder, std::string suffix,
                                  int* removed) {
  auto entries = co_await disk->List(folder);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.name.ends_with(suffix)) continue;
    absl::Status status = co_await disk->Remove(JoinPath(folder, entry.name));
    if (!status.ok()) co_return status;
    ++*removed;
  }
  co_return absl::OkStatus();
}

// Writes `bytes` at `position`, or `-from_end` bytes before the end; or cuts there when `bytes` is
// empty.
Task<absl::Status> Damage(Disk* disk, std::string path, int64_t position, std::string bytes) {
  auto file = co_await disk->Open(path, OpenOptions{});
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  absl::Status status = size.status();
  if (size.ok()) {
    const uint64_t at =
        position > 0 ? static_cast<uint64_t>(position) : *size - static_cast<uint64_t>(-position);
    status = bytes.empty() ? co_await (*file)->Truncate(at)
                           : co_await (*file)->WriteAt(at, Chain(Slice::Copy(bytes)), WriteFlags{});
  }
  status.Update(co_await (*file)->Close());
  co_return status;
}

Task<absl::StatusOr<std::string>> LastSegment(Disk* disk, std::string folder) {
  auto entries = co_await disk->List(folder);
  if (!entries.ok()) co_return entries.status();
  std::string last;
  for (const DirectoryEntry& entry : *entries) {
    if (ParseSegmentFileName(entry.name, kLogSuffix)) last = entry.name;
  }
  co_return JoinPath(folder, last);
}

}  // namespace

TEST_CASE("Recovery: garbage behind the last batch is cut, and appending goes on") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/false);
  Env& env = node.Boot();
  auto path = world.Run(env, LastSegment(&env.disk, kFolder));
  REQUIRE(path.ok());
  REQUIRE(world.Run(env, Damage(&env.disk, *path, 0, std::string(777, '\x5a'))).ok());
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  CheckAll(world, store, log);
  CHECK(store.Append(log, BatchNumber(kBatches)).base_offset == Offset(kBatches * 2));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a tail cut off below the recovery point costs its batches and nothing else") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/false);
  Env& env = node.Boot();
  auto path = world.Run(env, LastSegment(&env.disk, kFolder));
  REQUIRE(path.ok());
  REQUIRE(world.Run(env, Damage(&env.disk, *path, -7, "")).ok());
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  // The journal may still hold the batch (recycling is lazy); then it is back.
  CHECK(log.end_offset() >= Offset((kBatches - 1) * 2));
  std::vector<ReadRecord> records = store.ReadAll(log);
  CHECK(records.size() == static_cast<size_t>(log.end_offset().value()));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: what the journal alone has survives the loss of the key-value store") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    {
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1, SmallSegments());
      for (int i = 0; i < kBatches; ++i) store.Append(log, BatchNumber(i));
      store.WaitDurable(log);
      if (seed % 2 == 0) node.PowerLoss();
      if (seed % 2 != 0) node.Kill();
      (void)store.Stop();
    }
    // As a node sets aside a store that it cannot read.
    Env& env = node.Boot();
    REQUIRE(world.Run(env, env.disk.Rename(kTestMetaDir, "/aside")).ok());
    TestStore store(world, env, {});
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, SmallSegments());
    CheckAll(world, store, log);
    // Its producer is known, too.
    CHECK(store.Append(log, BatchNumber(kBatches)).base_offset == Offset(kBatches * 2));
    REQUIRE(store.Stop().ok());
  }
}

TEST_CASE("Recovery: deleted indexes are rebuilt at their first use") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/true);
  Env& env = node.Boot();
  int removed = 0;
  REQUIRE(world.Run(env, RemoveBySuffix(&env.disk, kFolder, ".index", &removed)).ok());
  REQUIRE(world.Run(env, RemoveBySuffix(&env.disk, kFolder, ".timeindex", &removed)).ok());
  REQUIRE(removed > 4);
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  CheckAll(world, store, store.Open(1, SmallSegments()));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: Kafka's snapshot and epoch files may go, dedup and epochs stay") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/true);
  Env& env = node.Boot();
  int removed = 0;
  REQUIRE(world.Run(env, RemoveBySuffix(&env.disk, kFolder, ".snapshot", &removed)).ok());
  REQUIRE(
      world.Run(env, RemoveBySuffix(&env.disk, kFolder, std::string(kLeaderEpochFile), &removed))
          .ok());
  REQUIRE(removed > 2);
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  for (int i = kBatches - 5; i < kBatches; ++i) {
    auto duplicate = log.producers().Check(BatchNumber(i).header());
    REQUIRE(duplicate.ok());
    REQUIRE(duplicate->has_value());
    CHECK((*duplicate)->base_offset == Offset(i * 2));
  }
  auto end = log.EndOffsetForEpoch(LeaderEpoch(5));
  REQUIRE(end.has_value());
  CHECK(end->epoch == LeaderEpoch(3));
  CHECK(end->end_offset == Offset(kBatches));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Log: a flipped bit in a segment is reported and never served") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/true);
  Env& env = node.Boot();
  const std::string first = JoinPath(kFolder, SegmentFileName(Offset(0), kLogSuffix));
  REQUIRE(world.Run(env, Damage(&env.disk, first, 400, "?")).ok());
  TestStore store(world, env, {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  auto read = world.Run(store.env(), log.Read(Offset(0), {100'000, log.end_offset(), true}));
  // What lies before it is served, then nothing.
  REQUIRE(read.ok());
  CHECK(read->next_offset > Offset(0));
  read = world.Run(store.env(), log.Read(read->next_offset, {100'000, log.end_offset(), true}));
  CHECK(absl::IsDataLoss(read.status()));
  // What lies in other segments is served as before.
  auto later = world.Run(store.env(), log.Read(Offset(200), {1000, log.end_offset(), true}));
  CHECK(later.ok());
  REQUIRE(store.Stop().ok());
}

namespace {

Task<void> CountTurns(Reactor* reactor, const bool* done, int* turns) {
  for (; !*done; ++*turns) co_await Yield(*reactor);
}

Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> SearchBesideOthers(Env* env, Log* log,
                                                                           Timestamp timestamp,
                                                                           int* turns) {
  bool done = false;
  TaskScope others(env->reactor);
  others.Spawn(CountTurns(&env->reactor, &done, turns));
  auto found = co_await log->OffsetForTimestamp(timestamp, log->end_offset());
  done = true;
  co_await others.Join();
  co_return found;
}

}  // namespace

TEST_CASE("Log: a look-up by time lets others run while it goes through the records of a batch") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, LogConfig());
  store.Append(log, TestBatch(std::vector<std::string>(20'000, "v"), Timestamp(5000)));
  int turns = 0;
  auto found = world.Run(store.env(),
                         SearchBesideOthers(&store.env(), &log, Timestamp(5000 + 19'999), &turns));
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  CHECK((*found)->offset == Offset(19'999));
  CHECK(turns >= 19);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Log: the largest timestamp names the first record that has it") {
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  auto none = world.Run(store.env(), log.MaxTimestamp(log.end_offset()));
  REQUIRE(none.ok());
  CHECK_FALSE(none->has_value());
  store.Append(log, TestBatch({"a", "b"}, Timestamp(5000)));
  store.Append(log, TestBatch({"c", "d"}, Timestamp(9000)));
  store.Append(log, TestBatch({"e"}, Timestamp(100)));
  auto max = world.Run(store.env(), log.MaxTimestamp(log.end_offset()));
  REQUIRE(max.ok());
  REQUIRE(max->has_value());
  CHECK((*max)->offset == Offset(3));
  CHECK((*max)->timestamp == Timestamp(9001));
  auto bounded = world.Run(store.env(), log.MaxTimestamp(Offset(3)));
  REQUIRE(bounded.ok());
  CHECK_FALSE(bounded->has_value());
  auto late = world.Run(store.env(), log.OffsetForTimestamp(Timestamp(9002), log.end_offset()));
  REQUIRE(late.ok());
  CHECK_FALSE(late->has_value());
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

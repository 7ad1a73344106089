// Moving logs between directories, and what a crash at any moment of it leaves.
#include "storage/log_mover.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "storage/log_files.h"
#include "storage/log_move_test_tools.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 3000;
  config.index_interval_bytes = 200;
  return config;
}

BatchView Numbered(int number) {
  return TestBatch({fmt::format("value {}", number)}, Timestamp(1000 + number),
                   BatchProducer{ProducerId(7), ProducerEpoch(0), Sequence(number)});
}

void CheckValues(TestStore& store, Log& log, int count) {
  std::vector<ReadRecord> records = store.ReadAll(log);
  REQUIRE(records.size() >= static_cast<size_t>(count));
  for (size_t i = 0; i < records.size(); ++i) {
    REQUIRE(records[i] == ReadRecord{Offset(static_cast<int64_t>(i)), fmt::format("value {}", i)});
  }
  auto duplicate = log.producers().Check(Numbered(static_cast<int>(records.size()) - 1).header());
  REQUIRE(duplicate.ok());
  CHECK(duplicate->has_value());
}

// Appends to the log more than the journal of its directory takes, and nothing of it finds room in a
// segment: the journal writes no more until that is mended.
void FillJournal(SimNode& node, TestStore& store, Log& log) {
  node.disk().Break(log.directory() + "/" + PartitionDirectoryName(log.topic(), log.partition()),
                    SimAccess::kRoom, absl::ResourceExhaustedError("full"));
  for (int i = 0; i < 10; ++i) {
    BatchView batch = TestBatch({std::string(900'000, 'x')});
    auto admission = store->TryAdmit(batch.bytes().size());
    REQUIRE(admission.has_value());
    REQUIRE(log.Append(std::move(batch), LeaderEpoch(0), *admission).ok());
  }
}

// Only one folder of the log, and nothing of a copy.
void CheckOneFolder(SimNode& node, const std::string& directory) {
  for (const std::string& path : node.disk().Files()) {
    if (path.find("topic1-0") == std::string::npos) continue;
    INFO(path);
    const std::string normal = path.starts_with('/') ? path : "/" + path;
    CHECK(normal.starts_with(directory + "/topic1-0/"));
  }
}

// Which are full soon, when nothing can be written behind them.
LogStoreOptions WithSmallJournals() {
  LogStoreOptions options = TwoDirectories();
  options.journal_bytes_max = 8 << 20;
  return options;
}

}  // namespace

TEST_CASE("LogMover: a log moves while it is appended to, and keeps its producers and indexes") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  LogConfig config = SmallSegments();
  config.file_delete_delay_ms = 0;
  std::string target;
  int next = 0;
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, config);
    for (; next < 200; ++next) store.Append(log, Numbered(next));
    store.WaitDurable(log);
    target = OtherThan(log.directory());
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    REQUIRE(store->Futures().size() == 1);
    CHECK(store->Futures()[0].directory == target);
    while (!store->Futures().empty()) {
      store.Append(log, Numbered(next++));
      world.RunFor(microseconds(700));
      REQUIRE(next < 20'000);
    }
    CHECK(log.directory() == target);
    for (int i = 0; i < 50; ++i) store.Append(log, Numbered(next++));
    store.WaitDurable(log);
    CheckValues(store, log, next);
    auto read = world.Run(store.env(), log.OffsetForTimestamp(Timestamp(1000 + 77), Offset(next)));
    REQUIRE(read.ok());
    CHECK((*read)->offset == Offset(77));
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    world.RunFor(seconds(1));
    CheckOneFolder(node, target);
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log& log = *store->Find(TestPartition(1));
  CHECK(log.directory() == target);
  CheckValues(store, log, next);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: what is cut off while a log is copied does not come back at the next start") {
  const bool all = GENERATE(false, true);
  CAPTURE(all);
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  options.move_bytes_per_second = 100'000;  // Slow enough to be met in the midst of it.
  const Offset end = Offset(all ? 0 : 10);
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1);
    for (int i = 0; i < 200; ++i) store.Append(log, Numbered(i));
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    const std::string target = OtherThan(log.directory());
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    // All that is in the file is copied in one piece, and then waits for its rate.
    REQUIRE(world.RunUntil(
        [&] { return !store->Futures().empty() && store->Futures()[0].size_bytes > 0; },
        seconds(10)));
    REQUIRE(world
                .Run(store.env(),
                     all ? log.TruncateFullyAndStartAt(Offset(0)) : log.Truncate(Offset(10)))
                .ok());
    REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
    CHECK(log.directory() == target);
    CHECK(log.end_offset() == end);
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  CHECK(store->Find(TestPartition(1))->end_offset() == end);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a crash at any moment leaves the log whole, in one of the two") {
  const bool power_loss = GENERATE(false, true);
  int moved = 0;
  int stayed = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    int durable = 0;
    std::string from;
    {
      TestStore store(world, node.Boot(), TwoDirectories());
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1, SmallSegments());
      from = log.directory();
      int next = 0;
      for (; next < 40; ++next) store.Append(log, Numbered(next));
      store.WaitDurable(log);
      REQUIRE(world.Run(store.env(), store->Move(log.id(), OtherThan(from))).ok());
      const uint64_t crash_at = node.disk().operations() + seed * 5;
      while (node.disk().operations() < crash_at) {
        store.Append(log, Numbered(next++));
        world.RunFor(microseconds(300));
      }
      durable = static_cast<int>(log.durable_end().value());
      if (power_loss) {
        node.PowerLoss();
      } else {
        node.Kill();
      }
      (void)store.Stop();
    }
    INFO("seed " << seed);
    TestStore store(world, node.Boot(), TwoDirectories());
    absl::Status started = store.Start();
    INFO(started.ToString());
    REQUIRE(started.ok());
    Log* log = store->Find(TestPartition(1));
    REQUIRE(log != nullptr);
    CheckValues(store, *log, durable);
    (log->directory() == from ? stayed : moved) += 1;
    // What was interrupted goes on by itself.
    REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
    CHECK(log->directory() == OtherThan(from));
    CheckValues(store, *log, durable);
    REQUIRE(store.Stop().ok());
  }
  CHECK(moved > 5);
  CHECK(stayed > 5);
}

TEST_CASE("LogMover: asking for where it is ends a move, and the copy goes") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  options.move_bytes_per_second = 1;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  for (int i = 0; i < 100; ++i) store.Append(log, Numbered(i));
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  const std::string from = log.directory();
  REQUIRE(world.Run(store.env(), store->Move(log.id(), OtherThan(from))).ok());
  world.RunFor(seconds(1));
  REQUIRE(store->Futures().size() == 1);
  REQUIRE(world.Run(store.env(), store->Move(log.id(), from)).ok());
  REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(5000)));
  world.RunFor(seconds(1));
  CHECK(log.directory() == from);
  CheckOneFolder(node, from);
  CheckValues(store, log, 100);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: damage is not copied, the log stays and says where it is damaged") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  for (int i = 0; i < 100; ++i) store.Append(log, Numbered(i));
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  const std::string from = log.directory();
  node.disk().Find(from + "/topic1-0/00000000000000000000.log")->FlipBit(300, 2);
  REQUIRE(world.Run(store.env(), store->Move(log.id(), OtherThan(from))).ok());
  REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
  CHECK(log.directory() == from);
  REQUIRE(log.damage().size() == 1);
  CHECK(log.damage()[0].segment == Offset(0));
  world.RunFor(seconds(1));
  CheckOneFolder(node, from);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a log that would come back to a directory without room does not wait for it") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), WithSmallJournals());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  store.Append(log, Numbered(0));
  store.WaitDurable(log);
  const std::string from = log.directory();
  const std::string other_directory = OtherThan(from);
  REQUIRE(store->PreferDirectory(TestTopic(2), PartitionId(0), from));
  Log& other = store.Open(2);
  FillJournal(node, store, other);
  world.RunFor(seconds(5));
  REQUIRE(other.durable_end() < other.end_offset());

  const auto move_to = [&](const std::string& target) {
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    return world.RunUntil([&] { return store->Futures().empty(); }, seconds(60));
  };
  REQUIRE(move_to(other_directory));
  REQUIRE(log.directory() == other_directory);
  // Its journal cannot say that the first stay has ended.
  REQUIRE(move_to(from));
  CHECK(log.directory() == other_directory);
  store.Append(log, Numbered(1));
  store.WaitDurable(log);
  CheckValues(store, log, 2);

  node.disk().Mend(from + "/topic2-0");
  store.WaitDurable(other);
  REQUIRE(move_to(from));
  CHECK(log.directory() == from);
  CheckValues(store, log, 2);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a log does not go over to a directory that has no room meanwhile") {
  SimWorld world(8);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), WithSmallJournals());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  const std::string from = log.directory();
  const std::string target = OtherThan(from);
  REQUIRE(store->PreferDirectory(TestTopic(2), PartitionId(0), target));
  Log& other = store.Open(2);
  int next = 0;
  for (; next < 10; ++next) store.Append(log, Numbered(next));
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
  REQUIRE(world.RunUntil(
      [&] {
        return std::ranges::any_of(node.disk().Files(), [](const std::string& path) {
          return path.ends_with("-future/partition.metadata");
        });
      },
      seconds(60)));
  FillJournal(node, store, other);
  store.Append(log, Numbered(next++));
  REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
  CHECK(log.directory() == from);
  store.WaitDurable(log);
  CheckValues(store, log, next);
  world.RunFor(seconds(1));
  CheckOneFolder(node, from);
  REQUIRE(world.Run(store.env(), store->Delete(log.id())).ok());
  node.disk().Mend(target + "/topic2-0");
  store.WaitDurable(other);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a log that is made later is made in the directory that was asked for") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < 4; ++i) REQUIRE(store->PreferDirectory(TestTopic(i), PartitionId(0), "/b"));
  for (int i = 0; i < 4; ++i) CHECK(store.Open(i).directory() == "/b");
  CHECK(store.Open(4).directory() == "/a");
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a cordoned directory takes no new logs") {
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  options.cordoned_dirs = {"/a"};
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  CHECK(store->directories()[0].cordoned);
  CHECK_FALSE(store->directories()[1].cordoned);
  for (int i = 0; i < 4; ++i) CHECK(store.Open(i).directory() == "/b");
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

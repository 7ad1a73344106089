// Several log directories of which some fail, at start or later.
#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_store.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int kLogs = 6;

struct Offline {
  std::vector<std::string> paths;
};

LogStoreOptions TwoDirectories(Offline* offline = nullptr) {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.cluster_id = "c";
  options.node_id = BrokerId(1);
  if (offline != nullptr) {
    options.on_offline = [offline](const std::string& path, const absl::Status&) {
      offline->paths.push_back(path);
    };
  }
  return options;
}

bool IsIn(Log& log, const std::string& directory) { return log.directory() == directory; }

// kLogs logs with three durable records each, half of them in either directory.
void Fill(SimWorld& world, TestStore& store) {
  for (int i = 0; i < kLogs; ++i) {
    Log& log = store.Open(i);
    store.Append(log, TestBatch({"one", "two", "three"}));
    store.WaitDurable(log);
  }
  (void)world;
}

int CountIn(TestStore& store, const std::string& directory) {
  int count = 0;
  for (Log* log : store->Logs()) count += IsIn(*log, directory) ? 1 : 0;
  return count;
}

absl::Status TryAppend(SimWorld& world, TestStore& store, Log& log) {
  BatchView batch = TestBatch({"more"});
  auto admission = world.Run(store.env(), store->Admit(batch.bytes().size(), CancellationToken()));
  REQUIRE(admission.ok());
  return log.Append(std::move(batch), LeaderEpoch(0), *admission).status();
}

// Of /b: the second frame of the first extent; whole ones follow it.
void DamageJournal(SimNode& node) {
  for (const std::string& path : node.disk().Files()) {
    if (!path.starts_with("b/millrace-journal/") && !path.starts_with("/b/millrace-journal/")) {
      continue;
    }
    SimFileData* file = node.disk().Find(path);
    if (file->size() < 16384) continue;
    std::vector<uint8_t> header(4);
    file->Read(4096, header);
    if (std::string(header.begin(), header.end()) != "MRJF") continue;
    file->FlipBit(4096 + 200, 3);
    return;
  }
  FAIL("no such frame");
}

Task<absl::Status> RemoveAll(Disk* disk, std::string folder) {
  auto entries = co_await disk->List(folder);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    absl::Status removed = co_await disk->Remove(folder + "/" + entry.name);
    if (!removed.ok()) co_return removed;
  }
  co_return absl::OkStatus();
}

// Two of the logs there.
std::pair<Log*, Log*> TwoIn(TestStore& store, const std::string& directory) {
  Log* one = nullptr;
  Log* other = nullptr;
  for (Log* log : store->Logs()) {
    if (IsIn(*log, directory)) other = std::exchange(one, log);
  }
  REQUIRE(other != nullptr);
  return {one, other};
}

}  // namespace

TEST_CASE("LogStore: new logs go to the directory with the fewest") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Fill(world, store);
  CHECK(CountIn(store, "/a") == kLogs / 2);
  CHECK(CountIn(store, "/b") == kLogs / 2);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a directory that breaks at start is offline, and the others go on") {
  const auto why = GENERATE(absl::PermissionDeniedError("EACCES"), absl::DataLossError("EIO"),
                            absl::UnavailableError("gone"));
  const SimAccess least = GENERATE(SimAccess::kRead, SimAccess::kChange);
  const bool clean = GENERATE(true, false);
  const bool has_copies = GENERATE(true, false);
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Fill(world, store);
    if (clean) REQUIRE(store.Stop().ok());
    node.Kill();
    if (!clean) (void)store.Stop();
  }
  if (has_copies) {
    // As an attempt to make them there leaves that failed after the folder: they are not the logs.
    Env& env = node.Boot();
    for (int i = 0; i < kLogs; ++i) {
      const std::string folder = "/a/" + PartitionDirectoryName(TestTopic(i), PartitionId(0));
      REQUIRE(world.Run(env, CreateDirectoriesDurably(env.disk, folder)).ok());
      REQUIRE(world
                  .Run(env, ReplaceFile(env.disk, JoinPath(folder, kPartitionMetadataFile),
                                        FormatPartitionMetadata(TestPartition(i).topic_id)))
                  .ok());
    }
    node.Kill();
  }
  node.disk().Break("/b", least, why);
  {
    Offline offline;
    TestStore store(world, node.Boot(), TwoDirectories(&offline));
    absl::Status started = store.Start();
    INFO(started.ToString());
    REQUIRE(started.ok());
    CHECK(offline.paths == std::vector<std::string>{"/b"});
    CHECK(store->directories()[0].failure.ok());
    CHECK_FALSE(store->directories()[1].failure.ok());
    REQUIRE(store->Logs().size() == kLogs / 2);
    for (Log* log : store->Logs()) CHECK(store.ReadAll(*log).size() == 3);
    // Those of the other one exist: they are not made anew, and who asks is told.
    for (int i = 0; i < kLogs; ++i) {
      if (store->Find(TestPartition(i)) != nullptr) continue;
      CHECK(KindOf(store->OfflineCause(TestPartition(i))) == ErrorKind::kStorageError);
      auto opened =
          world.Run(store.env(), store->Open(TestPartition(i), TestTopic(i), LogConfig(), true));
      CHECK(KindOf(opened.status()) == ErrorKind::kStorageError);
    }
    // New ones go where they can.
    CHECK(IsIn(store.Open(100), "/a"));
    CHECK(IsIn(store.Open(101), "/a"));
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  node.disk().Mend("/b");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  REQUIRE(store->Logs().size() == kLogs + 2);
  for (int i = 0; i < kLogs; ++i) CHECK(store.ReadAll(*store->Find(TestPartition(i))).size() == 3);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a directory that fails while running takes its own logs along and no others") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  Offline offline;
  {
    TestStore store(world, node.Boot(), TwoDirectories(&offline));
    REQUIRE(store.Start().ok());
    Fill(world, store);
    node.disk().Break("/a", SimAccess::kChange, absl::PermissionDeniedError("read-only"));
    for (Log* log : store->Logs()) (void)TryAppend(world, store, *log);
    REQUIRE(world.RunUntil([&] { return !offline.paths.empty(); }, seconds(60)));
    CHECK(offline.paths == std::vector<std::string>{"/a"});
    for (Log* log : store->Logs()) {
      absl::Status appended = TryAppend(world, store, *log);
      CHECK(appended.ok() == IsIn(*log, "/b"));
      if (!appended.ok()) CHECK(KindOf(appended) == ErrorKind::kStorageError);
    }
    CHECK(IsIn(store.Open(100), "/b"));
    // The directory that is well is stopped as ever.
    CHECK(store.Stop().ok());
    CHECK(node.disk().Find("/b/" + std::string(kCleanShutdownFile)) != nullptr);
    CHECK(node.disk().Find("/a/" + std::string(kCleanShutdownFile)) == nullptr);
  }
  node.Kill();
  node.disk().Mend("/a");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < kLogs; ++i) {
    CHECK(store.ReadAll(*store->Find(TestPartition(i))).size() >= 3);
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: with no directory left the start fails and names each cause") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  node.disk().Break("/a", SimAccess::kRead, absl::PermissionDeniedError("EACCES"));
  node.disk().Break("/b", SimAccess::kRead, absl::DataLossError("EIO"));
  TestStore store(world, node.Boot(), TwoDirectories());
  absl::Status started = store.Start();
  CHECK(absl::IsUnavailable(started));
  const std::string message(started.message());
  CHECK(message.starts_with("all log directories are offline; /a: "));
  CHECK(message.find("EACCES; /b: ") != std::string::npos);
  (void)store.Stop();
}

TEST_CASE("LogStore: rot in one directory's journal costs that directory and nothing is cut") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    for (int round = 0; round < 3; ++round) Fill(world, store);
    node.Kill();
    (void)store.Stop();
  }
  DamageJournal(node);
  Offline offline;
  TestStore store(world, node.Boot(), TwoDirectories(&offline));
  absl::Status started = store.Start();
  INFO(started.ToString());
  REQUIRE(started.ok());
  CHECK(offline.paths == std::vector<std::string>{"/b"});
  CHECK(store->Logs().size() == kLogs / 2);
  for (Log* log : store->Logs()) CHECK(store.ReadAll(*log).size() == 9);
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "LogStore: logs of a directory with rot in its journal are known without checkpoints, too") {
  constexpr int kMany = 100;  // More than are loaded at a time.
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    for (int i = 0; i < kMany; ++i) store.Open(i);
    for (int round = 0; round < 3; ++round) Fill(world, store);
    node.Kill();
    (void)store.Stop();
  }
  DamageJournal(node);
  TestStore store(world, BootWithoutStore(world, node), TwoDirectories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < kMany; ++i) {
    const bool offline = !store->OfflineCause(TestPartition(i)).ok();
    CHECK((store->Find(TestPartition(i)) == nullptr) == offline);
  }
  CHECK(store->Logs().size() == kMany / 2);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a log whose directory is offline can be deleted, and does not come back") {
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  TopicPartitionId gone = TestPartition(0);
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Fill(world, store);
    for (int i = 0; i < kLogs; ++i) {
      if (IsIn(*store->Find(TestPartition(i)), "/b")) gone = TestPartition(i);
    }
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  node.disk().Break("/b", SimAccess::kRead, absl::DataLossError("EIO"));
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    REQUIRE_FALSE(store->OfflineCause(gone).ok());
    REQUIRE(world.Run(store.env(), store->Delete(gone)).ok());
    CHECK(store->OfflineCause(gone).ok());
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  CHECK(store->OfflineCause(gone).ok());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a full disk refuses appends, loses nothing, and takes them again with room") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  Offline offline;
  TestStore store(world, node.Boot(), TwoDirectories(&offline));
  REQUIRE(store.Start().ok());
  Fill(world, store);
  node.disk().Break("/a", SimAccess::kRoom, absl::ResourceExhaustedError("no space left"));
  std::vector<Offset> ends;
  // Until the segment writer has met it.
  REQUIRE(world.RunUntil(
      [&] {
        bool refused = false;
        for (Log* log : store->Logs()) {
          BatchView batch = TestBatch({"more"});
          auto admission = store->TryAdmit(batch.bytes().size());
          if (!admission) continue;
          absl::Status appended =
              log->Append(std::move(batch), LeaderEpoch(0), *admission).status();
          if (appended.ok()) continue;
          CHECK(KindOf(appended) == ErrorKind::kStorageError);
          CHECK(IsIn(*log, "/a"));
          refused = true;
        }
        return refused;
      },
      seconds(60)));
  CHECK(offline.paths.empty());
  // What it has is read, what it took becomes durable, and the other directory goes on.
  for (Log* log : store->Logs()) {
    store.WaitDurable(*log);
    CHECK(store.ReadAll(*log).size() == static_cast<size_t>(log->end_offset().value()));
    ends.push_back(log->end_offset());
  }
  CHECK(IsIn(store.Open(100), "/b"));
  const bool restart = GENERATE(true, false);
  if (!restart) {
    node.disk().Mend("/a");
    world.RunFor(seconds(5));
    for (Log* log : store->Logs()) CHECK(TryAppend(world, store, *log).ok());
    REQUIRE(store.Stop().ok());
    return;
  }
  node.Kill();
  (void)store.Stop();
  node.disk().Mend("/a");
  TestStore again(world, node.Boot(), TwoDirectories());
  REQUIRE(again.Start().ok());
  for (int i = 0; i < kLogs; ++i) {
    Log* log = again->Find(TestPartition(i));
    CHECK(log->end_offset() == ends[static_cast<size_t>(i)]);
    CHECK(again.ReadAll(*log).size() == static_cast<size_t>(log->end_offset().value()));
  }
  REQUIRE(again.Stop().ok());
}

TEST_CASE("LogStore: a directory is full until what waits was written, and says so once each way") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  std::vector<bool> said;
  options.on_full = [&said](const std::string& path, bool full) {
    CHECK(path == "/a");
    said.push_back(full);
  };
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Fill(world, store);
  const auto [waits, idle] = TwoIn(store, "/a");
  world.RunFor(seconds(3));  // All is written, and waits for checkpoints, which need no room.
  CHECK_FALSE(waits->last_full().has_value());
  node.disk().Break("/a", SimAccess::kRoom, absl::ResourceExhaustedError("no space left"));
  store.Append(*waits, TestBatch({std::string(100 << 10, 'x')}));
  world.RunFor(seconds(60));
  CHECK(said == std::vector{true});
  CHECK_FALSE(waits->has_room());
  CHECK_FALSE(idle->has_room());
  CHECK(waits->last_full() == store.env().reactor.Now());
  node.disk().Mend("/a");
  world.RunFor(seconds(5));
  CHECK(said == std::vector{true, false});
  CHECK(waits->has_room());
  CHECK(waits->last_full() < store.env().reactor.Now());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a directory has room again when the log that waited for it is deleted") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Fill(world, store);
  const auto [waits, idle] = TwoIn(store, "/a");
  world.RunFor(seconds(3));
  node.disk().Break("/a", SimAccess::kRoom, absl::ResourceExhaustedError("no space left"));
  store.Append(*waits, TestBatch({std::string(100 << 10, 'x')}));
  world.RunFor(seconds(60));  // All others have their checkpoints.
  CHECK_FALSE(idle->has_room());
  REQUIRE(world.Run(store.env(), store->Delete(waits->id())).ok());
  CHECK(idle->has_room());
  node.disk().Mend("/a");
  store.Append(*idle, TestBatch({"again"}));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: what is being written waits for room too") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Fill(world, store);
  const auto [waits, idle] = TwoIn(store, "/a");
  world.RunFor(seconds(3));
  node.disk().Break("/a", SimAccess::kRoom, absl::ResourceExhaustedError("no space left"));
  store.Append(*waits, TestBatch({std::string(100 << 10, 'x')}));
  world.RunFor(seconds(60));
  // Whatever else in the directory ends, and when: also while its write is tried once more.
  const Instant begun = store.env().reactor.Now();
  while (store.env().reactor.Now() - begun < seconds(3)) {
    REQUIRE(world.Step());
    idle->state().directory->NoteRoom();
    REQUIRE_FALSE(idle->has_room());
  }
  node.disk().Mend("/a");
  world.RunFor(seconds(5));
  CHECK(idle->has_room());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a full directory does not hold up what is written to the others") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  options.pending_bytes_max = 1 << 20;
  options.segment_write_bytes = 64 << 10;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Fill(world, store);
  node.disk().Break("/a", SimAccess::kRoom, absl::ResourceExhaustedError("no space left"));
  // Bytes that wait for room, and are tried again and again.
  const BatchView batch = TestBatch({std::string(100 << 10, 'x')});
  Log* other = nullptr;
  for (Log* log : store->Logs()) {
    if (IsIn(*log, "/a")) store.Append(*log, batch);
    if (IsIn(*log, "/b")) other = log;
  }
  REQUIRE(other != nullptr);
  const Instant begun = store.env().reactor.Now();
  for (int i = 0; i < 100; ++i) store.Append(*other, batch);  // Ten times the memory.
  CHECK(store.env().reactor.Now() - begun < seconds(3));
  node.disk().Mend("/a");
  for (Log* log : store->Logs()) store.WaitDurable(*log);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a cut whose checkpoint finds no room takes no appends") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  // What is appended to neither lies behind the cut in the journal: it has large batches in the
  // segment alone, and none at all of a topic that does not wait for the disk.
  LogConfig config;
  config.durability = GENERATE(Durability::kDisk, Durability::kPageCache);
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, config);
    for (int i = 0; i < 3; ++i) store.Append(log, TestBatch({"to be cut"}));
    store.WaitDurable(log);
    world.RunFor(seconds(60));  // Into a checkpoint: no other one is needed before the cut.
    node.disk().Break(kTestMetaDir, SimAccess::kChange,
                      absl::ResourceExhaustedError("no space left"));
    CHECK(absl::IsResourceExhausted(world.Run(store.env(), log.Truncate(Offset(1)))));
    REQUIRE(log.end_offset() == Offset(1));
    // Who tries again hears that it is done. Replayed, it would take with it what came now.
    REQUIRE(world.Run(store.env(), log.Truncate(Offset(1))).ok());
    CHECK(KindOf(TryAppend(world, store, log)) == ErrorKind::kStorageError);
    node.Kill();
    (void)store.Stop();
  }
  node.disk().Mend(kTestMetaDir);
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log& log = *store->Find(TestPartition(0));
  CHECK(log.end_offset() == Offset(1));
  CHECK(TryAppend(world, store, log).ok());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a read error fails that read alone") {
  SimWorld world(8);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options = TwoDirectories();
  options.tail_cache_bytes_max = 0;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  Fill(world, store);
  for (Log* log : store->Logs()) REQUIRE(world.Run(store.env(), log->Flush()).ok());
  Log& log = store.Open(0);
  node.disk().FailNextRead();
  auto read = world.Run(store.env(), log.Read(Offset(0), {1000, Offset(3), true}));
  CHECK(absl::IsDataLoss(read.status()));
  CHECK_FALSE(KindOf(read.status()).has_value());  // Clients are told KAFKA_STORAGE_ERROR.
  for (Log* each : store->Logs()) CHECK(store.ReadAll(*each).size() == 3);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a failed sync is final for its directory, and costs nothing acknowledged") {
  SimWorld world(9);
  SimNode& node = world.AddNode("n1");
  Offline offline;
  std::string failed;
  {
    TestStore store(world, node.Boot(), TwoDirectories(&offline));
    REQUIRE(store.Start().ok());
    Fill(world, store);
    Log& log = store.Open(0);
    failed = log.directory();
    node.disk().FailNextSync();
    CHECK_FALSE(world.Run(store.env(), log.Flush()).ok());
    CHECK(offline.paths == std::vector<std::string>{failed});
    // The kernel would say yes now, and lie.
    CHECK_FALSE(world.Run(store.env(), log.Flush()).ok());
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < kLogs; ++i) CHECK(store.ReadAll(*store->Find(TestPartition(i))).size() == 3);
  REQUIRE(store.Stop().ok());
}

// As a supervisor does it: the process ends for the failed sync and is started again on the running
// machine, whose kernel shows pages that the medium does not have and that no sync would write.
TEST_CASE("LogStore: what a failed sync left in the page cache is durable after the next start") {
  const bool checkpoints_lost = GENERATE(false, true);
  CAPTURE(checkpoints_lost);
  for (uint64_t seed = 10; seed < 30; ++seed) {
    INFO("seed " << seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    {
      TestStore store(world, node.Boot(), TwoDirectories());
      REQUIRE(store.Start().ok());
      Fill(world, store);
      node.disk().FailNextSync();
      CHECK_FALSE(world.Run(store.env(), store.Open(0).Flush()).ok());
      node.Kill();
      (void)store.Stop();
    }
    {
      Env& env = node.Boot();
      if (checkpoints_lost) REQUIRE(world.Run(env, RemoveAll(&env.disk, kTestMetaDir)).ok());
      TestStore store(world, env, TwoDirectories());
      REQUIRE(store.Start().ok());
      node.PowerLoss();
      (void)store.Stop();
    }
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    for (int i = 0; i < kLogs; ++i) {
      REQUIRE(store->Find(TestPartition(i)) != nullptr);
      CHECK(store.ReadAll(*store->Find(TestPartition(i))).size() == 3);
    }
    REQUIRE(store.Stop().ok());
  }
}

}  // namespace millrace

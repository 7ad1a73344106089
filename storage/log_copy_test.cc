// Copies that moves have left: which of them a start takes for the log, and that one which ended is
// none any more.
#include "storage/log_copy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "storage/log_move_test_tools.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

std::string FutureOf(int number) {
  return FutureDirectoryName(TestTopic(number), PartitionId(0), Uuid(7, 7));
}

// The folders with a file in them.
std::vector<std::string> FoldersOf(SimNode& node, const std::string& ending) {
  std::vector<std::string> folders;
  for (const std::string& path : node.disk().Files()) {
    const std::string folder = path.substr(0, path.rfind('/'));
    if (folder.ends_with(ending) && (folders.empty() || folders.back() != folder)) {
      folders.push_back(folder);
    }
  }
  return folders;
}

Task<absl::Status> CopyFolder(Disk* disk, std::string from, std::string to, bool whole) {
  absl::Status status = co_await CreateDirectoriesDurably(*disk, to);
  auto entries = co_await disk->List(from);
  status.Update(entries.status());
  for (size_t i = 0; status.ok() && i < entries->size(); ++i) {
    const std::string& name = (*entries)[i].name;
    if (name == kPartitionMetadataFile && !whole) continue;
    auto text = co_await ReadWholeFile(*disk, JoinPath(from, name), 1 << 20);
    status = text.ok() ? co_await ReplaceFile(*disk, JoinPath(to, name), std::string(text->view()))
                       : text.status();
  }
  co_return status;
}

// The log, made where it was asked for.
Log& OpenIn(TestStore& store, int number, const std::string& directory) {
  REQUIRE(store->PreferDirectory(TestTopic(number), PartitionId(0), directory));
  Log& log = store.Open(number);
  REQUIRE(log.directory() == directory);
  return log;
}

void AppendOne(TestStore& store, Log& log, std::string value) {
  store.Append(log, TestBatch({std::move(value)}));
  store.WaitDurable(log);
}

bool HasFuture(SimNode& node) {
  return std::ranges::any_of(node.disk().Files(), [](const std::string& path) {
    return path.find("-future/") != std::string::npos;
  });
}

}  // namespace

TEST_CASE("FateOf: a copy is the log only where the log is nowhere else") {
  const TopicPartitionId log = TestPartition(1);
  const TopicPartitionId other = TestPartition(2);
  const auto fate = [&](std::optional<TopicPartitionId> of, std::optional<bool> named_here,
                        bool folder_here, bool folder_there) {
    return FateOf({of, log, named_here, folder_here, folder_there});
  };
  CHECK(fate(log, true, false, false) == CopyFate::kIsTheLog);
  CHECK(fate(log, true, false, true) == CopyFate::kIsTheLog);
  CHECK(fate(other, true, false, false) == CopyFate::kStays);
  CHECK(fate(std::nullopt, true, false, false) == CopyFate::kStays);

  CHECK(fate(log, true, true, false) == CopyFate::kSetAside);
  CHECK(fate(other, true, true, false) == CopyFate::kSetAside);
  CHECK(fate(std::nullopt, true, true, false) == CopyFate::kGoes);

  CHECK(fate(log, false, false, true) == CopyFate::kGoes);
  CHECK(fate(std::nullopt, false, false, true) == CopyFate::kGoes);
  CHECK(fate(other, false, false, true) == CopyFate::kSetAside);
  // The directory that has the log is offline, or the log is gone from there.
  CHECK(fate(log, false, false, false) == CopyFate::kStays);
  CHECK(fate(std::nullopt, false, false, false) == CopyFate::kStays);
  CHECK(fate(log, false, true, false) == CopyFate::kStays);

  CHECK(fate(log, std::nullopt, false, true) == CopyFate::kGoes);
  CHECK(fate(std::nullopt, std::nullopt, true, false) == CopyFate::kGoes);
  CHECK(fate(log, std::nullopt, false, false) == CopyFate::kStays);
}

TEST_CASE("Recovery: a copy beside the log does not take its place") {
  const bool whole = GENERATE(false, true);
  CAPTURE(whole);
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  std::vector<ReadRecord> before;
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = OpenIn(store, 1, "/b");
    AppendOne(store, log, "in the copy, too");
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(world
                .Run(store.env(), CopyFolder(&store.env().disk, "/b/topic1-0",
                                             JoinPath("/b", FutureOf(1)), whole))
                .ok());
    AppendOne(store, log, "later");
    before = store.ReadAll(log);
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  for (int start = 0; start < 2; ++start) {
    CAPTURE(start);
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log* log = store->Find(TestPartition(1));
    REQUIRE(log != nullptr);
    CHECK(store.ReadAll(*log) == before);
    CHECK_FALSE(HasFuture(node));
    // What may have been a log is kept.
    CHECK(FoldersOf(node, "-stray").size() == (whole ? 1 : 0));
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
}

TEST_CASE("Recovery: a copy of a topic that had the name before does not become the log") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  const TopicPartitionId anew = TestPartition(77);
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = OpenIn(store, 1, "/b");
    AppendOne(store, log, "of the topic before");
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(world
                .Run(store.env(), CopyFolder(&store.env().disk, "/b/topic1-0",
                                             JoinPath("/b", FutureOf(1)), true))
                .ok());
    REQUIRE(world.Run(store.env(), store->Delete(log.id())).ok());
    REQUIRE(store->PreferDirectory(TestTopic(1), PartitionId(0), "/b"));
    REQUIRE(world.Run(store.env(), store->Open(anew, TestTopic(1), {}, true)).ok());
    AppendOne(store, *store->Find(anew), "of the topic now");
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(anew);
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log) == std::vector<ReadRecord>{{Offset(0), "of the topic now"}});
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a copy whose log is in a directory that is offline waits for it") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions slow = TwoDirectories();
  slow.move_bytes_per_second = 1;
  {
    TestStore store(world, node.Boot(), slow);
    REQUIRE(store.Start().ok());
    Log& log = OpenIn(store, 1, "/a");
    AppendOne(store, log, "value");
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(world.Run(store.env(), store->Move(log.id(), "/b")).ok());
    REQUIRE(world.RunUntil([&] { return HasFuture(node); }, seconds(10)));
    node.Kill();
    (void)store.Stop();
  }
  node.disk().Break("/a", SimAccess::kRead, absl::UnavailableError("gone"));
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    CHECK(HasFuture(node));
    (void)store.Stop();
  }
  node.Kill();
  node.disk().Mend("/a");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  // The move goes on.
  REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
  CHECK(log->directory() == "/b");
  CHECK(store.ReadAll(*log).size() == 1);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Recovery: a copy that cannot be read is not taken for one that is not whole") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  const std::string copy = JoinPath("/b", FutureOf(1));
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = OpenIn(store, 1, "/b");
    AppendOne(store, log, "value");
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  {
    // As between the two renames of a move.
    Env& env = BootWithoutStore(world, node);
    REQUIRE(world.Run(env, RenameFolder(env.disk, "/b", "topic1-0", FutureOf(1))).ok());
    node.Kill();
  }
  node.disk().Break(JoinPath(copy, kPartitionMetadataFile), SimAccess::kRead,
                    absl::DataLossError("EIO"));
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    CHECK_FALSE(store->directories()[1].failure.ok());
    (void)store.Stop();
  }
  node.Kill();
  node.disk().Mend(JoinPath(copy, kPartitionMetadataFile));
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log).size() == 1);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a copy that a start without checkpoints left is none when a move begins") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions slow = TwoDirectories();
  slow.move_bytes_per_second = 1;
  std::vector<ReadRecord> before;
  std::string target;
  {
    TestStore store(world, node.Boot(), slow);
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1);
    target = OtherThan(log.directory());
    AppendOne(store, log, "first");
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    REQUIRE(world.RunUntil([&] { return HasFuture(node); }, seconds(10)));
    node.Kill();
    (void)store.Stop();
  }
  {
    TestStore store(world, BootWithoutStore(world, node), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = *store->Find(TestPartition(1));
    AppendOne(store, log, "second");
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
    REQUIRE(log.directory() == target);
    CHECK_FALSE(HasFuture(node));
    AppendOne(store, log, "third");
    before = store.ReadAll(log);
    REQUIRE(store.Stop().ok());
  }
  node.Kill();
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log) == before);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a copy is none any more when its log is deleted, or its move has ended") {
  const bool deleted = GENERATE(false, true);
  CAPTURE(deleted);
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  const TopicPartitionId anew = TestPartition(77);
  LogConfig config;
  config.segment_bytes = 32 << 20;
  std::string target;
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(1, config);
    target = OtherThan(log.directory());
    // Much takes its time to go.
    for (int i = 0; i < 40; ++i) AppendOne(store, log, std::string(900'000, 'x'));
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(world.Run(store.env(), store->Move(log.id(), target)).ok());
    // The last step: the copy would be taken for whole.
    REQUIRE(world.RunUntil(
        [&] {
          return std::ranges::any_of(node.disk().Files(), [](const std::string& path) {
            return path.ends_with("-future/partition.metadata");
          });
        },
        seconds(60)));
    if (deleted) {
      REQUIRE(world.Run(store.env(), store->Delete(log.id())).ok());
      CHECK_FALSE(HasFuture(node));
      REQUIRE(store->PreferDirectory(TestTopic(1), PartitionId(0), target));
      REQUIRE(world.Run(store.env(), store->Open(anew, TestTopic(1), {}, true)).ok());
      AppendOne(store, *store->Find(anew), "of the topic now");
    } else {
      REQUIRE(world.Run(store.env(), store->Move(log.id(), log.directory())).ok());
      REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
      REQUIRE(log.directory() != target);
      CHECK_FALSE(HasFuture(node));
    }
    node.Kill();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(deleted ? anew : TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(store.ReadAll(*log, 2 << 20).size() == (deleted ? 1 : 40));
  CHECK((log->directory() == target) == deleted);
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "LogMover: a copy says that it is whole, also of a log that has lost its partition.metadata") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log& log = OpenIn(store, 1, "/a");
  AppendOne(store, log, "value");
  REQUIRE(world.Run(store.env(), store.env().disk.Remove("/a/topic1-0/partition.metadata")).ok());
  REQUIRE(world.Run(store.env(), store->Move(log.id(), "/b")).ok());
  REQUIRE(world.RunUntil([&] { return store->Futures().empty(); }, seconds(60)));
  REQUIRE(log.directory() == "/b");
  const auto in = world.Run(store.env(), LogIn(store.env().disk, "/b/topic1-0", PartitionId(0)));
  REQUIRE(in.ok());
  CHECK(*in == log.id());
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

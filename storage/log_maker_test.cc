// What making logs costs, and what of them a power loss may take.
#include "storage/log_maker.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/error_kind.h"
#include "common/metrics/metrics.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

std::string FolderOf(int number) {
  return JoinPath(kTestDataDir, PartitionDirectoryName(TestTopic(number), PartitionId(0)));
}

std::vector<NewLog> Wanted(int first, int count) {
  std::vector<NewLog> wanted;
  for (int i = first; i < first + count; ++i)
    wanted.push_back({TestPartition(i), TestTopic(i), {}});
  return wanted;
}

Task<absl::StatusOr<std::string>> Metadata(Disk* disk, int number) {
  auto text =
      co_await ReadWholeFile(*disk, JoinPath(FolderOf(number), kPartitionMetadataFile), 100);
  if (!text.ok()) co_return text.status();
  co_return std::string(text->view());
}

Task<absl::Status> Put(Disk* disk, std::string path, std::string content) {
  auto file = co_await disk->Open(path, OpenOptions{.create = true, .truncate = true});
  if (!file.ok()) co_return file.status();
  absl::Status put = co_await (*file)->WriteAt(0, Chain(Slice::Copy(content)), WriteFlags{});
  put.Update(co_await (*file)->Close());
  co_return put;
}

// The first folder that was set aside.
std::string Stray(SimNode& node) {
  for (const std::string& path : node.disk().Files()) {
    const size_t begin = std::string_view(kTestDataDir).size();  // Files() has no slash in front.
    const std::string folder = path.substr(begin, path.find('/', begin) - begin);
    if (IsStrayDirectoryName(folder)) return JoinPath(kTestDataDir, folder);
  }
  return "";
}

}  // namespace

TEST_CASE("LogMaker: logs that were made together are there after a power loss") {
  const uint64_t seed = GENERATE(range(1, 20));
  CAPTURE(seed);
  SimWorld world(seed);
  SimNode& node = world.AddNode("n1");
  IncarnationId incarnation(0, 0);
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    for (const absl::Status& made : world.Run(store.env(), store->CreateAll(Wanted(1, 40)))) {
      REQUIRE(made.ok());
    }
    Log& log = *store->Find(TestPartition(3));
    incarnation = log.state().incarnation;
    store.Append(log, TestBatch({"acknowledged"}));
    store.WaitDurable(log);
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  for (int i = 1; i <= 40; ++i) {
    CAPTURE(i);
    REQUIRE(store->Find(TestPartition(i)) != nullptr);
    CHECK(world.Run(store.env(), Metadata(&store.env().disk, i)).value_or("") ==
          FormatPartitionMetadata(TestPartition(i).topic_id));
  }
  Log& log = *store->Find(TestPartition(3));
  CHECK(log.state().incarnation == incarnation);
  CHECK(store.ReadAll(log) == std::vector<ReadRecord>{{Offset(0), "acknowledged"}});
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMaker: one that cannot be made leaves the others alone, and is made when it can") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Disk& disk = store.env().disk;
  REQUIRE(world.Run(store.env(), disk.CreateDirectories(FolderOf(2))).ok());
  const std::string foreign = JoinPath(FolderOf(2), kPartitionMetadataFile);
  REQUIRE(world.Run(store.env(), Put(&disk, foreign, FormatPartitionMetadata(Uuid(3, 4)))).ok());
  std::vector<absl::Status> made = world.Run(store.env(), store->CreateAll(Wanted(1, 3)));
  REQUIRE(made.size() == 3);
  CHECK(made[0].ok());
  CHECK(absl::IsAlreadyExists(made[1]));
  CHECK(made[2].ok());
  CHECK(store->Find(TestPartition(2)) == nullptr);
  REQUIRE(world.Run(store.env(), disk.Remove(foreign)).ok());
  for (const absl::Status& one : world.Run(store.env(), store->CreateAll(Wanted(1, 3)))) {
    CHECK(one.ok());
  }
  CHECK(store->Find(TestPartition(2)) != nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMaker: what a power loss left of making a log is no other topic's folder") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Disk& disk = store.env().disk;
  const std::string other = FormatPartitionMetadata(Uuid(3, 4));
  struct Left {
    std::string content;
    std::string beside;
    bool is_taken;
  };
  const Left cases[] = {{"", "", true},
                        {std::string(43, '\0'), "partition.metadata.tmp", true},
                        {"", "00000000000000000000.log", false},
                        {other, "", false}};
  int number = 0;
  for (const Left& left : cases) {
    CAPTURE(++number);
    const std::string folder = FolderOf(number);
    REQUIRE(world.Run(store.env(), disk.CreateDirectories(folder)).ok());
    REQUIRE(
        world.Run(store.env(), Put(&disk, JoinPath(folder, kPartitionMetadataFile), left.content))
            .ok());
    if (!left.beside.empty()) {
      REQUIRE(world.Run(store.env(), Put(&disk, JoinPath(folder, left.beside), "x")).ok());
    }
    auto opened = world.Run(
        store.env(), store->Open(TestPartition(number), TestTopic(number), {}, /*create=*/true));
    CHECK(opened.ok() == left.is_taken);
    CHECK(absl::IsAlreadyExists(opened.status()) == !left.is_taken);
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMaker: a folder of an earlier replica is set aside with all that is in it") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  LogConfig config;
  config.segment_bytes = 2000;
  const std::string values[] = {std::string(900, 'o'), "new"};
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    MetricRegistry registry;
    store->RegisterMetrics(registry);
    Disk& disk = store.env().disk;
    // What it was made of by another life is put in its place.
    Log& former = store.Open(1, config);
    for (int i = 0; i < 10; ++i) store.Append(former, TestBatch({values[0]}));
    REQUIRE(world.Run(store.env(), former.Flush()).ok());
    REQUIRE(world.Run(store.env(), store->SetAside(TestPartition(1))).ok());
    CHECK(StraysSaid(registry) == 1);
    REQUIRE(world.Run(store.env(), disk.Rename(Stray(node), FolderOf(1))).ok());
    Log& log = store.Open(1, config);
    CHECK(StraysSaid(registry) == 2);  // Nobody has said that one of them was taken away.
    store.Append(log, TestBatch({values[1]}));
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    node.PowerLoss();
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  MetricRegistry registry;
  store->RegisterMetrics(registry);
  CHECK(StraysSaid(registry) == 1);
  CHECK(store.ReadAll(store.Open(1, config)) == std::vector<ReadRecord>{{Offset(0), values[1]}});
  const std::string kept = JoinPath(Stray(node), SegmentFileName(Offset(8), kLogSuffix));
  CHECK(node.disk().Find(kept) != nullptr);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMaker: a sync that fails is not tried again: the directory is offline") {
  SimWorld world(6);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  node.disk().FailNextSync();
  const auto open = [&](int number) {
    return world.Run(store.env(), store->Open(TestPartition(number), TestTopic(number), {}, true))
        .status();
  };
  CHECK(KindOf(open(1)) == ErrorKind::kStorageError);
  const std::vector<LogDirectoryStatus> directories = store->directories();
  CHECK(std::ranges::count_if(directories, [](const LogDirectoryStatus& each) {
          return absl::IsDataLoss(each.failure);
        }) == 1);
  CHECK(open(1).ok());  // In the other one.
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

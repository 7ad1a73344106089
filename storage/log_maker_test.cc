// What making logs costs, and what of them a power loss may take.
#include "storage/log_maker.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

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

}  // namespace millrace

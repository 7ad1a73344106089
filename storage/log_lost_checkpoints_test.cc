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

Task<absl::Status> RemoveStore(Disk* disk) {
  auto entries = co_await disk->List(kTestMetaDir);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    absl::Status removed = co_await disk->Remove(JoinPath(kTestMetaDir, entry.name));
    if (!removed.ok()) co_return removed;
  }
  co_return absl::OkStatus();
}

// The next life, without what the store held.
Env& BootWithoutStore(SimWorld& world, SimNode& node) {
  Env& env = node.Boot();
  REQUIRE(world.Run(env, RemoveStore(&env.disk)).ok());
  return env;
}

BatchView Small(std::string name) { return TestBatch({std::move(name), "second", "third"}); }

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

}  // namespace millrace

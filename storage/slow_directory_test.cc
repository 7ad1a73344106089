// Several log directories of which one is slow, or hangs.
#include <catch2/catch.hpp>

#include "storage/log_store.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int kLogs = 10;

LogStoreOptions TwoDirectories(std::vector<bool>* said) {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.on_slow = [said](const std::string& path, bool slow) {
    CHECK(path == "/a");
    said->push_back(slow);
  };
  return options;
}

std::vector<Log*> In(TestStore& store, const std::string& directory) {
  std::vector<Log*> logs;
  for (Log* log : store->Logs()) {
    if (log->directory() == directory) logs.push_back(log);
  }
  return logs;
}

void OpenAll(TestStore& store) {
  for (int i = 0; i < kLogs; ++i) store.Open(i);
  REQUIRE(In(store, "/a").size() == kLogs / 2);
}

// A batch each second, which is waited for.
void AppendFor(SimWorld& world, TestStore& store, Log& log, int batches) {
  for (int i = 0; i < batches; ++i) {
    store.Append(log, TestBatch({"more"}));
    store.WaitDurable(log);
    world.RunFor(seconds(1));
  }
}

}  // namespace

TEST_CASE(
    "LogStore: a directory whose writes stay slow says so, once each way, and gets new logs last") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  std::vector<bool> said;
  TestStore store(world, node.Boot(), TwoDirectories(&said));
  REQUIRE(store.Start().ok());
  OpenAll(store);
  Log& log = *In(store, "/a").front();
  AppendFor(world, store, log, 10);
  node.disk().Slow("/a", milliseconds(600));
  AppendFor(world, store, log, 6);
  CHECK(said.empty());
  AppendFor(world, store, log, 4);
  CHECK(said == std::vector{true});
  for (int i = kLogs; i < kLogs + 4; ++i) CHECK(store.Open(i).directory() == "/b");
  node.disk().Slow("/a", Duration(0));
  AppendFor(world, store, log, 20);
  CHECK(said == std::vector{true});
  AppendFor(world, store, log, 15);
  CHECK(said == std::vector{true, false});
  CHECK(store.Open(kLogs + 4).directory() == "/a");
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "LogStore: a directory that is slow for a moment, or whose background syncs are, says "
    "nothing") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  std::vector<bool> said;
  TestStore store(world, node.Boot(), TwoDirectories(&said));
  REQUIRE(store.Start().ok());
  OpenAll(store);
  Log& log = *In(store, "/a").front();
  for (int i = 0; i < 10; ++i) {
    node.disk().Slow("/a", seconds(4));
    AppendFor(world, store, log, 1);
    node.disk().Slow("/a", Duration(0));
    AppendFor(world, store, log, 20);
  }
  CHECK(said.empty());
  // Nobody waits for these.
  LogConfig page_cache;
  page_cache.durability = Durability::kPageCache;
  for (int i = 0; i < 2; ++i) store.Open(kLogs + i, page_cache);
  node.disk().Slow("/a", seconds(2));
  for (int i = 0; i < 60; ++i) {
    for (int k = 0; k < 2; ++k) {
      store.Append(*store->Find(TestPartition(kLogs + k)), TestBatch({"more"}));
    }
    world.RunFor(seconds(1));
  }
  CHECK(said.empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "LogStore: a directory that hangs is slow before its write ends, and steady after a silence") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  std::vector<bool> said;
  TestStore store(world, node.Boot(), TwoDirectories(&said));
  REQUIRE(store.Start().ok());
  OpenAll(store);
  node.disk().Slow("/a", seconds(3600));
  store.Append(*In(store, "/a").front(), TestBatch({"hangs"}));
  world.RunFor(seconds(5));
  CHECK(said.empty());
  world.RunFor(seconds(6));
  CHECK(said == std::vector{true});
  world.RunFor(seconds(3500));
  CHECK(said == std::vector{true});
  node.disk().Slow("/a", Duration(0));
  world.RunFor(seconds(200));
  CHECK(said == std::vector{true, false});
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: a directory that hangs does not hold up what is written to the others") {
  SimWorld world(7);
  SimNode& node = world.AddNode("n1");
  std::vector<bool> said;
  LogStoreOptions options = TwoDirectories(&said);
  // Where it is small, checkpoints must go on; where it is not, segment writes, for the memory.
  options.journal_bytes_max = GENERATE(16 << 20, 256 << 20);
  options.pending_bytes_max = 32 << 20;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  OpenAll(store);
  const std::vector<Log*> hang = In(store, "/a");
  node.disk().Slow("/a", seconds(600));
  // Too large for the journal: each is synced by whoever writes segments.
  for (Log* log : hang) store.Append(*log, TestBatch({std::string(1200 << 10, 'x')}));
  const BatchView batch = TestBatch({std::string(100 << 10, 'x')});
  const size_t size = batch.bytes().size();
  // As much as its journal takes in.
  for (size_t i = 0; std::optional<Admission> admission = store->TryAdmit(size); ++i) {
    REQUIRE(hang[i % hang.size()]->Append(batch, LeaderEpoch(0), *admission).ok());
  }
  // Who waits for it waits for its room, and for nothing that others need.
  TaskScope waiting(store.env().reactor);
  const auto wait = [](LogStore* logs, TopicPartitionId id, size_t bytes,
                       CancellationToken token) -> Task<void> {
    (void)co_await logs->AdmitInto({id}, bytes, token);
  };
  for (int i = 0; i < 20; ++i) {
    waiting.Spawn(wait(&*store, hang.front()->id(), 2 << 20, waiting.token()));
  }
  const Instant begun = store.env().reactor.Now();
  const std::vector<Log*> others = In(store, "/b");
  // Several times the memory and the journal, so that segments and checkpoints are made.
  for (size_t i = 0; i < 1000; ++i) {
    Log* log = others[i % others.size()];
    auto admission =
        world.Run(store.env(), store->AdmitInto({log->id()}, size, CancellationToken()));
    REQUIRE(admission.ok());
    REQUIRE(log->Append(batch, LeaderEpoch(0), *admission).ok());
  }
  for (Log* log : others) store.WaitDurable(*log);
  CHECK(store.env().reactor.Now() - begun < seconds(5));
  world.RunFor(seconds(10));
  CHECK(said == std::vector{true});
  node.disk().Slow("/a", Duration(0));
  world.RunFor(seconds(600));
  for (Log* log : hang) store.WaitDurable(*log);
  world
      .Run(store.env(),
           [](TaskScope* scope) -> Task<absl::Status> {
             co_await scope->Stop();
             co_return absl::OkStatus();
           }(&waiting))
      .IgnoreError();
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

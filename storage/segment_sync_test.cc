// Many logs that a start or a stop makes durable together.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int kLogs = 40;

LogStoreOptions Directories(std::vector<std::string>* offline = nullptr) {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.checkpoints_max = 4;
  if (offline != nullptr) {
    options.on_offline = [offline](const std::string& path, const absl::Status&) {
      offline->push_back(path);
    };
  }
  return options;
}

SimDiskOptions WithSyncs(bool together) {
  SimDiskOptions options;
  options.syncs_together = together;
  return options;
}

// A batch in each log, durable in the journals, and the process ends before anything else is.
void WriteAndKill(SimWorld& world, SimNode& node) {
  TestStore store(world, node.Boot(), Directories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < kLogs; ++i) {
    Log& log = store.Open(i);
    store.Append(log, TestBatch({fmt::format("value-{}", i)}, Timestamp(1000),
                                BatchProducer{ProducerId(i), ProducerEpoch(0), Sequence(0)}));
    store.WaitDurable(log);
  }
  node.Kill();
  (void)store.Stop();
}

void CheckLogsAtNextStart(SimWorld& world, SimNode& node) {
  TestStore store(world, node.Boot(), Directories());
  REQUIRE(store.Start().ok());
  for (int i = 0; i < kLogs; ++i) {
    INFO("log " << i);
    Log* log = store->Find(TestPartition(i));
    REQUIRE(log != nullptr);
    CHECK(store.ReadAll(*log) == std::vector<ReadRecord>{{Offset(0), fmt::format("value-{}", i)}});
  }
  REQUIRE(store.Stop().ok());
}

}  // namespace

TEST_CASE("Recovery: what many logs had in the journal alone is on the disk when the start ends") {
  const bool together = GENERATE(true, false);
  CAPTURE(together);
  SimWorld world(1);
  SimNode& node = world.AddNode("n1", WithSyncs(together));
  WriteAndKill(world, node);
  {
    TestStore store(world, node.Boot(), Directories());
    REQUIRE(store.Start().ok());
    node.PowerLoss();
    (void)store.Stop();
  }
  CheckLogsAtNextStart(world, node);
}

TEST_CASE("Recovery: power is lost at any moment of a start that settles many logs") {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1", WithSyncs(seed % 2 == 0));
    WriteAndKill(world, node);
    {
      TestStore store(world, node.Boot(), Directories());
      const uint64_t at = node.disk().operations() + 30 * seed;
      node.disk().set_operation_hook([&](uint64_t number) {
        if (number == at) world.After(Duration(0), [&] { node.PowerLoss(); });
      });
      (void)store.Start();
      node.disk().set_operation_hook(nullptr);
      node.PowerLoss();
      (void)store.Stop();
    }
    CheckLogsAtNextStart(world, node);
  }
}

TEST_CASE("Recovery: whichever sync of a start fails, many logs lose nothing") {
  size_t offline_once = 0;
  bool failed = true;
  for (uint64_t operation = 1; failed; operation += 29) {
    INFO("operation " << operation);
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1", WithSyncs(operation % 2 == 0));
    WriteAndKill(world, node);
    {
      std::vector<std::string> offline;
      TestStore store(world, node.Boot(), Directories(&offline));
      const uint64_t at = node.disk().operations() + operation;
      failed = false;
      node.disk().set_operation_hook([&](uint64_t number) {
        if (number != at) return;
        failed = true;
        node.disk().FailNextSync();
      });
      // Not where it was a sync of the key-value store.
      const absl::Status started = store.Start();
      node.disk().set_operation_hook(nullptr);
      if (started.ok() && !offline.empty()) {
        ++offline_once;
        CHECK(offline.size() == 1);
        size_t served = 0;
        for (Log* log : store->Logs()) {
          if (log->directory() == offline.front()) continue;
          CHECK(store.ReadAll(*log).size() == 1);
          ++served;
        }
        CHECK(served == kLogs / 2);
      }
      node.Kill();
      (void)store.Stop();
    }
    CheckLogsAtNextStart(world, node);
  }
  CHECK(offline_once > 0);
}

}  // namespace millrace

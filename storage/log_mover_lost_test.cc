// Moves between log directories, and the key-value store lost with the crash: names and journals tell
// where the log is and what of it was acknowledged.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "storage/log_move_test_tools.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

using Records = std::vector<ReadRecord>;

void Append(TestStore& store, Log& log, std::string name) {
  store.Append(log, TestBatch({std::move(name), "second", "third"}));
  store.WaitDurable(log);
}

bool StartsWith(const Records& records, const Records& front) {
  return std::ranges::mismatch(records, front).in2 == front.end();
}

// The log, and in its directory another one, which keeps what comes in the journal behind its entry.
Log& OpenBehindAnother(TestStore& store) {
  Log& log = store.Open(1);
  REQUIRE(store->PreferDirectory(TestTopic(2), PartitionId(0), log.directory()));
  Append(store, store.Open(2), "another's");
  return log;
}

// To the other directory; or until the node has died.
void Move(SimWorld& world, TestStore& store, Log& log, const bool& died) {
  const std::string target = OtherThan(log.directory());
  (void)world.Run(store.env(), store->Move(log.id(), target));
  REQUIRE(world.RunUntil([&] { return died || store->Futures().empty(); }, seconds(100)));
  if (!died) REQUIRE(log.directory() == target);
}

}  // namespace

TEST_CASE("LogMover: a log that is back is not given what it had journaled there before it left") {
  const bool power = GENERATE(false, true);
  const bool begun_anew = GENERATE(false, true);
  const bool appended = GENERATE(false, true);
  CAPTURE(power, begun_anew, appended);
  constexpr bool kNever = false;
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Records before;
  Offset end(0);
  std::string from;
  {
    TestStore store(world, node.Boot(), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log& log = OpenBehindAnother(store);
    from = log.directory();
    if (begun_anew) REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(1000))).ok());
    for (int i = 0; i < 4; ++i) Append(store, log, fmt::format("first stay {}", i));
    Move(world, store, log, kNever);
    if (begun_anew) {
      REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(10))).ok());
    } else {
      REQUIRE(world.Run(store.env(), log.Truncate(Offset(6))).ok());
    }
    Move(world, store, log, kNever);
    REQUIRE(log.directory() == from);
    if (appended) Append(store, log, "second stay");
    before = store.ReadAll(log);
    end = log.end_offset();
    Die(node, power);
    (void)store.Stop();
  }
  TestStore store(world, BootWithoutStore(world, node), TwoDirectories());
  REQUIRE(store.Start().ok());
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  CHECK(log->directory() == from);
  CHECK(log->end_offset() == end);
  CHECK(store.ReadAll(*log) == before);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMover: a log that moves there and back is whole without its checkpoint, too") {
  const bool power = GENERATE(false, true);
  constexpr size_t kKept = 6;  // Records, of two batches.
  bool ended = false;
  for (uint64_t operation = 1; !ended; ++operation) {
    INFO("operation " << operation << (power ? ", power" : ", kill"));
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    // What there is before the first step, and behind each.
    std::vector<Records> stages;
    {
      TestStore store(world, node.Boot(), TwoDirectories());
      REQUIRE(store.Start().ok());
      Log& log = OpenBehindAnother(store);
      for (int i = 0; i < 4; ++i) Append(store, log, fmt::format("batch {}", i));
      stages.push_back(store.ReadAll(log));
      bool died = false;
      DieAt(world, node, operation, power, &died);
      for (int step = 0; step < 5 && !died; ++step) {
        Records next = stages.back();
        if (step == 0 || step == 3) {
          Move(world, store, log, died);
        } else if (step == 1) {
          next.erase(next.begin() + kKept, next.end());
          (void)world.Run(store.env(), log.Truncate(Offset(kKept)));
        } else {
          const std::string name = fmt::format("step {}", step);
          next.push_back({log.end_offset(), name});
          store.Append(log, TestBatch({name}));
          REQUIRE(world.RunUntil([&] { return died || log.durable_end() == log.end_offset(); },
                                 seconds(60)));
        }
        stages.push_back(std::move(next));
      }
      node.disk().set_operation_hook(nullptr);
      ended = !died;
      if (ended) Die(node, power);
      (void)store.Stop();
    }
    TestStore store(world, BootWithoutStore(world, node), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log* log = store->Find(TestPartition(1));
    REQUIRE(log != nullptr);
    const Records after = store.ReadAll(*log);
    if (ended) {
      CHECK(after == stages.back());
    } else {
      // The last step may have come anywhere between what was before it and what was to be.
      const auto [fewer, more] = std::minmax(
          stages[stages.size() - 2], stages.back(),
          [](const Records& one, const Records& other) { return one.size() < other.size(); });
      CHECK(StartsWith(after, fewer));
      CHECK(StartsWith(more, after));
    }
    Append(store, *log, "goes on");
    REQUIRE(store.Stop().ok());
  }
}

TEST_CASE(
    "LogMover: until the old folder has another name, its journal keeps what it has of the log") {
  bool ended = false;
  for (uint64_t operation = 1; !ended; ++operation) {
    INFO("operation " << operation);
    SimWorld world(operation);
    SimNode& node = world.AddNode("n1");
    Offset acknowledged(0);  // By the old journal.
    {
      TestStore store(world, node.Boot(), TwoDirectories());
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1);
      const std::string from = log.directory();
      REQUIRE(store->PreferDirectory(TestTopic(2), PartitionId(0), from));
      Log& other = store.Open(2);
      Append(store, log, "first");
      REQUIRE(world.Run(store.env(), store->Move(log.id(), OtherThan(from))).ok());
      // Up to the moment of the move, behind which the other journal acknowledges.
      bool left = false;
      while (!left || log.durable_end() == acknowledged) {
        if (!left) acknowledged = log.durable_end();
        left = log.directory() != from;
        store.Append(log, TestBatch({"while it moves"}));
        world.RunFor(microseconds(50));
      }
      bool died = false;
      DieAt(world, node, operation, /*power=*/true, &died);
      // What others journal now tells the start what the old journal still needs.
      store.Append(other, TestBatch({"another's"}));
      REQUIRE(world.RunUntil([&] { return died || store->Futures().empty(); }, seconds(100)));
      node.disk().set_operation_hook(nullptr);
      ended = !died;
      if (ended) Die(node, /*power=*/true);
      (void)store.Stop();
    }
    TestStore store(world, BootWithoutStore(world, node), TwoDirectories());
    REQUIRE(store.Start().ok());
    Log* log = store->Find(TestPartition(1));
    REQUIRE(log != nullptr);
    CHECK(log->end_offset() >= acknowledged);
    REQUIRE(store.Stop().ok());
  }
}

}  // namespace millrace

// Moves between log directories, and the key-value store lost with the crash: names and journals tell
// where the log is and what of it was acknowledged.
#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "storage/log_test_tools.h"

namespace millrace {
namespace {

using Records = std::vector<ReadRecord>;

LogStoreOptions TwoDirectories() {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.move_bytes_per_second = 0;
  options.scrub_bytes_per_second = 0;
  return options;
}

std::string OtherThan(const std::string& directory) { return directory == "/a" ? "/b" : "/a"; }

void Append(TestStore& store, Log& log, std::string name) {
  store.Append(log, TestBatch({std::move(name), "second", "third"}));
  store.WaitDurable(log);
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

}  // namespace millrace

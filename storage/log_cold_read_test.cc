// Reads of what the disk alone has: in pieces, in turns, and beside cuts.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "storage/cold_reads.h"
#include "storage/log_directory.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr size_t kRecordBytes = 60'000;
constexpr int kRecords = 100;

std::string Value(int number) {
  std::string value = std::to_string(number) + ":";
  value.resize(kRecordBytes, static_cast<char>('a' + number % 26));
  return value;
}

// Records that are in the segment file and nowhere else.
Log& FilledLog(TestStore& store) {
  Log& log = store.Open(1);
  for (int i = 0; i < kRecords; ++i) store.Append(log, TestBatch({Value(i)}));
  store.WaitDurable(log);
  return log;
}

LogStoreOptions WithoutCache() {
  LogStoreOptions options;
  options.tail_cache_bytes_max = 0;
  return options;
}

void CheckRecords(const LogRead& read, int from) {
  std::vector<ReadRecord> records;
  AppendRecords(read.batches, Offset(from), records);
  REQUIRE_FALSE(records.empty());
  for (const ReadRecord& record : records) {
    REQUIRE(record.offset == Offset(from));
    REQUIRE(record.value == Value(from));
    ++from;
  }
  CHECK(read.next_offset == Offset(from));
}

TEST_CASE("Log: who wants much from the disk gets all of it, whatever the size of its pieces") {
  SimWorld world(7);
  TestStore store(world, world.AddNode("n1").Boot(), WithoutCache());
  REQUIRE(store.Start().ok());
  Log& log = FilledLog(store);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  for (size_t wanted : {size_t{1} << 20, size_t{4} << 20, size_t{64} << 20}) {
    for (int from : {0, 1, 37}) {
      auto read = world.Run(store.env(), log.Read(Offset(from), {wanted, log.end_offset(), true}));
      REQUIRE(read.ok());
      CheckRecords(*read, from);
      const size_t there = static_cast<size_t>(kRecords - from) * kRecordBytes;
      CHECK(read->batches.size() <= wanted);
      // Less by no more than a piece.
      CHECK(read->batches.size() + (size_t{1} << 20) >= std::min(wanted, there));
    }
  }
  // A bound ends it in the midst of the pieces.
  auto read = world.Run(store.env(), log.Read(Offset(0), {size_t{64} << 20, Offset(50), true}));
  REQUIRE(read.ok());
  CHECK(read->next_offset == Offset(50));
  REQUIRE(store.Stop().ok());
}

struct Beside {
  bool whole = false;
  int reads = 0;
};

Task<void> ReadOn(Log* log, const bool* cut, Beside* seen) {
  for (; !*cut; ++seen->reads) {
    auto read = co_await log->Read(Offset(0), {size_t{16} << 20, log->end_offset(), true});
    if (!read.ok()) co_return;
    // The last thing that was looked at: no record is told of that the log does not have any more.
    seen->whole = read->next_offset <= log->end_offset();
    if (!seen->whole) co_return;
  }
}

Task<void> CutBeside(Env* env, Log* log, Duration after, Beside* seen) {
  bool cut = false;
  TaskScope scope(env->reactor);
  scope.Spawn(ReadOn(log, &cut, seen));
  co_await Sleep(env->reactor, after);
  CHECK((co_await log->Truncate(Offset(5))).ok());
  cut = true;
  co_await scope.Join();
}

TEST_CASE("Log: a read of several pieces has nothing of what is cut off meanwhile") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimWorld world(seed);
    TestStore store(world, world.AddNode("n1").Boot(), WithoutCache());
    REQUIRE(store.Start().ok());
    Log& log = FilledLog(store);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    Beside seen;
    world.Run(store.env(), CutBeside(&store.env(), &log, microseconds(50 * seed), &seen));
    CHECK(seen.whole);
    CHECK(seen.reads > 0);
    CHECK(log.end_offset() == Offset(5));
    REQUIRE(store.Stop().ok());
  }
}

struct Producing {
  TestStore* store;
  Log* log;
  bool produces;
  bool done = false;
  size_t reads_at_once_max = 0;
};

Task<void> ReadAgainAndAgain(Producing* plan, int from) {
  while (!plan->done) {
    auto read = co_await plan->log->Read(Offset(from), {size_t{1} << 20, Offset(kRecords), true});
    CHECK(read.ok());
    from = (from + 7) % kRecords;
  }
}

Task<void> ProduceAndWatch(Producing* plan) {
  Env& env = plan->store->env();
  const ColdReads& reads = plan->log->state().directory->cold_reads();
  TaskScope scope(env.reactor);
  for (int reader = 0; reader < 6; ++reader) scope.Spawn(ReadAgainAndAgain(plan, reader * 11));
  for (int i = 0; i < 200; ++i) {
    if (plan->produces) {
      auto admission = co_await (*plan->store)->Admit(200, CancellationToken());
      CHECK(plan->log->Append(TestBatch({"x"}), LeaderEpoch(0), *admission).ok());
    }
    co_await Sleep(env.reactor, microseconds(300));
    // Those that were under way when the first write began may go on.
    if (i > 10) plan->reads_at_once_max = std::max(plan->reads_at_once_max, reads.under_way());
  }
  plan->done = true;
  co_await scope.Join();
}

TEST_CASE("Log: while somebody produces, reads from the disk take turns") {
  for (bool produces : {true, false}) {
    SimWorld world(3);
    TestStore store(world, world.AddNode("n1").Boot(), WithoutCache());
    REQUIRE(store.Start().ok());
    Log& log = FilledLog(store);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    world.RunFor(seconds(1));
    Producing plan{&store, &log, produces};
    world.Run(store.env(), ProduceAndWatch(&plan));
    if (produces) CHECK(plan.reads_at_once_max == 1);
    if (!produces) CHECK(plan.reads_at_once_max > 1);
    REQUIRE(store.Stop().ok());
  }
}

}  // namespace
}  // namespace millrace

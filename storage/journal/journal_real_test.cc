// The journal on this machine's kernel and file system, through each kind of I/O.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/sys/real_contract_world.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_recovery.h"
#include "storage/journal/journal_test_tools.h"

namespace millrace {
namespace {

Task<void> WriteAndStop(Env* env, std::string log_dir, uint64_t entries, bool recycle,
                        std::vector<absl::Status>* results) {
  auto journal = co_await Journal::Open(*env, log_dir, ShardId(0), SmallJournal());
  results->push_back(journal.status());
  if (!journal.ok()) co_return;
  for (uint64_t i = 1; i <= entries; ++i) {
    results->push_back((*journal)->Enqueue(TestEntry(3, i, 3000), nullptr).status());
    const JournalPosition last = (*journal)->last_position();
    if (i % 4 == 0) results->push_back(co_await (*journal)->WaitDurable(last, {}));
    if (i % 40 == 0) (*journal)->Recycle((*journal)->durable_position());
  }
  results->push_back(co_await (*journal)->WaitDurable((*journal)->last_position(), {}));
  if (recycle) (*journal)->Recycle((*journal)->last_position());
  results->push_back(co_await (*journal)->Stop());
}

Task<void> RecoverAndDiscard(Env* env, std::string log_dir, KeepingVisitor* visitor,
                             std::vector<absl::Status>* results) {
  auto report = co_await RecoverJournals(env->disk, log_dir, *visitor);
  results->push_back(report.status());
  results->push_back(co_await DiscardJournals(env->disk, log_dir));
}

TEST_CASE("Journal: what a real disk took comes back, lap after lap") {
  RealContractWorld world(GENERATE(IoBackend::kAuto, IoBackend::kEpoll));
  std::vector<absl::Status> results;
  world.RunUntilDone(WriteAndStop(&world.env(), world.folder(), 390, false, &results));
  KeepingVisitor visitor;
  world.RunUntilDone(RecoverAndDiscard(&world.env(), world.folder(), &visitor, &results));
  world.RunUntilDone(WriteAndStop(&world.env(), world.folder(), 100, true, &results));
  KeepingVisitor empty;
  world.RunUntilDone(RecoverAndDiscard(&world.env(), world.folder(), &empty, &results));
  for (const absl::Status& status : results) {
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
  REQUIRE_FALSE(visitor.replays.empty());
  CHECK(visitor.replays.back().position == JournalPosition(390));
  const uint64_t first = visitor.replays.front().position.value();
  CHECK(first > 1);  // Written over.
  CHECK(first <= 361);
  for (size_t i = 0; i < visitor.replays.size(); ++i) {
    REQUIRE(visitor.replays[i].position.value() == first + i);
    REQUIRE(SameEntry(visitor.replays[i].entry, TestEntry(3, first + i, 3000)));
  }
  CHECK(empty.replays.empty());
}

}  // namespace
}  // namespace millrace

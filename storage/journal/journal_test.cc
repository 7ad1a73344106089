#include "storage/journal/journal.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "storage/journal/journal_test_tools.h"

namespace millrace {
namespace {

SimOptions SlowSyncs() {
  SimOptions sim;
  sim.disk.latency_min = milliseconds(1);
  sim.disk.latency_max = milliseconds(1);
  sim.disk.sync_latency_max = milliseconds(1);
  return sim;
}

Task<absl::Status> WaitInto(Journal* journal, JournalPosition position, CancellationToken token,
                            std::vector<uint64_t>* order) {
  absl::Status status = co_await journal->WaitDurable(position, token);
  order->push_back(position.value());
  co_return status;
}

Task<void> SpawnedWait(Journal* journal, JournalPosition position, CancellationToken token,
                       std::vector<uint64_t>* order, absl::Status* result) {
  *result = co_await WaitInto(journal, position, token, order);
}

Task<void> SpawnedAdmit(Journal* journal, int number, std::vector<int>* admitted) {
  if ((co_await journal->Admit({})).ok()) {
    admitted->push_back(number);
    (void)journal->Enqueue(TestAppend(1, 8000), nullptr);
  }
}

TEST_CASE("Journal: what comes during one write goes into the next frame together") {
  JournalFixture f(1, SmallJournal(), SlowSyncs());
  REQUIRE(f.Open().ok());
  f.Enqueue(TestAppend(0, 100));
  f.world.RunFor(microseconds(100));  // The first frame is being written now.
  REQUIRE(f.journal->frames_written() == 0);
  JournalPosition last(0);
  for (uint64_t i = 1; i <= 50; ++i) last = f.Enqueue(TestAppend(i, 100));
  REQUIRE(f.Wait(last).ok());
  CHECK(f.journal->frames_written() == 2);
  CHECK(f.journal->durable_position() == JournalPosition(51));
  CHECK(f.journal->pending_bytes() == 0);
}

TEST_CASE("Journal: a long queue makes several bounded frames in order") {
  JournalFixture f(2);
  REQUIRE(f.Open().ok());
  CountingListener listener;
  JournalPosition last(0);
  for (uint64_t i = 0; i < 20; ++i) last = f.Enqueue(TestAppend(i, 5000), &listener);
  REQUIRE(f.Wait(last).ok());
  CHECK(f.journal->frames_written() == 7);  // Three of 5,000 bytes fit into 16 KiB.
  CHECK(std::is_sorted(listener.durable.begin(), listener.durable.end()));
  CHECK(listener.durable.back() == 20);
}

TEST_CASE("Journal: listeners hear of their own entries, and nothing once forgotten") {
  JournalFixture f(3);
  REQUIRE(f.Open().ok());
  CountingListener first;
  CountingListener second;
  CountingListener forgotten;
  f.Enqueue(TestAppend(1, 10), &first);
  f.Enqueue(TestAppend(2, 10), &second);
  f.Enqueue(TestAppend(3, 10), &forgotten);
  const JournalPosition last = f.Enqueue(TestAppend(4, 10), &first);
  f.journal->Forget(&forgotten);
  REQUIRE(f.Wait(last).ok());
  CHECK(first.durable.back() == 4);
  CHECK(second.durable == std::vector<uint64_t>{2});
  CHECK(forgotten.durable.empty());
}

TEST_CASE("Journal: waiters resume by position, and a cancelled one leaves the entry written") {
  JournalFixture f(4, SmallJournal(), SlowSyncs());
  REQUIRE(f.Open().ok());
  CancellationSource cancel;
  std::vector<uint64_t> order;
  absl::Status results[3];
  TaskScope scope(f.env->reactor);
  const JournalPosition one = f.Enqueue(TestAppend(1, 10));
  const JournalPosition two = f.Enqueue(TestAppend(2, 10));
  scope.Spawn(SpawnedWait(f.journal.get(), two, {}, &order, &results[0]), SchedClass::kProduce);
  scope.Spawn(SpawnedWait(f.journal.get(), one, {}, &order, &results[1]), SchedClass::kProduce);
  scope.Spawn(SpawnedWait(f.journal.get(), two, cancel.token(), &order, &results[2]),
              SchedClass::kProduce);
  f.world.RunFor(microseconds(50));
  cancel.Cancel();
  f.world.Run(*f.env, scope.Join());
  CHECK(order == std::vector<uint64_t>{2, 1, 2});
  CHECK(results[0].ok());
  CHECK(results[1].ok());
  CHECK(absl::IsCancelled(results[2]));
  CHECK(f.journal->durable_position() == two);
}

TEST_CASE("Journal: the first failed write is final and everyone is told") {
  JournalFixture f(5);
  REQUIRE(f.Open().ok());
  const JournalPosition good = f.Enqueue(TestAppend(1, 10));
  REQUIRE(f.Wait(good).ok());
  CountingListener listener;
  f.node.disk().FailNextWrite();
  f.Enqueue(TestAppend(2, 10), &listener);
  const JournalPosition last = f.Enqueue(TestAppend(3, 20'000 / 2), &listener);
  CHECK(absl::IsDataLoss(f.Wait(last)));
  CHECK(listener.durable.empty());
  CHECK(listener.failures.size() == 1);
  CHECK(absl::IsDataLoss(f.journal->status()));
  // The disk works again; the journal does not.
  CHECK(absl::IsDataLoss(f.journal->Enqueue(TestAppend(4, 10), nullptr).status()));
  CHECK(absl::IsDataLoss(f.world.Run(*f.env, f.journal->Admit({}))));
  CHECK(f.journal->durable_position() == good);
  CHECK(absl::IsDataLoss(f.Stop()));
  CHECK(f.ExtentFiles() == 2);  // Left for recovery.
}

TEST_CASE("Journal: a failure while growing takes the directory offline too") {
  JournalFixture f(6);
  REQUIRE(f.Open().ok());
  f.node.disk().FailNextSync();  // Only growing syncs.
  absl::Status status;
  for (uint64_t i = 0; i < 60 && status.ok(); ++i) {
    absl::StatusOr<JournalPosition> position = f.journal->Enqueue(TestAppend(i, 10'000), nullptr);
    status = position.ok() ? f.Wait(*position) : position.status();
  }
  CHECK(absl::IsDataLoss(status));
}

class RecyclingListener final : public JournalPressureListener {
 public:
  explicit RecyclingListener(Journal& journal) : journal_(journal) {}
  void OnJournalPressure() override {
    ++calls;
    if (recycles) journal_.Recycle(journal_.durable_position());
  }
  int calls = 0;
  bool recycles = false;

 private:
  Journal& journal_;
};

TEST_CASE("Journal: a full journal waits for recycling, asks for it, and goes on") {
  JournalFixture f(7);
  REQUIRE(f.Open().ok());
  RecyclingListener pressure(*f.journal);
  f.journal->set_pressure_listener(&pressure);
  JournalPosition last(0);
  for (uint64_t i = 0; i < 40; ++i) last = f.Enqueue(TestAppend(i, 10'000));
  f.world.RunFor(seconds(5));
  CHECK(f.journal->extent_count() == 4);  // bytes_max.
  const JournalPosition stuck = f.journal->durable_position();
  CHECK(stuck < last);
  CHECK(pressure.calls > 0);
  CHECK(f.journal->fill_ratio() > 0.9);
  CHECK(f.journal->fill_ratio() <= 1.0);

  f.journal->Recycle(JournalPosition(1));  // Frees no extent.
  f.world.RunFor(seconds(1));
  CHECK(f.journal->durable_position() == stuck);
  f.journal->Recycle(stuck);
  f.world.RunFor(seconds(5));
  CHECK(f.journal->durable_position() > stuck);
  pressure.recycles = true;
  f.journal->Recycle(f.journal->durable_position());
  CHECK(f.Wait(last).ok());
  CHECK(f.journal->extent_count() == 4);
}

TEST_CASE("Journal: two extents are enough to go round for ever") {
  Journal::Options options = SmallJournal();
  options.bytes_max = 2 * options.extent_bytes;
  JournalFixture f(8, options);
  REQUIRE(f.Open().ok());
  for (uint64_t i = 0; i < 200; ++i) {
    const JournalPosition position = f.Enqueue(TestAppend(i, 3000));
    REQUIRE(f.Wait(position).ok());
    f.journal->Recycle(position);
  }
  CHECK(f.journal->extent_count() == 2);
  CHECK(f.journal->bytes_written() > 5 * options.bytes_max);
  CHECK(f.Stop().ok());
  CHECK(f.ExtentFiles() == 0);
}

TEST_CASE("Journal: Admit holds back in order while too much is pending") {
  JournalFixture f(9, SmallJournal(), SlowSyncs());
  REQUIRE(f.Open().ok());
  for (uint64_t i = 0; i < 9; ++i) f.Enqueue(TestAppend(i, 8000));
  REQUIRE(f.journal->pending_bytes() > SmallJournal().pending_bytes_max);
  CHECK_FALSE(f.journal->Admits());
  std::vector<int> admitted;
  TaskScope scope(f.env->reactor);
  for (int i = 0; i < 6; ++i) {
    scope.Spawn(SpawnedAdmit(f.journal.get(), i, &admitted), SchedClass::kProduce);
  }
  f.world.RunFor(microseconds(100));
  CHECK(admitted.empty());
  f.world.RunFor(seconds(1));
  f.journal->Recycle(f.journal->durable_position());
  f.world.Run(*f.env, scope.Join());
  CHECK(admitted == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("Journal: a full disk stops the growth and nothing else") {
  SimOptions sim;
  sim.disk.capacity_bytes = 2 * SmallJournal().extent_bytes + 10'000;
  JournalFixture f(10, SmallJournal(), sim);
  REQUIRE(f.Open().ok());
  for (uint64_t i = 0; i < 100; ++i) {
    const JournalPosition position = f.Enqueue(TestAppend(i, 3000));
    REQUIRE(f.Wait(position).ok());
    if (i % 8 == 0) f.journal->Recycle(position);
  }
  CHECK(f.journal->extent_count() == 2);
  CHECK(f.journal->status().ok());
}

TEST_CASE("Journal: no room for the first extents is an error that leaves nothing") {
  SimOptions sim;
  sim.disk.capacity_bytes = SmallJournal().extent_bytes + 10'000;
  JournalFixture f(11, SmallJournal(), sim);
  CHECK(absl::IsResourceExhausted(f.Open()));
  CHECK(f.ExtentFiles() == 0);
}

TEST_CASE("Journal: a clean stop leaves no files, an unclean one all of them") {
  JournalFixture f(12);
  REQUIRE(f.Open().ok());
  const JournalPosition position = f.Enqueue(TestAppend(1, 100));
  REQUIRE(f.Wait(position).ok());
  SECTION("recycled") {
    f.journal->Recycle(position);
    CHECK(f.Stop().ok());
    CHECK(f.ExtentFiles() == 0);
    CHECK(f.Open().ok());
  }
  SECTION("not recycled") {
    CHECK(f.Stop().ok());
    CHECK(f.ExtentFiles() == 2);
    CHECK(absl::IsFailedPrecondition(f.Open()));
  }
  SECTION("stopping drains") {
    f.Enqueue(TestAppend(2, 100));
    CHECK(f.Stop().ok());
    KeepingVisitor visitor;
    REQUIRE(f.Recover(visitor).ok());
    CHECK(visitor.replays.size() == 2);
  }
}

TEST_CASE("Journal: stopping a full journal ends, and says what was lost") {
  JournalFixture f(13);
  REQUIRE(f.Open().ok());
  CountingListener listener;
  for (uint64_t i = 0; i < 40; ++i) f.Enqueue(TestAppend(i, 10'000), &listener);
  f.world.RunFor(seconds(5));
  const uint64_t durable = f.journal->durable_position().value();
  CHECK(absl::IsUnavailable(f.Stop()));
  CHECK(listener.failures.size() == 1);
  CHECK(listener.durable.back() == durable);
  KeepingVisitor visitor;
  REQUIRE(f.Recover(visitor).ok());
  CHECK(visitor.replays.size() == durable);
}

TEST_CASE("Journal: options that cannot work are refused") {
  const auto refused = [](auto change) {
    Journal::Options options;
    change(options);
    return absl::IsInvalidArgument(options.Validate());
  };
  CHECK(Journal::Options().Validate().ok());
  CHECK(refused([](auto& o) { o.extent_bytes += 1; }));
  CHECK(refused([](auto& o) { o.extent_bytes = 4096; }));
  CHECK(refused([](auto& o) { o.bytes_max = o.extent_bytes; }));
  CHECK(refused([](auto& o) { o.frame_bytes_max = o.extent_bytes; }));
  CHECK(refused([](auto& o) { o.pending_bytes_max = 0; }));
  CHECK(refused([](auto& o) { o.pressure_ratio = 0; }));
}

}  // namespace
}  // namespace millrace

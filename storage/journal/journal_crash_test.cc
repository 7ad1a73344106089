// The journal under power loss and kill -9 at any moment: seeds.
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "storage/journal/journal.h"
#include "storage/journal/journal_recovery.h"
#include "storage/journal/journal_test_tools.h"
#include "test/rounds.h"

namespace millrace {
namespace {

constexpr size_t kBytesMax = 6000;

// Writes entries of the stream `seed` and recycles behind itself, as a log does, until it is told
// to stop or the journal fails.
struct Workload {
  Workload(Env& env, Journal& journal, uint64_t seed)
      : env(env), journal(journal), seed(seed), random(MixBits(seed)), scope(env.reactor) {}

  Task<void> Run() {
    while (!stop) {
      const uint64_t burst = random.Between(uint64_t{1}, uint64_t{6});
      for (uint64_t i = 0; i < burst; ++i) {
        if (!(co_await journal.Admit({})).ok()) co_return;
        const JournalEntry entry = TestEntry(seed, enqueued + 1, kBytesMax);
        if (!journal.Enqueue(entry, nullptr).ok()) co_return;
        ++enqueued;
      }
      if (random.Below(3) == 0) co_await Sleep(env.reactor, microseconds(random.Below(2000)));
    }
  }
  Task<void> Recycle() {
    while (!stop && journal.status().ok()) {
      co_await Sleep(env.reactor, microseconds(random.Below(5000)));
      const uint64_t durable = journal.durable_position().value();
      const uint64_t from = journal.recycled_position().value();
      recycled = random.Below(3) == 0 ? durable : random.Between(from, durable);
      journal.Recycle(JournalPosition(recycled));
    }
  }
  void Start() {
    scope.Spawn(Run(), SchedClass::kProduce);
    scope.Spawn(Recycle(), SchedClass::kHousekeeping);
  }

  Env& env;
  Journal& journal;
  const uint64_t seed;
  SimRandom random;
  TaskScope scope;
  bool stop = false;
  uint64_t enqueued = 0;
  uint64_t recycled = 0;
};

// What recovery must deliver after a crash: an unbroken row up to at least `durable`, from at or
// below the first that was not recycled.
void CheckRow(const KeepingVisitor& visitor, uint64_t seed, uint64_t recycled, uint64_t durable,
              uint64_t enqueued) {
  if (visitor.replays.empty()) {
    REQUIRE(recycled == durable);  // Nothing durable was needed.
    return;
  }
  const uint64_t first = visitor.replays.front().position.value();
  const uint64_t last = visitor.replays.back().position.value();
  REQUIRE(first <= recycled + 1);
  REQUIRE(last >= durable);
  REQUIRE(last <= enqueued);
  REQUIRE(last - first + 1 == visitor.replays.size());
  for (size_t i = 0; i < visitor.replays.size(); ++i) {
    REQUIRE(visitor.replays[i].position.value() == first + i);
    REQUIRE(SameEntry(visitor.replays[i].entry, TestEntry(seed, first + i, kBytesMax)));
  }
}

TEST_CASE("Journal: a crash at any moment loses nothing durable and resurrects nothing old") {
  uint64_t laps = 0;
  uint64_t crashes_in_discard = 0;
  for (uint64_t seed = 0; seed < Rounds(150); ++seed) {
    INFO("seed " << seed);
    SimOptions sim;
    sim.disk.sync_latency_max = microseconds(400);
    JournalFixture f(seed, SmallJournal(), sim);
    SimRandom random = SimRandom::Derived(seed, "crash");
    for (uint64_t start = 0; start < 3; ++start) {
      const uint64_t stream = seed * 10 + start;
      REQUIRE(f.Open().ok());
      uint64_t recycled = 0;
      uint64_t durable = 0;
      uint64_t enqueued = 0;
      {
        Workload workload(*f.env, *f.journal, stream);
        workload.Start();
        f.world.RunFor(microseconds(random.Below(60'000)));
        recycled = workload.recycled;
        durable = f.journal->durable_position().value();
        enqueued = workload.enqueued;
        laps += f.journal->bytes_written() / SmallJournal().bytes_max;
        if (random.Below(4) != 0) {
          f.node.PowerLoss();
        } else {
          f.node.Kill();
        }
        workload.stop = true;
        f.world.Run(*f.env, f.journal->Stop()).IgnoreError();
        f.world.Run(*f.env, workload.scope.Join());
        f.journal = nullptr;
      }
      f.Reboot(false);
      KeepingVisitor visitor;
      const auto report = f.Recover(visitor);
      INFO(report.status().ToString());
      REQUIRE(report.ok());
      CheckRow(visitor, stream, recycled, durable, enqueued);

      // Crashes while discarding: all of it is still there, or nothing counts.
      while (random.Coin()) {
        ++crashes_in_discard;
        absl::Status discarded;
        TaskScope scope(f.env->reactor);
        struct Discarding {
          static Task<void> Run(Disk* disk, absl::Status* result) {
            *result = co_await DiscardJournals(*disk, kTestLogDir);
          }
        };
        scope.Spawn(Discarding::Run(&f.env->disk, &discarded), SchedClass::kHousekeeping);
        f.world.RunFor(microseconds(random.Below(3000)));
        f.node.PowerLoss();
        f.world.Run(*f.env, scope.Join());
        f.Reboot(false);
        KeepingVisitor again;
        const auto second = f.Recover(again);
        INFO(second.status().ToString());
        REQUIRE(second.ok());
        if (!again.replays.empty()) {
          REQUIRE(again.replays.size() == visitor.replays.size());
          CheckRow(again, stream, recycled, durable, enqueued);
        }
      }
      REQUIRE(f.Discard().ok());
    }
  }
  CHECK(laps > Rounds(50));
  CHECK(crashes_in_discard > Rounds(50));
}

TEST_CASE("Journal: power loss during a clean stop leaves a directory that recovers") {
  int emptied = 0;
  int kept = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO("seed " << seed);
    JournalFixture f(seed);
    SimRandom random = SimRandom::Derived(seed, "stop");
    REQUIRE(f.Open().ok());
    for (uint64_t i = 1; i <= 30; ++i) {
      REQUIRE(f.Wait(f.Enqueue(TestEntry(seed, i, kBytesMax))).ok());
      if (i % 10 == 0) f.journal->Recycle(JournalPosition(i - 5));
    }
    f.journal->Recycle(JournalPosition(30));
    struct Stopping {
      static Task<void> Run(Journal* journal) { (co_await journal->Stop()).IgnoreError(); }
    };
    TaskScope scope(f.env->reactor);
    scope.Spawn(Stopping::Run(f.journal.get()), SchedClass::kHousekeeping);
    f.world.RunFor(microseconds(random.Below(15'000)));
    f.node.PowerLoss();
    f.world.Run(*f.env, scope.Join());
    f.journal = nullptr;
    f.Reboot(false);
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    INFO(report.status().ToString());
    REQUIRE(report.ok());
    (visitor.replays.empty() ? emptied : kept) += 1;
    CheckRow(visitor, seed, 30, 30, 30);
    REQUIRE(f.Discard().ok());
    REQUIRE(f.Open().ok());
  }
  CHECK(emptied > 10);
  CHECK(kept > 10);
}

TEST_CASE("Journal: discarding that was killed and is repeated survives power loss") {
  int all = 0;
  int none = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    INFO("seed " << seed);
    JournalFixture f(seed);
    SimRandom random = SimRandom::Derived(seed, "discard");
    REQUIRE(f.Open().ok());
    for (uint64_t i = 1; i <= 30; ++i) {
      REQUIRE(f.Wait(f.Enqueue(TestEntry(seed, i, kBytesMax))).ok());
    }
    f.Reboot(false);
    // The first attempt's names are in the page cache only when the second finds them.
    for (bool power_lost : {false, true}) {
      struct Discarding {
        static Task<void> Run(Disk* disk) {
          (co_await DiscardJournals(*disk, kTestLogDir)).IgnoreError();
        }
      };
      TaskScope scope(f.env->reactor);
      scope.Spawn(Discarding::Run(&f.env->disk), SchedClass::kHousekeeping);
      f.world.RunFor(microseconds(random.Below(6000)));
      power_lost ? f.node.PowerLoss() : f.node.Kill();
      f.world.Run(*f.env, scope.Join());
      f.Reboot(false);
    }
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    INFO(report.status().ToString());
    REQUIRE(report.ok());
    (visitor.replays.empty() ? none : all) += 1;
    if (!visitor.replays.empty()) REQUIRE(visitor.replays.size() == 30);
    REQUIRE(f.Discard().ok());
  }
  CHECK(all > 100);
  CHECK(none > 100);
}

TEST_CASE("Journal: nothing is reported durable that a failing disk did not take") {
  int failed = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    INFO("seed " << seed);
    JournalFixture f(seed);
    REQUIRE(f.Open().ok());
    f.node.disk().options().write_errors = PerMillion{20'000};
    f.node.disk().options().sync_errors = PerMillion{50'000};
    uint64_t recycled = 0;
    uint64_t durable = 0;
    uint64_t enqueued = 0;
    {
      Workload workload(*f.env, *f.journal, seed);
      workload.Start();
      f.world.RunFor(milliseconds(60));
      recycled = workload.recycled;
      durable = f.journal->durable_position().value();
      enqueued = workload.enqueued;
      failed += f.journal->status().ok() ? 0 : 1;
      f.node.PowerLoss();
      workload.stop = true;
      f.world.Run(*f.env, f.journal->Stop()).IgnoreError();
      f.world.Run(*f.env, workload.scope.Join());
      f.journal = nullptr;
    }
    f.node.disk().options().write_errors = PerMillion{0};
    f.node.disk().options().sync_errors = PerMillion{0};
    f.Reboot(false);
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    INFO(report.status().ToString());
    REQUIRE(report.ok());
    CheckRow(visitor, seed, recycled, durable, enqueued);
  }
  CHECK(failed > 20);
}

}  // namespace
}  // namespace millrace

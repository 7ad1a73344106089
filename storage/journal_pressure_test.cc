// A journal that is full: whoever waits for it must not keep it full.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int kLogs = 6;

struct Load {
  TestStore& store;
  std::vector<Log*> logs;
  SimRandom random;
  int running = 0;
  int cuts = 0;
};

// Appends without waiting for anything but admission, as many producers together do.
Task<void> Produce(Load* load, int number, int batches) {
  Log* log = load->logs[static_cast<size_t>(number)];
  for (int i = 0; i < batches; ++i) {
    BatchView batch = TestBatch({std::string(load->random.Between(10'000, 200'000), 'x')});
    auto admission = co_await load->store->Admit(batch.bytes().size(), CancellationToken());
    REQUIRE(admission.ok());
    auto info = log->Append(std::move(batch), LeaderEpoch(0), *admission);
    REQUIRE(info.ok());
    // A follower that finds that its leader knows nothing of this.
    if (number == 0 && load->random.Below(10) == 0) {
      absl::Status cut = co_await log->Truncate(log->end_offset() - OffsetDelta(1));
      REQUIRE(cut.ok());
      ++load->cuts;
    }
  }
  --load->running;
}

TEST_CASE("Journal pressure: logs that are cut while the journal is full do not stop the others") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    SimWorld world(seed);
    LogStoreOptions options;
    options.journal_bytes_max = 8 << 20;
    options.pending_bytes_max = 64 << 20;
    options.segment_write_bytes = 4 << 20;
    TestStore store(world, world.AddNode("n1").Boot(), options);
    REQUIRE(store.Start().ok());
    Load load{store, {}, SimRandom(seed)};
    for (int i = 0; i < kLogs; ++i) load.logs.push_back(&store.Open(i));
    TaskScope scope(store.env().reactor);
    for (int i = 0; i < kLogs; ++i) {
      ++load.running;
      scope.Spawn(Produce(&load, i, 100));
    }
    REQUIRE(world.RunUntil([&load] { return load.running == 0; }, seconds(600)));
    for (Log* log : load.logs) store.WaitDurable(*log);
    CHECK(load.cuts > 0);
    world.Run(store.env(), scope.Join());
    REQUIRE(store.Stop().ok());
  }
}

}  // namespace
}  // namespace millrace

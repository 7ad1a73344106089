// Transactions as a log holds them: what is unstable, which were aborted, and that both survive.
#include <catch2/catch.hpp>
#include <functional>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"
#include "storage/producer/transaction_test_tools.h"
#include "test/rounds.h"

namespace millrace {
namespace {

const std::string kFolder =
    JoinPath(kTestDataDir, PartitionDirectoryName(TestTopic(1), PartitionId(0)));

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 3000;
  config.index_interval_bytes = 300;
  return config;
}

std::vector<AbortedTransaction> Aborted(SimWorld& world, TestStore& store, Log& log, Offset from,
                                        Offset to) {
  auto found = world.Run(store.env(), log.AbortedTransactions(from, to));
  if (!found.ok()) FAIL(found.status().ToString());
  return *std::move(found);
}

// Producer state is what the log says, recomputed from its first batch on.
void CheckProducers(SimWorld& world, TestStore& store, Log& log) {
  ProducerState recomputed;
  for (Offset at(0); at < log.end_offset();) {
    auto read = world.Run(store.env(), log.Read(at, {1 << 20, log.end_offset(), true}));
    REQUIRE(read.ok());
    BatchReader batches(read->batches.Flatten());
    for (;;) {
      auto batch = batches.Next();
      REQUIRE(batch.ok());
      if (!batch->has_value()) break;
      recomputed.ApplyBatch(**batch, Timestamp(0));
    }
    at = read->next_offset;
  }
  REQUIRE(log.producers().entries() == recomputed.entries());
}

// Every range of offsets gets the answer of the model.
void CheckAgainst(const TransactionModel& model, SimWorld& world, TestStore& store, Log& log,
                  SimRandom& random) {
  log.OnCommitted(log.end_offset());
  REQUIRE(log.first_unstable_offset() == model.FirstOpen(log.start_offset()));
  const Offset stable = log.first_unstable_offset().value_or(log.end_offset());
  for (int i = 0; i < 60 && stable > log.start_offset(); ++i) {
    const Offset from(
        static_cast<int64_t>(random.Between(static_cast<uint64_t>(log.start_offset().value()),
                                            static_cast<uint64_t>(stable.value()) - 1)));
    const Offset to(static_cast<int64_t>(random.Between(static_cast<uint64_t>(from.value()) + 1,
                                                        static_cast<uint64_t>(stable.value()))));
    INFO(fmt::format("[{}, {}) of [{}, {})", from, to, log.start_offset(), log.end_offset()));
    auto found = Aborted(world, store, log, from, to);
    REQUIRE(found == model.Overlapping(from, to));
  }
}

// Interleaved transactions of several producers, some aborted, some left open.
void Work(SimRandom& random, TransactionModel& model, TestStore& store, Log& log, int steps) {
  for (int i = 0; i < steps; ++i) {
    BatchView batch = model.Next(random);
    BatchHeader header = batch.header();
    auto marker = ParseTransactionMarker(batch);
    REQUIRE(marker.ok());
    AppendInfo info = store.Append(log, std::move(batch));
    model.Appended(header, *marker, info.base_offset);
  }
}

Task<absl::Status> Change(Disk* disk, std::string path, std::function<void(std::string&)> how) {
  auto bytes = co_await ReadWholeFile(*disk, path, 1 << 20);
  if (!bytes.ok()) co_return bytes.status();
  std::string text(bytes->view());
  how(text);
  co_return co_await ReplaceFile(*disk, path, text);
}

std::vector<std::string> IndexFiles(SimWorld& world, Env& env) {
  auto entries = world.Run(env, env.disk.List(kFolder));
  REQUIRE(entries.ok());
  std::vector<std::string> files;
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.ends_with(kTxnIndexSuffix) && entry.size > 0) {
      files.push_back(JoinPath(kFolder, entry.name));
    }
  }
  return files;
}

enum class End { kClean, kKill, kPowerLoss };

}  // namespace

TEST_CASE("Transactions: stable ends before what is undecided; aborted ones are found by range") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  SimRandom random(1);
  TransactionModel model;
  for (int i = 0; i < 8; ++i) {
    Work(random, model, store, log, 60);
    CheckAgainst(model, world, store, log, random);
  }
  CHECK(log.state().segments.size() > 5);
  CHECK(model.aborted_count() > 20);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Transactions: a marker that is not committed keeps its transaction unstable") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  store.Append(log, TransactionalBatch(5, 0, 0));
  store.Append(log, TransactionalBatch(6, 0, 0));
  store.Append(log, MarkerBatch(5, 0, /*commit=*/false));
  CHECK(log.first_unstable_offset() == Offset(0));
  log.OnCommitted(Offset(2));
  CHECK(log.first_unstable_offset() == Offset(0));
  log.OnCommitted(Offset(3));
  CHECK(log.first_unstable_offset() == Offset(1));
  store.Append(log, MarkerBatch(6, 0, /*commit=*/true));
  log.OnCommitted(Offset(4));
  CHECK_FALSE(log.first_unstable_offset().has_value());
  auto aborted = Aborted(world, store, log, Offset(0), Offset(4));
  REQUIRE(aborted.size() == 1);
  CHECK(aborted[0] == AbortedTransaction{ProducerId(5), Offset(0), Offset(2), Offset(1)});
  CHECK(Aborted(world, store, log, Offset(3), Offset(4)).empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Transactions: what is open and what was aborted survives a stop and any crash") {
  for (uint64_t seed = 10; seed < 10 + Rounds(30); ++seed) {
    INFO("seed " << seed);
    SimWorld world(seed);
    SimNode& node = world.AddNode("n1");
    SimRandom random(seed);
    TransactionModel model;
    for (int lap = 0; lap < 3; ++lap) {
      const End end = static_cast<End>(random.Below(3));
      INFO("lap " << lap << " end " << static_cast<int>(end));
      LogStoreOptions options;
      options.checkpoint_age = milliseconds(random.Between(5, 200));
      options.segment_write_age = milliseconds(random.Between(1, 50));
      TestStore store(world, node.Boot(), options);
      REQUIRE(store.Start().ok());
      Log& log = store.Open(1, SmallSegments());
      REQUIRE(log.end_offset() == model.end());
      CheckProducers(world, store, log);
      CheckAgainst(model, world, store, log, random);
      for (int i = 0; i < 6; ++i) {
        Work(random, model, store, log, 25);
        world.RunFor(milliseconds(random.Below(60)));
        if (random.Below(4) != 0) continue;
        const Offset cut = model.BatchAt(random);
        if (cut <= log.start_offset()) continue;
        REQUIRE(world.Run(store.env(), log.Truncate(cut)).ok());
        model.Cut(log.end_offset());
        CheckProducers(world, store, log);
      }
      store.WaitDurable(log);
      CheckAgainst(model, world, store, log, random);
      if (end == End::kClean) {
        REQUIRE(store.Stop().ok());
        node.Kill();
      } else {
        end == End::kKill ? node.Kill() : node.PowerLoss();
        (void)store.Stop();
      }
    }
  }
}

TEST_CASE("Transactions: a damaged index is seen and built anew from the markers") {
  const std::function<void(std::string&)> damages[] = {
      [](std::string& text) { text.resize(text.size() - 7); },
      [](std::string& text) { text[1] = 3; },  // A newer version.
      [](std::string& text) { StoreBig<int64_t>(reinterpret_cast<uint8_t*>(text.data()) + 18, 0); },
      [](std::string& text) { text += std::string(kAbortedEntryBytes, '\0'); },
  };
  uint64_t seed = 50;
  for (const auto& damage : damages) {
    for (bool clean : {true, false}) {
      INFO("seed " << ++seed);
      SimWorld world(seed);
      SimNode& node = world.AddNode("n1");
      SimRandom random(seed);
      TransactionModel model;
      {
        TestStore store(world, node.Boot(), {});
        REQUIRE(store.Start().ok());
        Log& log = store.Open(1, SmallSegments());
        Work(random, model, store, log, 300);
        REQUIRE(world.Run(store.env(), log.Flush()).ok());
        if (clean) REQUIRE(store.Stop().ok());
        node.Kill();
        if (!clean) (void)store.Stop();
      }
      Env& env = node.Boot();
      std::vector<std::string> files = IndexFiles(world, env);
      REQUIRE(files.size() > 3);
      for (const std::string& file : files) {
        REQUIRE(world.Run(env, Change(&env.disk, file, damage)).ok());
      }
      TestStore store(world, env, {});
      REQUIRE(store.Start().ok());
      CheckAgainst(model, world, store, store.Open(1, SmallSegments()), random);
      REQUIRE(store.Stop().ok());
    }
  }
}

TEST_CASE("Transactions: an open one outlives deletion of its first records") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  store.Append(log, TransactionalBatch(5, 0, 0));
  for (int i = 0; i < 100; ++i) store.Append(log, TestBatch({std::string(100, 'x')}));
  log.OnCommitted(log.end_offset());
  REQUIRE(world.Run(store.env(), log.AdvanceStart(Offset(60))).ok());
  CHECK(log.first_unstable_offset() == Offset(60));
  store.Append(log, MarkerBatch(5, 0, /*commit=*/false));
  log.OnCommitted(log.end_offset());
  CHECK_FALSE(log.first_unstable_offset().has_value());
  auto aborted = Aborted(world, store, log, Offset(60), log.end_offset());
  REQUIRE(aborted.size() == 1);
  CHECK(aborted[0].first == Offset(0));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Transactions: a marker that nobody can read is refused") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(5), ProducerEpoch(0), std::nullopt};
  options.transactional = options.control = true;
  BatchBuilder builder(options);
  builder.Append(Timestamp(1000), std::nullopt, {});
  BatchView batch = *builder.Build();
  auto admission = world.Run(store.env(), store->Admit(batch.bytes().size(), CancellationToken()));
  REQUIRE(admission.ok());
  auto info = log.Append(std::move(batch), LeaderEpoch(0), *admission);
  CHECK(KindOf(info.status()) == ErrorKind::kCorruptMessage);
  CHECK(log.end_offset() == Offset(0));
  *admission = Admission();  // What it holds is the store's.
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace

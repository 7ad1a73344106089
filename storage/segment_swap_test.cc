// A compaction that a crash ends, and whose new segment the disk has not kept: what it was made of
// is there again, as it was.
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_random.h"
#include "storage/compaction_test_tools.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/producer/transaction_test_tools.h"
#include "test/rounds.h"

namespace millrace {
namespace {

constexpr uint64_t kCrcCoversFrom = 21;  // Of a batch (record_batch.h).

enum class Damage {
  kNone,
  kFlipped,
  kEmpty,
  kCutBetweenBatches,
  kCutInsideBatch,
  kCutAtSource,  // Where the second one that it replaces begins.
};

// What is served of a log: all records, and whose are aborted.
struct Served {
  std::vector<CompactedRecord> records;
  std::vector<AbortedTransaction> aborted;
  friend bool operator==(const Served&, const Served&) = default;
};

Served ServedOf(SimWorld& world, TestStore& store, Log& log) {
  auto aborted = world.Run(store.env(), log.AbortedTransactions(Offset(0), log.end_offset()));
  REQUIRE(aborted.ok());
  return {ReadKeyed(world, store.env(), log), *aborted};
}

BatchView KeyedTransactionBatch(int64_t producer, int32_t sequence, std::string key,
                                std::string value) {
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(producer), ProducerEpoch(0), Sequence(sequence)};
  options.transactional = true;
  BatchBuilder builder(options);
  builder.Append(Timestamp(1000), BytesOf(key), BytesOf(value));
  return *builder.Build();
}

// Transactions of a few keys, every other one aborted, over many segments.
void Fill(TestStore& store, Log& log, SimRandom& random) {
  for (int32_t i = 0; i < 30; ++i) {
    const int64_t producer = 5 + i % 3;
    store.Append(log, KeyedTransactionBatch(producer, i / 3, std::to_string(random.Below(6)),
                                            std::string(random.Between(1, 300), 'v')));
    store.Append(log, MarkerBatch(producer, 0, /*commit=*/random.Coin()));
  }
}

// Where its last batch begins.
uint64_t LastBatchOf(const SimFileData& file) {
  uint64_t last = 0;
  for (uint64_t at = 0; at < file.size();) {
    std::array<uint8_t, 12> head = {};
    file.Read(at, head);
    last = at;
    at += kBatchLengthOverhead + static_cast<uint64_t>(LoadBig<int32_t>(head.data() + 8));
  }
  return last;
}

void Apply(Damage damage, SimRandom& random, SimFileData& file) {
  switch (damage) {
    case Damage::kNone:
      return;
    case Damage::kFlipped:
      // In what the CRC covers.
      return file.FlipBit(random.Between(LastBatchOf(file) + kCrcCoversFrom, file.size() - 1), 3);
    case Damage::kEmpty:
      return file.Resize(0);
    case Damage::kCutBetweenBatches:
      return file.Resize(LastBatchOf(file));
    case Damage::kCutAtSource:
      return;  // CutAtSource()
    case Damage::kCutInsideBatch:
      return file.Resize(file.size() - 1 - random.Below(kBatchHeaderBytes));
  }
}

// What a power loss may have left: of the logs that were renamed only the last one has kept the new
// name, and the new segment ends where the first of the others begins. False: the crash was later.
bool CutAtSource(SimWorld& world, SimNode& node) {
  std::vector<std::string> retired;
  std::string swap;
  for (const std::string& path : node.disk().Files()) {
    // Those go when all logs have gone.
    const bool is_log = path.ends_with(".log.deleted");
    const bool of_first = path.contains(SegmentFileName(Offset(0), ""));
    if (path.ends_with(kDeletedSuffix) && !is_log && !of_first) return false;
    if (is_log) retired.push_back("/" + path);
    if (path.ends_with(".log.swap")) swap = path;
  }
  if (swap.empty() || retired.size() < 2) return false;
  const auto name = [](const std::string& path) {
    return path.substr(0, path.size() - kDeletedSuffix.size());
  };
  const std::string file = name(retired.front());
  const Offset source = *ParseSegmentFileName(file.substr(file.rfind('/') + 1), kLogSuffix);
  SimFileData& data = *node.disk().Find(swap);
  for (uint64_t at = 0; at < data.size();) {
    std::array<uint8_t, 12> head = {};
    data.Read(at, head);
    if (LoadBig<int64_t>(head.data()) >= source.value()) {
      data.Resize(at);
      break;
    }
    at += kBatchLengthOverhead + static_cast<uint64_t>(LoadBig<int32_t>(head.data() + 8));
  }
  retired.pop_back();
  Env& env = node.Boot();
  for (const std::string& path : retired) {
    REQUIRE(world.Run(env, env.disk.Rename(path, name(path))).ok());
  }
  node.Kill();
  return true;
}

struct Crash {
  uint64_t operation;               // Of the compaction.
  std::optional<uint64_t> another;  // Of the start that finds the damage.
  bool power;
};

struct Result {
  bool ended = false;    // The compaction came to its end before the operation.
  bool decided = false;  // The new segment had got its name.
  bool retired = false;  // Some of the old ones had lost theirs.
};

void CheckFolder(SimNode& node) {
  for (const std::string& path : node.disk().Files()) {
    INFO(path);
    for (std::string_view suffix : {kSwapSuffix, kCleanedSuffix, kDeletedSuffix}) {
      CHECK_FALSE(path.ends_with(suffix));
    }
  }
}

Result RunDamaged(uint64_t seed, Crash crash, Damage damage) {
  INFO("seed " << seed << ", operation " << crash.operation << ", then "
               << crash.another.value_or(0) << (crash.power ? ", power" : ", kill") << ", damage "
               << static_cast<int>(damage));
  SimWorld world(seed);
  SimNode& node = world.AddNode("n1");
  SimRandom random = SimRandom::Derived(seed, "segment_swap");
  CommittedObserver observer;
  LogConfig config = CompactedConfig();
  config.segment_bytes = 900;
  LogConfig kept = config;
  kept.segment_bytes = 1 << 20;  // All become one.
  kept.file_delete_delay_ms = 0;
  Result result;
  Served before;
  {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, config);
    Fill(store, log, random);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(log.state().segments.size() > 5);
    log.OnCommitted(log.end_offset());
    before = ServedOf(world, store, log);
    log.set_config(kept);
    bool crashed = false;
    const uint64_t at = node.disk().operations() + crash.operation;
    node.disk().set_operation_hook([&](uint64_t number) {
      if (number == at) world.After(Duration(0), [&] { crashed = true; });
    });
    const Offset target = log.state().active().base;
    log.set_observer(&observer);
    REQUIRE(
        world.RunUntil([&] { return crashed || log.state().cleaned_to >= target; }, seconds(60)));
    result.ended = !crashed;
    node.disk().set_operation_hook(nullptr);
    Die(node, crash.power);
    (void)store.Stop();
  }
  for (const std::string& path : node.disk().Files()) {
    if (path.ends_with(".log.swap")) {
      result.decided = true;
      Apply(damage, random, *node.disk().Find(path));
    }
    result.retired = result.retired || path.ends_with(".log.deleted");
  }
  if (damage == Damage::kCutAtSource) {
    result.retired = CutAtSource(world, node);
    if (!result.retired) damage = Damage::kNone;
  }
  node.disk().SyncEverything();
  if (crash.another.has_value()) {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    const uint64_t at = node.disk().operations() + *crash.another;
    node.disk().set_operation_hook([&](uint64_t number) {
      if (number == at) world.After(Duration(0), [&] { Die(node, crash.power); });
    });
    (void)store.Start();
    node.disk().set_operation_hook(nullptr);
    Die(node, crash.power);
    (void)store.Stop();
  }
  TestStore store(world, node.Boot(), CleanerStoreOptions());
  absl::Status started = store.Start();
  INFO(started.ToString());
  REQUIRE(started.ok());
  Log& log = store.Open(0, kept);
  log.OnCommitted(log.end_offset());
  CheckFolder(node);
  if (result.decided && damage != Damage::kNone) {
    CHECK(ServedOf(world, store, log) == before);
  }
  log.set_observer(&observer);
  REQUIRE(world.RunUntil([&] { return log.state().cleaned_to >= log.state().active().base; },
                         seconds(60)));
  CHECK(log.state().segments.size() == 2);
  CHECK(log.end_offset() == Offset(60));
  log.set_observer(nullptr);
  REQUIRE(store.Stop().ok());
  node.Kill();
  return result;
}

constexpr Damage kDamages[] = {Damage::kFlipped, Damage::kEmpty, Damage::kCutBetweenBatches,
                               Damage::kCutInsideBatch};

// A crash at each of them; under a sanitizer at every fifth.
constexpr uint64_t kOperations = 5 / Rounds(5);

}  // namespace

TEST_CASE("SegmentSwap: what a damaged new segment was made of is kept, wherever the crash was") {
  for (bool power : {false, true}) {
    for (Damage damage : kDamages) {
      int with_retired = 0;
      for (uint64_t operation = 1;; operation += kOperations) {
        const Result result = RunDamaged(1, {operation, std::nullopt, power}, damage);
        with_retired += result.decided && result.retired ? 1 : 0;
        if (result.ended) break;
      }
      CHECK(with_retired > Rounds(5));
    }
  }
}

TEST_CASE(
    "SegmentSwap: one cut off where a source begins is damaged though a later one alone was "
    "renamed") {
  int renamed = 0;
  for (uint64_t operation = 1;; ++operation) {
    const Result result = RunDamaged(1, {operation, std::nullopt, true}, Damage::kCutAtSource);
    renamed += result.retired ? 1 : 0;
    if (result.ended) break;
  }
  CHECK(renamed > 0);
}

TEST_CASE("SegmentSwap: a start that takes a damaged one back may be ended anywhere, too") {
  SimRandom random(7);
  int with_retired = 0;
  for (uint64_t seed = 2; seed < Rounds(300); ++seed) {
    const Crash crash{random.Between(40, 120), random.Between(1, 120), random.Coin()};
    const Result result = RunDamaged(seed, crash, kDamages[random.Below(std::size(kDamages))]);
    with_retired += result.decided && result.retired ? 1 : 0;
  }
  CHECK(with_retired > Rounds(50));
}

TEST_CASE("SegmentSwap: a new segment that is whole is put in place, wherever the crash was") {
  for (bool power : {false, true}) {
    for (uint64_t operation = 1;; operation += kOperations) {
      if (RunDamaged(1, {operation, std::nullopt, power}, Damage::kNone).ended) break;
    }
  }
}

}  // namespace millrace

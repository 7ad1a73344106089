// A compaction that ends at any of its file operations, by kill -9 or by power loss: the next start
// finds the old segments or the new one, never both, and every key's latest value.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "storage/compaction_test_tools.h"
#include "storage/log_state.h"
#include "storage/log_verify.h"
#include "test/rounds.h"

namespace millrace {
namespace {

constexpr ProducerId kProducer{5};

struct Written {
  std::vector<CompactedRecord> records;
  std::map<std::string, CompactedRecord> latest;

  void Add(Offset base, const std::vector<KeyValue>& batch) {
    for (size_t i = 0; i < batch.size(); ++i) {
      const CompactedRecord record{base + OffsetDelta(static_cast<int64_t>(i)), batch[i].first,
                                   batch[i].second};
      records.push_back(record);
      latest.insert_or_assign(record.key, record);
    }
  }
};

// `tombstones_due`: those may have gone.
void CheckLog(SimWorld& world, Env& env, Log& log, const Written& written, bool tombstones_due) {
  const std::vector<CompactedRecord> found = ReadKeyed(world, env, log);
  std::map<std::string, CompactedRecord> latest;
  Offset before(-1);
  for (const CompactedRecord& record : found) {
    REQUIRE(record.offset > before);  // Never from two files.
    before = record.offset;
    REQUIRE(record == written.records[static_cast<size_t>(record.offset.value())]);
    latest.insert_or_assign(record.key, record);
  }
  for (const auto& [key, last] : written.latest) {
    INFO("key " << key);
    auto at = latest.find(key);
    if (at == latest.end()) {
      REQUIRE(tombstones_due);
      REQUIRE_FALSE(last.value.has_value());
      continue;
    }
    REQUIRE(at->second == last);  // No older value has come back.
  }
  REQUIRE(log.start_offset() == Offset(0));
  REQUIRE(log.end_offset() == Offset(static_cast<int64_t>(written.records.size())));
  const ProducerEntry* producer = log.producers().Find(kProducer);
  REQUIRE(producer != nullptr);
  REQUIRE(producer->batches().back().last_offset == log.end_offset() - OffsetDelta(1));
}

Task<absl::Status> VerifyFiles(Disk* disk, std::string folder, size_t* others) {
  auto entries = co_await disk->List(folder);
  if (!entries.ok()) co_return entries.status();
  Offset end(0);
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.ends_with(".cleaned") || entry.name.ends_with(".swap")) ++*others;
    if (!entry.name.ends_with(".log")) continue;
    auto report = co_await VerifySegment(*disk, folder + "/" + entry.name, end);
    if (!report.ok()) co_return report.status();
    if (report->findings.count() > 0) co_return absl::DataLossError(report->findings.list()[0]);
    end = report->end;
  }
  co_return absl::OkStatus();
}

void CheckFiles(SimWorld& world, Env& env, Log& log) {
  size_t others = 0;
  absl::Status sound = world.Run(env, VerifyFiles(&env.disk, log.state().path(), &others));
  INFO(sound.ToString());
  REQUIRE(sound.ok());
  REQUIRE(others == 0);
}

Written Fill(TestStore& store, Log& log, SimRandom& random, Written written, int batches) {
  int32_t sequence = static_cast<int32_t>(written.records.size());
  for (int i = 0; i < batches; ++i) {
    std::vector<KeyValue> batch;
    for (uint64_t j = random.Between(1, 4); j > 0; --j) {
      std::optional<std::string> value(std::string(random.Between(1, 150), 'v'));
      if (random.Below(4) == 0) value.reset();
      batch.emplace_back(std::to_string(random.Below(12)), value);
    }
    const BatchProducer producer{kProducer, ProducerEpoch(0), Sequence(sequence)};
    const Compression codec = random.Coin() ? Compression::kLz4 : Compression::kNone;
    const AppendInfo info =
        store.Append(log, KeyedBatch(batch, store.env().clock.Now(), codec, producer));
    written.Add(info.base_offset, batch);
    sequence += static_cast<int32_t>(batch.size());
  }
  return written;
}

// True: the compaction came to its end before the operation.
bool RunCrash(uint64_t seed, uint64_t operation, bool power) {
  INFO("seed " << seed << ", operation " << operation << (power ? ", power" : ", kill"));
  SimWorld world(seed);
  SimNode& node = world.AddNode("n1");
  SimRandom random = SimRandom::Derived(seed, "compaction_crash");
  CommittedObserver observer;
  Written written;
  LogConfig config = CompactedConfig();
  config.segment_bytes = 900;
  LogConfig kept = config;
  kept.segment_bytes = 4000;  // Several become one.
  bool ended = false;
  {
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    REQUIRE(store.Start().ok());
    Log& log = store.Open(0, config);
    written = Fill(store, log, random, written, 60);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
    REQUIRE(log.state().segments.size() > 5);
    log.set_config(kept);
    bool crash = false;
    const uint64_t at = node.disk().operations() + operation;
    node.disk().set_operation_hook([&](uint64_t number) {
      if (number == at) world.After(Duration(0), [&] { crash = true; });
    });
    const Offset target = log.state().active().base;
    log.set_observer(&observer);
    REQUIRE(world.RunUntil([&] { return crash || log.state().cleaned_to >= target; }, seconds(60)));
    ended = !crash;
    node.disk().set_operation_hook(nullptr);
    power ? node.PowerLoss() : node.Kill();
    (void)store.Stop();
  }
  for (int life = 0; life < 2; ++life) {
    INFO("life " << life);
    TestStore store(world, node.Boot(), CleanerStoreOptions());
    absl::Status started = store.Start();
    INFO(started.ToString());
    REQUIRE(started.ok());
    Log& log = store.Open(0, kept);
    CheckLog(world, store.env(), log, written, /*tombstones_due=*/life > 0);
    CheckFiles(world, store.env(), log);
    if (life > 0) {
      world.RunFor(seconds(11));
      written = Fill(store, log, random, written, 20);
      REQUIRE(world.Run(store.env(), log.Flush()).ok());
    }
    log.set_observer(&observer);
    REQUIRE(world.RunUntil([&] { return log.state().cleaned_to >= log.state().active().base; },
                           seconds(60)));
    CheckLog(world, store.env(), log, written, /*tombstones_due=*/life > 0);
    CheckFiles(world, store.env(), log);
    log.set_observer(nullptr);
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  return ended;
}

}  // namespace

TEST_CASE("LogCompaction: a crash at any file operation leaves the old or the new, never both") {
  for (bool power : {false, true}) {
    uint64_t operation = 1;
    while (!RunCrash(/*seed=*/1, operation, power)) ++operation;
    CHECK(operation > 60);
  }
}

TEST_CASE("LogCompaction: crashes at random, with other logs and other orders of the disk") {
  SimRandom random(99);
  for (uint64_t seed = 2; seed < Rounds(60); ++seed) {
    (void)RunCrash(seed, random.Between(1, 150), random.Coin());
  }
}

}  // namespace millrace

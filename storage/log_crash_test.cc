// Logs under kill -9 and power loss at any moment, against a model: seeds. The properties are those
// of RELIABILITY §A: P2 (durable survives power loss), P3 (one value per offset), P4 (the
// acknowledged offset is the offset read), P13 (the start is monotonic), P14 (no duplicate per
// producer and sequence).
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"
#include "test/rounds.h"

namespace millrace {
namespace {

constexpr int kLogs = 3;  // The last one is on page-cache durability.
const ProducerId kProducer(77);

struct ModelBatch {
  Offset base;
  std::vector<std::string> values;
  std::optional<Sequence> sequence;
  Timestamp first{0};  // Of its records.
  Offset next() const { return base + OffsetDelta(static_cast<int64_t>(values.size())); }
};

// What a log may hold after a crash.
struct ModelLog {
  std::vector<ModelBatch> batches;  // From offset 0 (or the last full truncation) on.
  Offset start{0};                  // Promised.
  Offset start_asked{0};            // Asked for, perhaps not promised.
  Offset durable{0};                // Promised by OnDurable().
  std::optional<Offset> cutting;    // A truncation under way may or may not happen.
  int32_t next_sequence = 0;

  Offset end() const { return batches.empty() ? Offset(0) : batches.back().next(); }
  // Where a truncation to `offset` ends: batches that straddle it go whole.
  Offset CutPoint(Offset offset) const {
    for (const ModelBatch& batch : batches) {
      if (batch.next() > offset) return std::min(batch.base, offset);
    }
    return offset;
  }
  void Cut(Offset offset) {
    while (!batches.empty() && batches.back().next() > offset) batches.pop_back();
    durable = std::min(durable, end());
    next_sequence = 0;
    for (const ModelBatch& batch : batches) {
      if (!batch.sequence) continue;
      next_sequence = batch.sequence->value() + static_cast<int32_t>(batch.values.size());
    }
  }
};

LogConfig ConfigOf(int number) {
  LogConfig config;
  config.segment_bytes = 6000;
  config.index_interval_bytes = 500;
  config.durability = number == kLogs - 1 ? Durability::kPageCache : Durability::kDisk;
  // The first keeps what was asked for and nothing below; the others lose by size or by time, too.
  config.retention_ms = number == 1 ? 150 : -1;
  config.retention_bytes = number == 2 ? 20'000 : -1;
  config.file_delete_delay_ms = 20;
  return config;
}

LogStoreOptions Options(SimRandom& random) {
  LogStoreOptions options;
  options.segment_write_age = milliseconds(random.Between(5, 60));
  options.segment_write_bytes = random.Between(500, 6000);
  options.checkpoint_age = milliseconds(random.Between(20, 200));
  options.tail_cache_bytes_max = random.Between(0, 20'000);
  options.pending_bytes_max = 200'000;
  options.cold_read_bytes = random.Between(100, 4000);
  options.copy_bytes_below = random.Between(0, 2000);
  options.open_files_max = 8;
  options.retention_initial_delay = milliseconds(random.Between(1, 30));
  options.retention_check_interval = milliseconds(random.Between(5, 60));
  return options;
}

// Producer state is what the surviving batches say, also those below the start (rule 1.41): by
// whatever way of snapshots, checkpoint, scan and replay it came back.
void CheckProducers(const Log& log, const ModelLog& expected) {
  ProducerState recomputed;
  for (const ModelBatch& batch : expected.batches) {
    if (!batch.sequence) continue;
    BatchView view = TestBatch(batch.values, batch.first,
                               BatchProducer{kProducer, ProducerEpoch(0), *batch.sequence});
    view.SetBaseOffset(batch.base);
    recomputed.Apply(view.header(), Timestamp(0));
  }
  REQUIRE(log.producers().entries() == recomputed.entries());
}

// Does things to the logs until the store fails, and keeps the model in step.
class Workload final : public LogObserver {
 public:
  Workload(Env& env, LogStore& store, std::map<int, ModelLog>& model, uint64_t seed)
      : env_(env), store_(store), model_(model), random_(seed) {
    for (int i = 0; i < kLogs; ++i) Find(i).set_observer(this);
  }

  Log& Find(int number) { return *store_.Find(TestPartition(number)); }

  void OnDurable(Log& log, Offset durable) override {
    for (int i = 0; i < kLogs; ++i) {
      if (log.id() == TestPartition(i)) model_[i].durable = std::max(model_[i].durable, durable);
    }
  }
  void OnFailed(Log&, absl::Status) override { failed_ = true; }
  // Retention decides by itself how far it goes, but never beyond what we know to be committed.
  Offset CommittedEnd(const Log& log) const override {
    for (int i = 0; i < kLogs; ++i) {
      if (log.id() != TestPartition(i)) continue;
      ModelLog& model = model_[i];
      Offset bound = log.durable_end();
      if (i != 1) {  // The rest may be truncated.
        bound = log.start_offset() +
                OffsetDelta(std::max<int64_t>((bound - log.start_offset()).value(), 0) * 3 / 4);
      }
      if (model.cutting) bound = std::min(bound, *model.cutting);
      if (i != 0) model.start_asked = std::max(model.start_asked, bound);
      return bound;
    }
    return Offset(0);
  }

  static Task<void> Run(Workload* self, int steps) {
    for (int step = 0; step < steps && !self->failed_; ++step) {
      const int number = static_cast<int>(self->random_.Below(kLogs));
      bool ok = true;
      switch (self->random_.Below(12)) {
        case 0:
          ok = co_await self->Truncate(number);
          break;
        case 1:
          ok = co_await self->MoveStart(number);
          break;
        case 2:
          ok = (co_await self->Find(number).Flush()).ok();
          break;
        case 3:
          co_await Sleep(self->env_.reactor, microseconds(self->random_.Below(30'000)));
          break;
        case 4:
        case 5:
          ok = co_await self->Read(number);
          break;
        default:
          ok = co_await self->Append(number);
          break;
      }
      if (!ok) break;
      self->SeeStarts();
    }
    for (int i = 0; i < kLogs; ++i) self->Find(i).set_observer(nullptr);
  }

  uint64_t reads = 0;
  uint64_t starts_moved = 0;

 private:
  // What the log says of its start is a promise, whoever moved it.
  void SeeStarts() {
    for (int i = 0; i < kLogs; ++i) {
      const Offset start = Find(i).start_offset();
      REQUIRE(start >= model_[i].start);
      REQUIRE(start <= model_[i].start_asked);
      if (start > model_[i].start) ++starts_moved;
      model_[i].start = start;
    }
  }

  Task<bool> Append(int number) {
    std::vector<std::string> values;
    const size_t count = random_.Between(1, 8);
    // Rarely a batch that no journal entry can hold (P2 then rests on the segment's own sync).
    const size_t bytes = random_.Below(100) == 0 ? 1'100'000 / count : random_.Between(1, 400);
    for (size_t i = 0; i < count; ++i) {
      std::string value = fmt::format("{}:{}:", number, next_value_++);
      value.resize(std::max(value.size(), bytes), static_cast<char>('a' + next_value_ % 26));
      values.push_back(value);
    }
    std::optional<BatchProducer> producer;
    if (random_.Coin()) {
      producer = BatchProducer{kProducer, ProducerEpoch(0), Sequence(model_[number].next_sequence)};
    }
    const Timestamp first = env_.clock.Now();
    BatchView batch = TestBatch(values, first, producer);
    auto admission = co_await store_.Admit(batch.bytes().size(), CancellationToken());
    if (!admission.ok()) co_return false;
    Log& log = Find(number);
    if (producer) {
      auto check = log.producers().Check(batch.header());
      REQUIRE(check.ok());
      REQUIRE_FALSE(check->has_value());
    }
    auto info = log.Append(std::move(batch), LeaderEpoch(0), *admission);
    if (!info.ok()) co_return false;
    ModelLog& model = model_[number];
    REQUIRE(info->base_offset == std::max(model.end(), model.start));
    model.batches.push_back({info->base_offset, values, std::nullopt, first});
    if (producer) {
      model.batches.back().sequence = producer->base_sequence;
      model.next_sequence += static_cast<int32_t>(count);
    }
    co_return true;
  }

  Task<bool> Truncate(int number) {
    ModelLog& model = model_[number];
    if (model.end() <= model.start) co_return true;
    const Offset wanted(
        static_cast<int64_t>(random_.Between(static_cast<uint64_t>(model.start.value()) + 1,
                                             static_cast<uint64_t>(model.end().value()))));
    const Offset cut = model.CutPoint(wanted);
    // Would empty the log, or what retention is removing now: another story.
    if (cut <= model.start_asked) co_return true;
    model.cutting = cut;
    if (!(co_await Find(number).Truncate(wanted)).ok()) co_return false;
    model.cutting.reset();
    model.Cut(cut);
    REQUIRE(Find(number).end_offset() == cut);
    CheckProducers(Find(number), model);
    co_return true;
  }

  Task<bool> MoveStart(int number) {
    ModelLog& model = model_[number];
    if (model.end() <= model.start) co_return true;
    const Offset wanted(static_cast<int64_t>(
        random_.Between(static_cast<uint64_t>(model.start.value()),
                        static_cast<uint64_t>(model.end().value() + model.start.value()) / 2)));
    model.start_asked = std::max(model.start_asked, wanted);
    if (!(co_await Find(number).AdvanceStart(wanted)).ok()) co_return false;
    model.start = std::max(model.start, wanted);
    co_return true;
  }

  Task<bool> Read(int number) {
    Log& log = Find(number);
    if (log.end_offset() == log.start_offset()) co_return true;
    const Offset from(
        static_cast<int64_t>(random_.Between(static_cast<uint64_t>(log.start_offset().value()),
                                             static_cast<uint64_t>(log.end_offset().value()) - 1)));
    const size_t bytes_max = random_.Between(1, 5000);
    auto read = co_await log.Read(from, {bytes_max, log.end_offset(), true});
    if (!read.ok()) {
      // Of all failures only the process's death is expected here.
      if (absl::IsOutOfRange(read.status()) && from < log.start_offset()) co_return true;
      if (!absl::IsCancelled(read.status())) FAIL(read.status().ToString());
      co_return false;
    }
    std::vector<ReadRecord> records;
    AppendRecords(read->batches, from, records);
    REQUIRE_FALSE(records.empty());
    REQUIRE(records.front().offset == from);
    CheckRecords(model_[number], records);
    ++reads;
    co_return true;
  }

 public:
  static void CheckRecords(const ModelLog& model, const std::vector<ReadRecord>& records) {
    auto batch = model.batches.begin();
    for (const ReadRecord& record : records) {
      while (batch != model.batches.end() && batch->next() <= record.offset) ++batch;
      REQUIRE(batch != model.batches.end());
      const size_t index = static_cast<size_t>((record.offset - batch->base).value());
      REQUIRE(batch->values[index] == record.value);
    }
  }

 private:
  Env& env_;
  LogStore& store_;
  std::map<int, ModelLog>& model_;  // Mutable by asking: retention asks how far it may go.
  SimRandom random_;
  uint64_t next_value_ = 0;
  bool failed_ = false;
};

// After a restart: everything promised is there, nothing else, and the model becomes what is there.
void CheckRecovered(TestStore& store, std::map<int, ModelLog>& model, bool power_lost) {
  for (int number = 0; number < kLogs; ++number) {
    INFO("log " << number);
    Log& log = *store->Find(TestPartition(number));
    ModelLog& expected = model[number];
    INFO(fmt::format("[{}, {}); promised start {} (asked {}), durable {}, cutting {}",
                     log.start_offset(), log.end_offset(), expected.start, expected.start_asked,
                     expected.durable, expected.cutting.value_or(Offset(-1))));
    REQUIRE(log.start_offset() >= expected.start);
    REQUIRE(log.start_offset() <= std::max(expected.start_asked, expected.start));
    REQUIRE(log.durable_end() == log.end_offset());
    if (ConfigOf(number).durability == Durability::kDisk) {
      Offset promised = expected.durable;
      if (expected.cutting) promised = std::min(promised, *expected.cutting);
      REQUIRE(log.end_offset() >= promised);
    }
    // The end is the end of some batch of the model, and everything below it is the model's.
    bool boundary = log.end_offset() <= log.start_offset();
    for (const ModelBatch& batch : expected.batches) {
      boundary = boundary || batch.next() == log.end_offset();
    }
    REQUIRE(boundary);
    std::vector<ReadRecord> records = store.ReadAll(log, 3000);
    Workload::CheckRecords(expected, records);
    REQUIRE(static_cast<int64_t>(records.size()) ==
            (log.end_offset() - log.start_offset()).value());
    (void)power_lost;

    expected.Cut(log.end_offset());
    expected.start = log.start_offset();
    expected.start_asked = expected.start;
    expected.cutting.reset();
    if (ConfigOf(number).durability == Durability::kPageCache &&
        log.end_offset() == log.start_offset() && log.producers().empty()) {
      // All that lay before the promised start was lost, and its producers with it.
      for (ModelBatch& batch : expected.batches) batch.sequence.reset();
    }
    CheckProducers(log, expected);
    // Every one of the last five batches of the producer is known as the duplicate that it is.
    int checked = 0;
    for (auto batch = expected.batches.rbegin(); batch != expected.batches.rend() && checked < 5;
         ++batch) {
      if (!batch->sequence) continue;
      if (batch->base < log.start_offset()) break;
      BatchView again = TestBatch(batch->values, Timestamp(1000),
                                  BatchProducer{kProducer, ProducerEpoch(0), *batch->sequence});
      auto duplicate = log.producers().Check(again.header());
      if (!duplicate.ok()) FAIL(duplicate.status().ToString());
      REQUIRE(duplicate->has_value());
      REQUIRE((*duplicate)->base_offset == batch->base);
      ++checked;
    }
  }
}

void RunSeed(uint64_t seed, uint64_t& reads, uint64_t& starts_moved) {
  INFO("seed " << seed);
  SimWorld world(seed);
  SimNode& node = world.AddNode("n1");
  SimRandom random = SimRandom::Derived(seed, "log_crash");
  std::map<int, ModelLog> model;
  bool power_lost = false;
  for (int lap = 0; lap < 4; ++lap) {
    INFO("lap " << lap);
    TestStore store(world, node.Boot(), Options(random));
    absl::Status started = store.Start();
    INFO(started.ToString());
    REQUIRE(started.ok());
    if (lap == 0) {
      for (int i = 0; i < kLogs; ++i) store.Open(i, ConfigOf(i));
    } else {
      CheckRecovered(store, model, power_lost);
      for (int i = 0; i < kLogs; ++i) store.Open(i, ConfigOf(i));
    }
    Workload workload(store.env(), *store, model, random.Next());
    const uint64_t how = random.Below(5);
    power_lost = how >= 2 && how < 4;
    if (how < 4) {
      const Duration when = microseconds(random.Between(1000, 400'000));
      world.After(when, [&node, lost = power_lost] { lost ? node.PowerLoss() : node.Kill(); });
    }
    world.Run(store.env(), Workload::Run(&workload, 150));
    reads += workload.reads;
    starts_moved += workload.starts_moved;
    if (how < 4) {
      world.RunFor(milliseconds(500));  // The crash happens now if it has not.
      (void)store.Stop();
    } else {
      absl::Status stopped = store.Stop();
      INFO(stopped.ToString());
      REQUIRE(stopped.ok());
      node.Kill();
    }
  }
}

}  // namespace

TEST_CASE("Log: a crash at any moment loses nothing durable, and nothing comes back changed") {
  uint64_t reads = 0;
  uint64_t starts_moved = 0;
  for (uint64_t seed = 0; seed < Rounds(60); ++seed) RunSeed(seed, reads, starts_moved);
  CHECK(reads > Rounds(1000));
  CHECK(starts_moved > Rounds(200));
}

}  // namespace millrace

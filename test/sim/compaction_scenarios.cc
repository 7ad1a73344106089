// Compaction under crashes: records with keys and tombstones are appended, logs are compacted all
// the while, and the machine dies at any moment. Whatever happens: every record that is there is
// what was appended at that offset; every key's latest record is there (P13), a tombstone at least until
// delete.retention.ms after it was written; and what was seen to be gone stays gone.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/compaction/record_filter.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"
#include "storage/log_store.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {
namespace {

constexpr const char* kFolder = "/data";
constexpr const char* kTopic = "compacted";
constexpr LeaderEpoch kEpoch{1};

struct Entry {
  std::string key;
  std::optional<std::string> value;
  Timestamp at;
  uint64_t gone = 0;  // When a read has not found it, counted in reads; 0 while none has.
};

// What one log was told, and may hold.
struct Model {
  std::vector<Entry> entries;  // By offset.
  Offset durable{0};
  uint64_t reads = 0;  // Begun or ended.

  Offset end() const { return Offset(static_cast<int64_t>(entries.size())); }
};

struct Plan {
  int32_t partitions;
  int records_max;
  size_t value_bytes_max;
  uint64_t keys;
  Duration think_max;
  uint64_t sent_max;
  LogConfig log;
  LogStoreOptions store;
  bool drops_tombstones_early = false;  // A planted bug.

  // What the logs are told.
  LogConfig Told() const {
    LogConfig told = log;
    if (drops_tombstones_early) told.delete_retention_ms = 0;
    return told;
  }
};

using Violations = std::vector<std::string>;

// A set of records that a read has found, below `end`.
struct Found {
  std::map<Offset, std::pair<std::string, std::optional<std::string>>> records;
  Offset end{0};
  uint64_t begun = 0;
};

// Compares a read of the whole log with the model. What was appended while it read may be why
// something is missing.
void Compare(const Found& found, Model& model, int64_t delete_retention_ms, Timestamp now,
             const std::string& where, Violations* violations) {
  for (const auto& [offset, record] : found.records) {
    Entry& entry = model.entries[static_cast<size_t>(offset.value())];
    if (entry.key != record.first || entry.value != record.second) {
      violations->push_back(fmt::format("{}: another record at {}", where, offset));
    }
    // Unless another read, begun later, has found it gone meanwhile.
    if (entry.gone > 0 && entry.gone < found.begun) {
      violations->push_back(fmt::format("{}: the record at {} has come back", where, offset));
    }
  }
  ++model.reads;
  std::map<std::string, Offset> latest;  // Of all that was appended by now.
  std::map<std::string, Offset> seen;
  for (size_t i = 0; i < model.entries.size(); ++i) {
    const Offset offset(static_cast<int64_t>(i));
    latest.insert_or_assign(model.entries[i].key, offset);
    if (offset >= found.end) continue;
    if (found.records.contains(offset)) {
      seen.insert_or_assign(model.entries[i].key, offset);
    } else {
      if (model.entries[i].gone == 0) model.entries[i].gone = model.reads;
    }
  }
  for (const auto& [key, offset] : latest) {
    if (offset >= found.end || found.records.contains(offset)) continue;
    const Entry& entry = model.entries[static_cast<size_t>(offset.value())];
    if (entry.value.has_value()) {
      violations->push_back(
          fmt::format("{}: the latest value of {} at {} is lost", where, key, offset));
    } else if (now.ms() < entry.at.ms() + delete_retention_ms) {
      violations->push_back(fmt::format("{}: the tombstone of {} at {} went {} ms early", where,
                                        key, offset,
                                        entry.at.ms() + delete_retention_ms - now.ms()));
    } else if (seen.contains(key)) {
      violations->push_back(fmt::format("{}: {} was deleted at {} and is back with {}", where, key,
                                        offset, seen.at(key)));
    }
  }
}

class CompactionProgram final : public SimProgram, private LogObserver {
 public:
  CompactionProgram(SimProcess& process, const Plan& plan, std::map<int32_t, Model>& models,
                    Violations& violations, uint64_t& cleaned)
      : env_(process.env()),
        plan_(plan),
        models_(models),
        violations_(violations),
        cleaned_(cleaned),
        scope_(env_.reactor) {}

  Task<absl::Status> Start() override;
  Task<void> Stop() override;
  // Reads every log whole and compares. `first`: after a start, when nothing is going on.
  Task<absl::Status> CheckAll(bool first);

 private:
  void OnDurable(Log& log, Offset durable) override {
    scope_.Spawn(Note(log.partition().value(), durable));
  }
  // In a later turn, which a process that has died in this one does not have: it promises nothing.
  Task<void> Note(int32_t partition, Offset durable) {
    if (scope_.stopping()) co_return;
    Model& model = models_[partition];
    model.durable = std::max(model.durable, durable);
  }
  void OnFailed(Log&, absl::Status) override {}
  Task<void> Write(int32_t partition);
  Task<absl::Status> AppendOne(int32_t partition);
  Task<void> Read(int32_t partition);
  Task<absl::Status> ReadWhole(int32_t partition, Found* found);
  Log* Find(int32_t partition) { return store_->Find({TopicId(7, 7), PartitionId(partition)}); }

  Env& env_;
  const Plan& plan_;
  std::map<int32_t, Model>& models_;
  Violations& violations_;
  uint64_t& cleaned_;
  TaskScope scope_;
  std::unique_ptr<LogKvStore> kv_;
  std::unique_ptr<LogStore> store_;
};

Task<absl::Status> CompactionProgram::Start() {
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.CreateDirectories(kFolder));
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.SyncDirectory("/"));
  auto meta = co_await ReadMetaProperties(env_.disk, kFolder);
  MR_CO_RETURN_IF_ERROR(meta.status());
  if (!meta->has_value()) {
    MetaProperties properties;
    properties.cluster_id = "simulated";
    properties.node_id = BrokerId(1);
    properties.directory_id = env_.random.NextUuid();
    MR_CO_RETURN_IF_ERROR(co_await FormatLogDirectory(env_.disk, kFolder, properties));
  }
  MR_CO_ASSIGN_OR_RETURN(kv_, co_await LogKvStore::Open(env_, std::string(kFolder) + "/kv",
                                                        {.compact_bytes_min = 4096}));
  LogStoreOptions options = plan_.store;
  options.log_dirs = {kFolder};
  store_ = std::make_unique<LogStore>(env_, *kv_, options);
  MR_CO_RETURN_IF_ERROR(co_await store_->Start());
  for (int32_t i = 0; i < plan_.partitions; ++i) {
    MR_CO_ASSIGN_OR_RETURN(Log * log, co_await store_->Open({TopicId(7, 7), PartitionId(i)}, kTopic,
                                                            plan_.Told(), /*create=*/true));
    if (!log->latest_epoch().has_value()) log->BeginEpoch(kEpoch);
  }
  MR_CO_RETURN_IF_ERROR(co_await CheckAll(/*first=*/true));
  for (int32_t i = 0; i < plan_.partitions; ++i) {
    Find(i)->set_observer(this);
    scope_.Spawn(Write(i));
    scope_.Spawn(Read(i));
  }
  co_return absl::OkStatus();
}

Task<void> CompactionProgram::Stop() {
  co_await scope_.Stop();
  if (store_ != nullptr) {
    for (Log* log : store_->Logs()) log->set_observer(nullptr);
    (void)co_await store_->Stop();
  }
  store_.reset();
  if (kv_ != nullptr) (void)co_await kv_->Close();
  kv_.reset();
}

Task<void> CompactionProgram::Write(int32_t partition) {
  while (!scope_.stopping()) {
    if (models_[partition].entries.size() < plan_.sent_max) {
      if (!(co_await AppendOne(partition)).ok()) co_return;
    }
    co_await Sleep(env_.reactor,
                   Duration(static_cast<int64_t>(
                       env_.random.Below(static_cast<uint64_t>(plan_.think_max.count()) + 1))),
                   scope_.token());
  }
}

Task<absl::Status> CompactionProgram::AppendOne(int32_t partition) {
  std::vector<Entry> entries;
  const uint64_t records = 1 + env_.random.Below(static_cast<uint64_t>(plan_.records_max));
  const Timestamp now = env_.clock.Now();
  for (uint64_t i = 0; i < records; ++i) {
    Entry entry{std::to_string(env_.random.Below(plan_.keys)), std::nullopt, now};
    if (env_.random.Below(4) != 0) {
      entry.value = std::to_string(env_.random.Next()) +
                    std::string(env_.random.Below(plan_.value_bytes_max + 1), '.');
    }
    entries.push_back(std::move(entry));
  }
  BatchBuilderOptions options;
  if (env_.random.Below(2) == 0) options.compression = Compression::kLz4;
  BatchBuilder builder(options);
  const auto bytes = [](const std::string& text) {
    return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  for (const Entry& entry : entries) {
    std::optional<std::span<const uint8_t>> value;
    if (entry.value) value = bytes(*entry.value);
    builder.Append(now, bytes(entry.key), value);
  }
  MR_CO_ASSIGN_OR_RETURN(BatchView view, builder.Build());
  MR_CO_ASSIGN_OR_RETURN(Admission admission,
                         co_await store_->Admit(view.bytes().size(), scope_.token()));
  Model& model = models_[partition];
  MR_CO_ASSIGN_OR_RETURN(AppendInfo info,
                         Find(partition)->Append(std::move(view), kEpoch, admission));
  if (info.base_offset != model.end()) {
    violations_.push_back(fmt::format("appended at {}, not at {}", info.base_offset, model.end()));
    co_return absl::InternalError("offsets");
  }
  for (Entry& entry : entries) model.entries.push_back(std::move(entry));
  co_return absl::OkStatus();
}

Task<absl::Status> CompactionProgram::ReadWhole(int32_t partition, Found* found) {
  Log* log = Find(partition);
  found->end = log->end_offset();
  found->begun = ++models_[partition].reads;
  Offset next = log->start_offset();
  BatchUnpacker unpacker;
  while (next < found->end) {
    MR_CO_ASSIGN_OR_RETURN(LogRead read,
                           co_await log->Read(next, {.bytes_max = 1 + env_.random.Below(32 << 10),
                                                     .upper_bound = found->end,
                                                     .at_least_one_batch = true}));
    if (read.next_offset <= next) co_return absl::InternalError("a read does not go on");
    next = read.next_offset;
    BatchReader reader(read.batches.Flatten());
    for (;;) {
      MR_CO_ASSIGN_OR_RETURN(std::optional<BatchView> batch, reader.Next());
      if (!batch.has_value()) break;
      MR_CO_RETURN_IF_ERROR(batch->CheckCrc());
      MR_CO_ASSIGN_OR_RETURN(std::span<const uint8_t> records, unpacker.Unpack(*batch));
      RecordReader inside(records, batch->header().record_count);
      for (RecordView record; inside.Next(record);) {
        std::optional<std::string> value;
        if (record.value) value = std::string(record.value->begin(), record.value->end());
        const bool added =
            found->records
                .try_emplace(batch->header().base_offset + OffsetDelta(record.offset_delta),
                             std::string(record.key->begin(), record.key->end()), std::move(value))
                .second;
        if (!added) co_return absl::InternalError("a record was served twice");
      }
    }
  }
  co_return absl::OkStatus();
}

Task<void> CompactionProgram::Read(int32_t partition) {
  while (!scope_.stopping()) {
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(200)), scope_.token());
    if (scope_.stopping()) co_return;
    Found found;
    absl::Status read = co_await ReadWhole(partition, &found);
    if (scope_.stopping() || !Find(partition)->failure().ok()) co_return;
    if (!read.ok()) {
      if (absl::IsDataLoss(read) || absl::IsInternal(read)) {
        violations_.push_back(fmt::format("reader of {}: {}", partition, read.ToString()));
      }
      continue;
    }
    Compare(found, models_[partition], plan_.log.delete_retention_ms, env_.clock.Now(),
            fmt::format("reader of {}", partition), &violations_);
  }
}

Task<absl::Status> CompactionProgram::CheckAll(bool first) {
  for (int32_t i = 0; i < plan_.partitions; ++i) {
    Model& model = models_[i];
    Log* log = Find(i);
    if (first) {
      if (log->end_offset() < model.durable || log->end_offset() > model.end()) {
        violations_.push_back(fmt::format("log {} ends at {}: {} were durable, {} appended", i,
                                          log->end_offset(), model.durable, model.end()));
        co_return absl::InternalError("the end");
      }
      model.entries.resize(static_cast<size_t>(log->end_offset().value()), {"", {}, Timestamp(0)});
      if (plan_.log.durability == Durability::kDisk) model.durable = log->end_offset();
    }
    Found found;
    MR_CO_RETURN_IF_ERROR(co_await ReadWhole(i, &found));
    Compare(found, model, plan_.log.delete_retention_ms, env_.clock.Now(),
            fmt::format("log {} {}", i, first ? "after a start" : "at the end"), &violations_);
    if (!first) cleaned_ += model.entries.size() - found.records.size();
  }
  co_return absl::OkStatus();
}

Plan DrawPlan(SimRandom* swarm) {
  Plan plan;
  plan.partitions = static_cast<int32_t>(swarm->Between(1, 4));
  plan.records_max = static_cast<int>(swarm->Between(1, 12));
  plan.value_bytes_max = swarm->Coin() ? 20 : swarm->Between(50, 1500);
  plan.keys = swarm->Between(1, 200);
  plan.think_max = swarm->Between(Duration(1000), milliseconds(20));
  plan.sent_max = swarm->Between(300, 4000);
  plan.log.segment_bytes = static_cast<int64_t>(swarm->Between(1 << 10, 64 << 10));
  plan.log.index_interval_bytes = static_cast<int64_t>(swarm->Between(1, 4096));
  plan.log.cleanup_compact = true;
  plan.log.cleanup_delete = false;
  plan.log.min_cleanable_dirty_ratio = swarm->Coin() ? 0.0 : 0.5;
  plan.log.min_compaction_lag_ms = swarm->Coin() ? 0 : static_cast<int64_t>(swarm->Between(1, 300));
  plan.log.max_compaction_lag_ms =
      swarm->Coin() ? -1 : static_cast<int64_t>(swarm->Between(300, 2000));
  plan.log.delete_retention_ms = static_cast<int64_t>(swarm->Between(0, 2000));
  plan.log.file_delete_delay_ms = static_cast<int64_t>(swarm->Between(0, 500));
  plan.log.durability = swarm->Below(3) == 0 ? Durability::kPageCache : Durability::kDisk;
  plan.store.pending_bytes_max = swarm->Between(256 << 10, 4 << 20);
  plan.store.tail_cache_bytes_max = swarm->Between(0, 256 << 10);
  plan.store.segment_write_bytes = swarm->Between(1 << 10, 64 << 10);
  plan.store.segment_write_age = milliseconds(swarm->Between(1, 200));
  plan.store.checkpoint_age = milliseconds(swarm->Between(10, 500));
  plan.store.cold_read_bytes = swarm->Between(4 << 10, 64 << 10);
  plan.store.copy_bytes_below = swarm->Between(0, 64 << 10);
  plan.store.cleaner.backoff = milliseconds(swarm->Between(1, 200));
  plan.store.cleaner.map_bytes_max =
      kKeySlotBytes * (swarm->Coin() ? swarm->Between(2, 60) : swarm->Between(60, 5000));
  plan.store.cleaner.map_load = swarm->Coin() ? 0.9 : 1.0;
  plan.store.cleaner.buffer_bytes = swarm->Between(1, 64 << 10);
  if (swarm->Coin()) plan.store.cleaner.bytes_per_second = swarm->Between(10'000, 10'000'000);
  return plan;
}

struct Crashes {
  bool kill;
  bool power;
  bool disk_faults;
  bool planted_bug = false;
};

struct World {
  World(uint64_t seed, SimOptions options) : world(seed, options), node(world.AddNode("n1")) {}
  SimWorld world;
  SimNode& node;
  std::map<int32_t, Model> models;
  Violations violations;
  uint64_t cleaned = 0;
};

// Whole and synced before it got its name, and yet the disk has not kept it.
void LoseSwapped(World* w) {
  for (const std::string& path : w->node.disk().Files()) {
    if (!path.ends_with(".log.swap") || w->world.dice().Coin()) continue;
    SimFileData& file = *w->node.disk().Find(path);
    file.Resize(w->world.dice().Below(file.size() + 1));
  }
}

// One life: something goes wrong somewhere in it.
void LiveAndDie(World* w, const std::function<std::unique_ptr<SimProgram>(SimProcess&)>& make,
                Crashes crashes) {
  SimRandom& dice = w->world.dice();
  SimNode& node = w->node;
  auto crashed = std::make_shared<bool>(false);
  auto lies = std::make_shared<bool>(false);
  auto over = std::make_shared<bool>(false);
  node.Start(make);
  if (crashes.disk_faults && dice.Below(3) == 0) {
    w->world.After(dice.Between(milliseconds(1), milliseconds(1000)), [w, lies, over] {
      if (*over) return;
      if (w->world.dice().Coin()) {
        w->node.disk().FailNextWrite();
      } else {
        w->node.disk().FailNextSync();
        *lies = true;
      }
    });
  }
  if (dice.Coin()) {
    const uint64_t at = node.disk().operations() + 1 + dice.Below(dice.Coin() ? 60 : 3000);
    node.disk().set_operation_hook([w, at, crashed](uint64_t number) {
      if (number == at) w->world.After(Duration(0), [crashed] { *crashed = true; });
    });
  }
  w->world.RunUntil([crashed] { return *crashed; },
                    dice.Between(milliseconds(1), milliseconds(3000)));
  *over = true;
  node.disk().set_operation_hook(nullptr);
  node.disk().ForgetOrderedFaults();
  const bool power = *lies || !crashes.kill || (crashes.power && dice.Coin());
  if (dice.Below(8) == 0 && !*lies && node.state() == SimNode::State::kRunning) {
    node.StopGracefully();
  } else if (power) {
    node.PowerLoss();
  } else {
    node.Kill();
  }
  LoseSwapped(w);
}

Outcome RunCompaction(uint64_t seed, const RunOptions& run, Crashes crashes) {
  SimRandom swarm = SimRandom::Derived(seed, "compaction swarm");
  SimOptions options;
  options.turn_delay_max = swarm.Between(Duration(1000), microseconds(100));
  options.resumes_per_turn_max = static_cast<uint32_t>(swarm.Between(1, 64));
  options.disk.latency_max = swarm.Between(Duration(microseconds(20)), milliseconds(3));
  options.disk.sync_latency_max = swarm.Between(Duration(microseconds(50)), milliseconds(10));
  options.disk.direct_alignment = swarm.Coin() ? 4096 : (swarm.Coin() ? 512 : 1);
  Plan plan = DrawPlan(&swarm);
  plan.drops_tombstones_early = crashes.planted_bug;
  World w(seed, options);
  if (run.trace) w.world.trace().set_sink(run.trace);
  if (run.logger != nullptr) w.world.set_logger(*run.logger);
  auto make = [&](SimProcess& process) -> std::unique_ptr<SimProgram> {
    return std::make_unique<CompactionProgram>(process, plan, w.models, w.violations, w.cleaned);
  };
  for (uint64_t lives = swarm.Between(2, 10); lives > 0 && w.violations.empty(); --lives) {
    LiveAndDie(&w, make, crashes);
  }
  if (w.violations.empty()) {
    w.node.Start(make);
    w.world.RunUntil([&] { return w.node.state() != SimNode::State::kStarting; }, seconds(300));
    if (w.node.state() == SimNode::State::kRunning) {
      w.world.RunFor(seconds(3));
      auto& program = static_cast<CompactionProgram&>(w.node.program());
      absl::Status read = w.world.Run(w.node.process().env(), program.CheckAll(/*first=*/false));
      if (!read.ok()) w.violations.push_back("at the end: " + read.ToString());
    } else {
      w.violations.push_back("a healthy store does not start: " + w.node.start_status().ToString());
    }
  }
  w.node.Kill();
  Outcome outcome;
  outcome.violations = w.violations;
  outcome.trace_hash = w.world.trace().hash();
  outcome.events = w.world.trace().records();
  size_t appended = 0;
  for (const auto& [partition, model] : w.models) appended += model.entries.size();
  outcome.summary = fmt::format("{} records, {} of them compacted away, {} events", appended,
                                w.cleaned, outcome.events);
  return outcome;
}

}  // namespace

void AddCompactionScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"compaction-power", "compaction, losing power at random",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunCompaction(seed, run, {false, true, false});
                        }});
  scenarios->push_back({"compaction", "compaction under kills, power losses and failing disks",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunCompaction(seed, run, {true, true, true});
                        }});
  scenarios->push_back({"compaction-bug-drops-tombstones-early",
                        "the same without delete.retention.ms, which must be found",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunCompaction(seed, run, {true, true, false, true});
                        },
                        /*must_fail=*/true});
}

}  // namespace millrace::simtest

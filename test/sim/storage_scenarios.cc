// The storage engine alone under power loss: appends that were reported durable are there after
// every crash, at their offsets, once.
#include <algorithm>
#include <map>
#include <utility>

#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"
#include "storage/log_store.h"
#include "storage/producer/producer_state.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"
#include "test/sim/careless_disk.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {
namespace {

constexpr const char* kFolder = "/data";
constexpr const char* kTopic = "story";
constexpr LeaderEpoch kEpoch{1};

struct Batch {
  int32_t first_sequence;
  std::vector<SentValue> values;
};

// What a writer knows over all crashes: it tries a batch until it is durable.
struct Writer {
  std::optional<Batch> outstanding;
  int32_t next_sequence = 0;
  uint64_t next_number = 1;
};

struct Plan {
  int32_t partitions;
  int writers_per_partition;
  int records_max;
  size_t padding_max;
  Duration think_max;
  uint64_t sent_max;  // Records in all; then writers rest.
  LogConfig log;
  LogStoreOptions store;
  bool trusts_unsynced_tail = false;  // A planted bug.

  // So many acknowledgements may come of one frame of the journal.
  uint64_t FrameMax() const {
    return static_cast<uint64_t>(partitions * writers_per_partition * records_max);
  }
};

// The engine and its users, in one process of the node.
class StorageProgram final : public SimProgram, private LogObserver {
 public:
  StorageProgram(SimProcess& process, const Plan& plan, std::map<int, Writer>& writers,
                 History& history)
      : careless_disk_(process.env().disk),
        careless_env_(WithDisk(process.env(), careless_disk_)),
        env_(plan.trusts_unsynced_tail ? careless_env_ : process.env()),
        plan_(plan),
        writers_(writers),
        history_(history),
        scope_(env_.reactor),
        durable_(env_.reactor) {}

  Task<absl::Status> Start() override;
  Task<void> Stop() override;
  // At rest: everything, to the history.
  Task<absl::Status> ReadAll(int replica);
  bool drained() const { return idle_writers_ == plan_.partitions * plan_.writers_per_partition; }
  void Drain() { draining_ = true; }

 private:
  void OnDurable(Log&, Offset) override { durable_.Pulse(); }
  void OnFailed(Log&, absl::Status) override { durable_.Pulse(); }
  Task<void> Write(int number);
  Task<absl::Status> AppendOne(int number, Log* log, Writer* writer);
  Task<void> Read(int32_t partition);
  Log* Find(int32_t partition) { return store_->Find({TopicId(7, 7), PartitionId(partition)}); }
  TopicPartition Place(int32_t partition) const { return {kTopic, partition}; }
  static absl::Status Records(const Chain& batches, std::vector<ReadRecord>* records);

  // For who trusts what a start finds.
  CarelessDisk careless_disk_;
  Env careless_env_;
  Env& env_;
  const Plan& plan_;
  std::map<int, Writer>& writers_;
  History& history_;
  TaskScope scope_;
  Event durable_;
  std::unique_ptr<LogKvStore> kv_;
  std::unique_ptr<LogStore> store_;
  bool draining_ = false;
  int idle_writers_ = 0;
};

Task<absl::Status> StorageProgram::Start() {
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
  careless_disk_.set_forgets(true);
  MR_CO_RETURN_IF_ERROR(co_await store_->Start());
  careless_disk_.set_forgets(false);
  for (int32_t i = 0; i < plan_.partitions; ++i) {
    MR_CO_ASSIGN_OR_RETURN(Log * log, co_await store_->Open({TopicId(7, 7), PartitionId(i)}, kTopic,
                                                            plan_.log, /*create=*/true));
    log->set_observer(this);
    if (!log->latest_epoch().has_value()) log->BeginEpoch(kEpoch);
    scope_.Spawn(Read(i));
  }
  for (int i = 0; i < plan_.partitions * plan_.writers_per_partition; ++i) scope_.Spawn(Write(i));
  co_return absl::OkStatus();
}

Task<void> StorageProgram::Stop() {
  durable_.Set();
  co_await scope_.Stop();
  if (store_ != nullptr) {
    for (Log* log : store_->Logs()) log->set_observer(nullptr);
    (void)co_await store_->Stop();
  }
  store_.reset();
  if (kv_ != nullptr) (void)co_await kv_->Close();
  kv_.reset();
}

Task<void> StorageProgram::Write(int number) {
  Writer& writer = writers_[number];
  const int32_t partition = number % plan_.partitions;
  while (!scope_.stopping()) {
    if (draining_ && !writer.outstanding.has_value()) {
      ++idle_writers_;
      co_return;
    }
    if (!writer.outstanding.has_value() && history_.sent() >= plan_.sent_max) {
      co_await Sleep(env_.reactor, milliseconds(50), scope_.token());
      continue;
    }
    Log* log = Find(partition);
    absl::Status status = co_await AppendOne(number, log, &writer);
    if (absl::IsDataLoss(status)) {
      history_.Wrong(fmt::format("writer {}: {}", number, status.ToString()));
      co_return;
    }
    co_await Sleep(env_.reactor,
                   Duration(static_cast<int64_t>(
                       env_.random.Below(static_cast<uint64_t>(plan_.think_max.count()) + 1))),
                   scope_.token());
  }
}

Task<absl::Status> StorageProgram::AppendOne(int number, Log* log, Writer* writer) {
  const int32_t partition = number % plan_.partitions;
  if (!writer->outstanding.has_value()) {
    Batch batch{writer->next_sequence, {}};
    const uint64_t records = 1 + env_.random.Below(static_cast<uint64_t>(plan_.records_max));
    for (uint64_t i = 0; i < records; ++i) {
      batch.values.push_back({number, writer->next_number++});
      history_.Sent(Place(partition), batch.values.back());
    }
    writer->next_sequence += static_cast<int32_t>(records);
    writer->outstanding = std::move(batch);
  }
  const Batch batch = *writer->outstanding;
  BatchBuilder builder({.producer = BatchProducer{ProducerId(1000 + number), ProducerEpoch(0),
                                                  Sequence(batch.first_sequence)}});
  for (SentValue value : batch.values) {
    const std::string text =
        value.ToString() + std::string(env_.random.Below(plan_.padding_max + 1), '.');
    builder.Append(env_.clock.Now(), std::nullopt,
                   std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  MR_CO_ASSIGN_OR_RETURN(BatchView view, builder.Build());
  MR_CO_ASSIGN_OR_RETURN(Admission admission,
                         co_await store_->Admit(view.bytes().size(), scope_.token()));
  MR_CO_ASSIGN_OR_RETURN(std::optional<DuplicateBatch> duplicate,
                         log->producers().Check(view.header()));
  Offset base{0};
  Offset end{0};
  if (duplicate.has_value()) {
    base = duplicate->base_offset;
    end = duplicate->last_offset + OffsetDelta(1);
  } else {
    MR_CO_ASSIGN_OR_RETURN(AppendInfo info, log->Append(std::move(view), kEpoch, admission));
    base = info.base_offset;
    end = info.next_offset();
  }
  while (log->durable_end() < end) {
    MR_CO_RETURN_IF_ERROR(log->failure());
    if (scope_.stopping()) co_return absl::CancelledError("stopping");
    co_await durable_.Wait(std::nullopt, scope_.token());
  }
  if (scope_.stopping()) co_return absl::CancelledError("stopping");
  for (size_t i = 0; i < batch.values.size(); ++i) {
    history_.Acknowledged(Place(partition), base.value() + static_cast<int64_t>(i),
                          batch.values[i]);
  }
  writer->outstanding.reset();
  co_return absl::OkStatus();
}

absl::Status StorageProgram::Records(const Chain& batches, std::vector<ReadRecord>* records) {
  BatchReader reader(batches.Flatten());
  for (;;) {
    MR_ASSIGN_OR_RETURN(std::optional<BatchView> batch, reader.Next());
    if (!batch.has_value()) return absl::OkStatus();
    if (absl::Status crc = batch->CheckCrc(); !crc.ok()) {
      return absl::DataLossError(fmt::format("served: {}", std::string(crc.message())));
    }
    RecordReader inside(batch->records(), batch->header().record_count);
    for (RecordView record; inside.Next(record);) {
      auto value = ParseSentValue(
          std::string(reinterpret_cast<const char*>(record.value->data()), record.value->size()));
      if (!value.has_value()) return absl::DataLossError("a value of nobody");
      const BatchHeader& header = batch->header();
      records->push_back(
          {header.base_offset.value() + record.offset_delta, *value, header.producer->id.value(),
           header.producer->epoch.value(),
           AdvanceSequence(*header.producer->base_sequence, record.offset_delta).value()});
    }
  }
}

Task<void> StorageProgram::Read(int32_t partition) {
  Offset next(0);
  history_.Seek(partition, Place(partition), 0);
  while (!scope_.stopping()) {
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(100)), scope_.token());
    if (scope_.stopping()) co_return;
    Log* log = Find(partition);
    const Offset end = log->durable_end();
    absl::StatusOr<LogRead> read =
        co_await log->Read(next, {.bytes_max = 1 + env_.random.Below(64 << 10),
                                  .upper_bound = end,
                                  .at_least_one_batch = true});
    if (!read.ok()) {
      if (absl::IsDataLoss(read.status()) && log->failure().ok() && !scope_.stopping()) {
        history_.Wrong(fmt::format("reader: {}", read.status().ToString()));
        co_return;
      }
      continue;
    }
    std::vector<ReadRecord> records;
    absl::Status decoded = Records(read->batches, &records);
    if (!decoded.ok()) {
      history_.Wrong(fmt::format("reader: {}", decoded.ToString()));
      co_return;
    }
    if (scope_.stopping()) co_return;
    history_.HighWatermark(partition, Place(partition), end.value());
    for (const ReadRecord& record : records) history_.Read(partition, Place(partition), record);
    next = read->next_offset;
  }
}

Task<absl::Status> StorageProgram::ReadAll(int replica) {
  for (int32_t i = 0; i < plan_.partitions; ++i) {
    Log* log = Find(i);
    std::vector<ReadRecord> records;
    Offset next = log->start_offset();
    while (next < log->end_offset()) {
      MR_CO_ASSIGN_OR_RETURN(LogRead read,
                             co_await log->Read(next, {.bytes_max = 256 << 10,
                                                       .upper_bound = log->end_offset(),
                                                       .at_least_one_batch = true}));
      MR_CO_RETURN_IF_ERROR(Records(read.batches, &records));
      if (read.next_offset == next) co_return absl::DataLossError("a read does not go on");
      next = read.next_offset;
    }
    history_.FinalLog(replica, Place(i), records);
  }
  co_return absl::OkStatus();
}

Plan DrawPlan(SimRandom* swarm) {
  Plan plan;
  plan.partitions = static_cast<int32_t>(swarm->Between(1, 6));
  plan.writers_per_partition = static_cast<int>(swarm->Between(1, 3));
  plan.records_max = static_cast<int>(swarm->Between(1, 20));
  plan.padding_max = swarm->Coin() ? 50 : swarm->Between(100, 8000);
  plan.think_max = swarm->Between(Duration(1000), milliseconds(20));
  plan.sent_max = swarm->Between(500, 20'000);
  // Small, so that segments roll, the cache misses and memory runs short within seconds.
  plan.log.segment_bytes = static_cast<int64_t>(swarm->Between(4 << 10, 1 << 20));
  plan.log.index_interval_bytes = static_cast<int64_t>(swarm->Between(1, 4096));
  plan.store.pending_bytes_max = swarm->Between(256 << 10, 4 << 20);
  plan.store.tail_cache_bytes_max = swarm->Between(0, 1 << 20);
  plan.store.segment_write_bytes = swarm->Between(1 << 10, 256 << 10);
  plan.store.segment_write_age = milliseconds(swarm->Between(1, 1000));
  plan.store.checkpoint_age = milliseconds(swarm->Between(10, 5000));
  plan.store.checkpoints_max = swarm->Between(1, 4);
  plan.store.cold_read_bytes = swarm->Between(4 << 10, 512 << 10);
  plan.store.copy_bytes_below = swarm->Between(0, 64 << 10);
  return plan;
}

struct Crashes {
  bool kill;
  bool power;
  bool disk_faults = false;
  bool fills_up = false;     // The disk has no room for a while.
  bool misdirects = false;   // A write of the journal goes to another place of its file.
  bool planted_bug = false;  // What a start keeps of files is not synced.
};

// Starts the program and waits; starts it anew while a fault makes that fail.
bool StartHealthy(SimWorld* world, SimNode* node, History* history,
                  const std::function<std::unique_ptr<SimProgram>(SimProcess&)>& make) {
  node->Start(make);
  world->RunUntil([node] { return node->state() != SimNode::State::kStarting; }, seconds(300));
  if (node->state() == SimNode::State::kRunning) return true;
  history->Wrong(fmt::format(
      "a healthy store does not start: {}",
      node->state() == SimNode::State::kFailed ? node->start_status().ToString() : "it hangs"));
  return false;
}

// Nothing happens any more when it is `over`.
void FillUpForAWhile(SimWorld* world, SimNode* node, const bool* over) {
  SimRandom& dice = world->dice();
  const Duration from = dice.Between(milliseconds(1), milliseconds(1500));
  world->After(from, [node, over] {
    if (*over) return;
    node->disk().Break(kFolder, SimAccess::kRoom,
                       absl::ResourceExhaustedError("no space left on the simulated disk"));
  });
  world->After(from + dice.Between(milliseconds(1), milliseconds(4000)),
               [node] { node->disk().Mend(kFolder); });
}

// Lets one frame go astray and the machine lose power, or be killed, once there are later frames:
// without them it looks like a write that was torn (P36). False: it did not come to that.
bool MisdirectInJournal(SimWorld* world, SimNode* node, const History& history, const Plan& plan) {
  SimRandom& dice = world->dice();
  world->RunFor(dice.Between(milliseconds(1), milliseconds(2000)));
  node->disk().MisdirectNextWrite("/millrace-journal/");
  const bool astray = world->RunUntil([&] { return node->disk().misdirected() > 0; }, seconds(10));
  node->disk().ForgetOrderedFaults();
  const uint64_t known = history.acknowledged() + 2 * plan.FrameMax();
  const bool followed =
      astray && world->RunUntil([&] { return history.acknowledged() > known; }, seconds(30));
  if (!followed && node->state() == SimNode::State::kRunning) {
    node->StopGracefully();  // Nothing is read from the journal then.
  } else if (dice.Coin()) {
    node->PowerLoss();
  } else {
    node->Kill();
  }
  return followed;
}

// Whether the store starts at all.
bool StartsOn(SimWorld* world, SimNode* node,
              const std::function<std::unique_ptr<SimProgram>(SimProcess&)>& make) {
  node->Start(make);
  world->RunUntil([node] { return node->state() != SimNode::State::kStarting; }, seconds(300));
  const bool starts = node->state() == SimNode::State::kRunning;
  node->Kill();
  return starts;
}

SimOptions DrawWorld(SimRandom* swarm) {
  SimOptions options;
  options.turn_delay_max = swarm->Between(Duration(1000), microseconds(100));
  options.resumes_per_turn_max = static_cast<uint32_t>(swarm->Between(1, 64));
  options.disk.latency_max = swarm->Between(Duration(microseconds(20)), milliseconds(3));
  options.disk.sync_latency_max = swarm->Between(Duration(microseconds(50)), milliseconds(10));
  options.disk.direct_alignment = swarm->Coin() ? 4096 : (swarm->Coin() ? 512 : 1);
  return options;
}

// As it is, after a graceful stop, and after a power loss.
void ReadThrice(SimWorld* world, SimNode* node, History* history,
                const std::function<std::unique_ptr<SimProgram>(SimProcess&)>& make) {
  const auto program = [&]() -> StorageProgram& {
    return static_cast<StorageProgram&>(node->program());
  };
  for (int replica = 0; replica < 3; ++replica) {
    absl::Status read = world->Run(node->process().env(), program().ReadAll(replica));
    if (!read.ok()) history->Wrong(fmt::format("reading at the end: {}", read.ToString()));
    if (replica == 2) break;
    if (replica == 0) {
      node->StopGracefully();
    } else {
      node->PowerLoss();
    }
    if (!StartHealthy(world, node, history, make)) break;
    program().Drain();
  }
}

Outcome RunStorage(uint64_t seed, const RunOptions& run, Crashes crashes) {
  SimRandom swarm = SimRandom::Derived(seed, "storage swarm");
  const SimOptions world_options = DrawWorld(&swarm);
  Plan plan = DrawPlan(&swarm);
  plan.trusts_unsynced_tail = crashes.planted_bug;
  History history(Promises{});
  std::map<int, Writer> writers;
  SimWorld world(seed, world_options);
  if (run.trace) world.trace().set_sink(run.trace);
  if (run.logger != nullptr) world.set_logger(*run.logger);
  SimNode& node = world.AddNode("n1");
  auto make = [&](SimProcess& process) -> std::unique_ptr<SimProgram> {
    return std::make_unique<StorageProgram>(process, plan, writers, history);
  };
  const auto program = [&]() -> StorageProgram& {
    return static_cast<StorageProgram&>(node.program());
  };
  const auto finish = [&] {
    const uint64_t processes = node.up() ? node.process().incarnation() : 0;
    node.Kill();
    Outcome outcome;
    outcome.violations = history.Finish();
    outcome.trace_hash = world.trace().hash();
    outcome.events = world.trace().records();
    outcome.summary =
        fmt::format("{} sent, {} durable, {} read, {} processes, {} events", history.sent(),
                    history.acknowledged(), history.read(), processes, outcome.events);
    return outcome;
  };

  // The directory is corrupt, and the store says so: there is no more to be seen.
  const auto refused = [&] {
    Outcome outcome = finish();
    std::erase_if(outcome.violations, [](const std::string& violation) {
      return violation.ends_with("could not be read at the end");
    });
    outcome.summary += ", and the directory was refused";
    return outcome;
  };

  const uint64_t lives = swarm.Between(2, 12);
  uint64_t current_life = 0;
  bool lies = false;  // A sync failed: only a power loss makes this machine honest again.
  bool over = false;
  bool crashed = false;  // By time, or at a disk operation: recovery itself is crashed too.
  for (uint64_t life = 0; life < lives; ++life) {
    SimRandom& dice = world.dice();
    current_life = life;
    crashed = false;
    node.Start(make);
    lies = false;
    if (crashes.disk_faults && dice.Below(3) == 0) {
      world.After(dice.Between(milliseconds(1), milliseconds(1000)), [&, life] {
        if (life != current_life) return;
        if (world.dice().Coin()) {
          node.disk().FailNextWrite();
        } else {
          node.disk().FailNextSync();
          lies = true;
        }
      });
    }
    if (crashes.fills_up && dice.Coin()) FillUpForAWhile(&world, &node, &over);
    if (crashes.misdirects && life + 1 == lives) {
      if (MisdirectInJournal(&world, &node, history, plan)) break;
      continue;
    }
    if (dice.Coin()) {
      const uint64_t at = node.disk().operations() + 1 + dice.Below(dice.Coin() ? 60 : 2000);
      node.disk().set_operation_hook([&, at](uint64_t number) {
        if (number == at) world.After(Duration(0), [&] { crashed = true; });
      });
    }
    world.RunUntil([&] { return crashed; }, dice.Between(milliseconds(1), milliseconds(3000)));
    current_life = lives;
    node.disk().set_operation_hook(nullptr);
    node.disk().ForgetOrderedFaults();
    const bool power = lies || !crashes.kill || (crashes.power && dice.Coin());
    if (dice.Below(8) == 0 && !lies && node.state() == SimNode::State::kRunning) {
      node.StopGracefully();
    } else if (power) {
      node.PowerLoss();
    } else {
      node.Kill();
    }
  }
  over = true;
  node.disk().Mend(kFolder);
  if (node.disk().misdirected() > 0 && !StartsOn(&world, &node, make)) return refused();
  if (!StartHealthy(&world, &node, &history, make)) return finish();
  program().Drain();
  if (!world.RunUntil([&] { return program().drained(); }, seconds(300))) {
    history.Wrong("a healthy store does not make every batch durable");
    return finish();
  }
  ReadThrice(&world, &node, &history, make);
  return finish();
}

}  // namespace

void AddStorageScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"storage-kill", "the log store, killed at random", [](uint64_t seed, const RunOptions& run) {
         return RunStorage(seed, run, {true, false, false});
       }});
  scenarios->push_back({"storage-power", "the log store, losing power at random",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunStorage(seed, run, {false, true, false});
                        }});
  scenarios->push_back({"storage", "the log store under kills, power losses and failing disks",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunStorage(seed, run, {true, true, true});
                        }});
  scenarios->push_back({"storage-full", "the log store under crashes, on a disk that fills up",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunStorage(seed, run,
                                            {.kill = true, .power = true, .fills_up = true});
                        }});
  scenarios->push_back(
      {"storage-misdirected", "a frame of the journal goes astray: it is noticed, or not needed",
       [](uint64_t seed, const RunOptions& run) {
         return RunStorage(seed, run, {.kill = true, .power = true, .misdirects = true});
       }});
  scenarios->push_back({"storage-bug-trusts-unsynced-tail",
                        "a start that does not sync what it keeps, which must be found",
                        [](uint64_t seed, const RunOptions& run) {
                          return RunStorage(seed, run,
                                            {.kill = true, .power = true, .planted_bug = true});
                        },
                        /*must_fail=*/true});
}

}  // namespace millrace::simtest

// What the log's tests share: a store on a simulated machine, batches whose records say who they
// are, and reading everything back.
#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_store.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"

namespace millrace {

inline constexpr const char* kTestDataDir = "/data";
inline constexpr const char* kTestMetaDir = "/meta";

inline TopicPartitionId TestPartition(int number) {
  return {Uuid(0x1111, static_cast<uint64_t>(number) + 1), PartitionId(0)};
}
inline std::string TestTopic(int number) { return fmt::format("topic{}", number); }

// A batch of `values`; one millisecond between records.
inline BatchView TestBatch(const std::vector<std::string>& values,
                           Timestamp first = Timestamp(1000),
                           std::optional<BatchProducer> producer = std::nullopt,
                           Compression compression = Compression::kNone) {
  BatchBuilderOptions options;
  options.producer = producer;
  options.compression = compression;
  BatchBuilder builder(options);
  int64_t at = first.ms();
  for (const std::string& value : values) {
    builder.Append(Timestamp(at++), std::nullopt,
                   std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
  }
  return *builder.Build();
}

inline void Die(SimNode& node, bool power) { power ? node.PowerLoss() : node.Kill(); }

// Lets the node die `operation` disk operations from now; `*died` says that it has.
inline void DieAt(SimWorld& world, SimNode& node, uint64_t operation, bool power, bool* died) {
  const uint64_t at = node.disk().operations() + operation;
  node.disk().set_operation_hook([&world, &node, at, power, died](uint64_t number) {
    if (number != at) return;
    world.After(Duration(0), [&node, power, died] {
      *died = true;
      Die(node, power);
    });
  });
}

// Folders that were set aside, as the metric of the store says that was registered.
inline double StraysSaid(const MetricRegistry& registry) {
  for (const MetricSample& sample : registry.Snapshot()) {
    if (sample.name.name == "millrace_log_stray_folders") return std::get<double>(sample.value);
  }
  return -1;
}

inline Task<absl::Status> RemoveStore(Disk* disk) {
  auto entries = co_await disk->List(kTestMetaDir);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    absl::Status removed = co_await disk->Remove(JoinPath(kTestMetaDir, entry.name));
    if (!removed.ok()) co_return removed;
  }
  co_return absl::OkStatus();
}

// The next life, without what the store held.
inline Env& BootWithoutStore(SimWorld& world, SimNode& node) {
  Env& env = node.Boot();
  REQUIRE(world.Run(env, RemoveStore(&env.disk)).ok());
  return env;
}

struct ReadRecord {
  Offset offset;
  std::string value;
  friend bool operator==(const ReadRecord&, const ReadRecord&) = default;
};

inline void AppendRecords(const Chain& batches, Offset from, std::vector<ReadRecord>& records) {
  for (const Slice& slice : batches.slices()) {
    BatchReader reader(slice);
    for (;;) {
      auto batch = reader.Next();
      REQUIRE(batch.ok());
      if (!batch->has_value()) break;
      REQUIRE((*batch)->CheckCrc().ok());
      const BatchHeader& header = (*batch)->header();
      RecordReader in((*batch)->records(), header.record_count);
      RecordView record;
      while (in.Next(record)) {
        Offset offset = header.base_offset + OffsetDelta(record.offset_delta);
        if (offset < from) continue;
        records.push_back({offset, std::string(reinterpret_cast<const char*>(record.value->data()),
                                               record.value->size())});
      }
    }
    REQUIRE(reader.position() == slice.size());
  }
}

// A node's storage: a KvStore and a LogStore. Made anew for each process.
class TestStore {
 public:
  TestStore(SimWorld& world, Env& env, LogStoreOptions options)
      : world_(world), env_(env), options_(std::move(options)) {
    if (options_.log_dirs.empty()) options_.log_dirs = {kTestDataDir};
  }

  absl::Status Start() { return world_.Run(env_, StartTask(this)); }
  absl::Status Stop() { return world_.Run(env_, StopTask(this)); }

  LogStore& operator*() { return *store_; }
  LogStore* operator->() { return store_.get(); }
  Env& env() { return env_; }

  Log& Open(int number, LogConfig config = {}) {
    auto log =
        world_.Run(env_, store_->Open(TestPartition(number), TestTopic(number), config, true));
    REQUIRE(log.ok());
    return **log;
  }

  AppendInfo Append(Log& log, BatchView batch, LeaderEpoch epoch = LeaderEpoch(0)) {
    auto admission = world_.Run(env_, store_->Admit(batch.bytes().size(), CancellationToken()));
    REQUIRE(admission.ok());
    auto info = log.Append(std::move(batch), epoch, *admission);
    REQUIRE(info.ok());
    return *info;
  }

  // Runs the world until everything in `log` is durable.
  void WaitDurable(Log& log) {
    REQUIRE(world_.RunUntil([&log] { return log.durable_end() == log.end_offset(); }, seconds(60)));
  }

  std::vector<ReadRecord> ReadAll(Log& log, size_t bytes_max = 1000) {
    std::vector<ReadRecord> records;
    Offset at = log.start_offset();
    while (at < log.end_offset()) {
      auto read = world_.Run(env_, log.Read(at, {bytes_max, log.end_offset(), true}));
      if (!read.ok()) FAIL(read.status().ToString());
      REQUIRE(read->next_offset > at);
      AppendRecords(read->batches, at, records);
      at = read->next_offset;
    }
    return records;
  }

 private:
  static Task<absl::Status> StartTask(TestStore* self) {
    const std::vector<std::string>& dirs = self->options_.log_dirs;
    for (size_t i = 0; i < dirs.size(); ++i) {
      auto formatted = co_await FormatLogDirectory(
          self->env_.disk, dirs[i], MetaProperties{1, "c", BrokerId(1), Uuid(9, 9 + i), {}});
      // One of several may be broken: the store's business.
      const bool fine = formatted.ok() || absl::IsAlreadyExists(formatted);
      if (!fine && dirs.size() == 1) co_return formatted;
    }
    auto formatted = co_await self->env_.disk.SyncDirectory("/");
    if (!formatted.ok()) co_return formatted;
    auto kv = co_await LogKvStore::Open(self->env_, kTestMetaDir, {});
    if (!kv.ok()) co_return kv.status();
    self->kv_ = *std::move(kv);
    self->store_ = std::make_unique<LogStore>(self->env_, *self->kv_, self->options_);
    co_return co_await self->store_->Start();
  }

  static Task<absl::Status> StopTask(TestStore* self) {
    absl::Status status;
    if (self->store_ != nullptr) status = co_await self->store_->Stop();
    self->store_.reset();
    if (self->kv_ != nullptr) status.Update(co_await self->kv_->Close());
    self->kv_.reset();
    co_return status;
  }

  SimWorld& world_;
  Env& env_;
  LogStoreOptions options_;
  std::unique_ptr<LogKvStore> kv_;
  std::unique_ptr<LogStore> store_;
};

}  // namespace millrace

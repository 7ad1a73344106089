#include "replication/high_watermarks.h"

#include <string>
#include <utility>

#include "common/bytes/endian.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/log_checkpoint.h"

namespace millrace {
namespace {

std::string Encode(Offset offset) {
  uint8_t bytes[sizeof(int64_t)];
  StoreBig<int64_t>(bytes, offset.value());
  return std::string(reinterpret_cast<const char*>(bytes), sizeof(bytes));
}

std::optional<Offset> Decode(std::string_view bytes) {
  if (bytes.size() != sizeof(int64_t)) return std::nullopt;
  const auto value = LoadBig<int64_t>(reinterpret_cast<const uint8_t*>(bytes.data()));
  return value < 0 ? std::nullopt : std::optional(Offset(value));
}

}  // namespace

HighWatermarks::HighWatermarks(Env& env, KvStore* kv, Duration interval, Source source)
    : env_(env),
      kv_(kv),
      interval_(interval),
      source_(std::move(source)),
      loaded_(env.reactor),
      scope_(env.reactor) {}

Task<absl::Status> HighWatermarks::Load() {
  if (kv_ == nullptr) co_return absl::OkStatus();
  if (std::exchange(loading_, true)) {
    co_await loaded_.Wait();
    co_return absl::OkStatus();
  }
  absl::StatusOr<std::vector<KvEntry>> entries =
      co_await kv_->ScanAll(KvRange::Prefix(KvSpace::kHighWatermark, ""));
  loaded_.Set();
  if (!entries.ok()) co_return entries.status();
  for (const KvEntry& entry : *entries) {
    absl::StatusOr<TopicPartitionId> id = ParseLogCheckpointKey(entry.key);
    std::optional<Offset> offset = Decode(entry.value);
    // Not worth a stop: it is only knowledge.
    if (id.ok() && offset.has_value()) kept_.emplace(*id, *offset);
  }
  co_return absl::OkStatus();
}

std::optional<Offset> HighWatermarks::Take(const TopicPartitionId& id) {
  auto node = kept_.extract(id);
  return node.empty() ? std::nullopt : std::optional(node.mapped());
}

void HighWatermarks::Changed(const TopicPartitionId& id) {
  if (kv_ == nullptr) return;
  changed_.push_back(id);
  if (writing_) return;
  writing_ = true;
  scope_.Spawn(WriteLater(), SchedClass::kHousekeeping);
}

Task<void> HighWatermarks::WriteLater() {
  while (!changed_.empty() && !scope_.stopping()) {
    if (co_await Sleep(env_.reactor, interval_, scope_.token()) == WaitResult::kCancelled) break;
    co_await Write();
  }
  writing_ = false;
}

Task<void> HighWatermarks::Write() {
  if (changed_.empty()) co_return;
  KvBatch batch;
  const std::vector<TopicPartitionId> changed = std::exchange(changed_, {});
  for (const TopicPartitionId& id : changed) {
    const std::string key = LogCheckpointKey(id);
    if (std::optional<Offset> offset = source_(id); offset.has_value()) {
      batch.Put(KvSpace::kHighWatermark, key, Encode(*offset));
    } else {
      batch.Delete(KvSpace::kHighWatermark, key);
    }
  }
  absl::Status written = co_await kv_->Write(std::move(batch), KvWriteOptions{.sync = false});
  if (!written.ok()) {
    env_.logger.Warning("high watermarks of {} partitions are not kept: {}", changed.size(),
                        std::string(written.message()));
  }
}

Task<void> HighWatermarks::Stop() {
  co_await scope_.Stop();
  if (kv_ != nullptr) co_await Write();
}

}  // namespace millrace

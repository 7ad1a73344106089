#include "common/check.h"
#include "storage/journal/journal.h"
#include "storage/log_store.h"

namespace millrace {

ShardId ShardOf(const TopicPartitionId& id, uint32_t shards) {
  const uint64_t mixed = (id.topic_id.high() ^ (id.topic_id.low() * 0x9E3779B97F4A7C15ULL) ^
                          static_cast<uint64_t>(id.partition.value()) * 0xBF58476D1CE4E5B9ULL) *
                         0x94D049BB133111EBULL;
  return ShardId(static_cast<uint32_t>((mixed >> 32) % shards));
}

absl::Status LogStoreOptions::Validate() const {
  if (log_dirs.empty()) return absl::InvalidArgumentError("no log directory");
  if (shards == 0 || shard.value() >= shards) return absl::InvalidArgumentError("shard of shards");
  if (pending_bytes_max < segment_write_bytes) {
    return absl::InvalidArgumentError("pending_bytes_max is below segment_write_bytes");
  }
  if (journal_bytes_max < Journal::Options().extent_bytes * 2) {
    return absl::InvalidArgumentError("journal_bytes_max is below two extents");
  }
  if (cleaner.map_load <= 0 || cleaner.map_load > 1) {
    return absl::InvalidArgumentError("cleaner.map_load is not in (0, 1]");
  }
  if (open_files_max < 8) return absl::InvalidArgumentError("open_files_max is below 8");
  return absl::OkStatus();
}

void Admission::Take(size_t bytes) {
  MR_CHECK(bytes <= bytes_);
  bytes_ -= bytes;
}

}  // namespace millrace

// LogConfig: what a partition's log takes from its topic's configuration.
//
// Durations are milliseconds and sizes bytes, as in Kafka's topic properties of the same names.
// Validation of ranges is the property parser's business; Log only needs what is stated here as
// REQUIRES.
#pragma once

#include <cstdint>
#include <limits>

#include "common/record_types.h"

namespace millrace {

struct LogConfig {
  Durability durability = Durability::kDisk;

  int64_t segment_bytes = int64_t{1} << 30;  // REQUIRES: 1 .. 2^31 - 1.
  // From the segment's first timestamp. Of a compacted topic at most max.compaction.lag.ms.
  int64_t segment_ms = 7 * 24 * 3600 * int64_t{1000};
  int64_t segment_jitter_ms = 0;
  int64_t segment_index_bytes = 10 << 20;  // A full index rolls the segment.
  int64_t index_interval_bytes = 4096;     // At most one index entry per so many bytes.

  // cleanup.policy. With neither nothing goes but what lies below the start (KIP-1161).
  bool cleanup_delete = true;
  bool cleanup_compact = false;
  // Only with cleanup_compact.
  double min_cleanable_dirty_ratio = 0.5;  // 0 .. 1: share of bytes that a compaction waits for.
  int64_t min_compaction_lag_ms = 0;       // Younger segments are not compacted.
  int64_t max_compaction_lag_ms = -1;      // Older ones are, however few. Negative: no bound.
  int64_t delete_retention_ms = 24 * 3600 * int64_t{1000};  // For so long tombstones stay.
  // Only with cleanup_delete.
  int64_t retention_ms = 7 * 24 * 3600 * int64_t{1000};  // Negative: no bound.
  int64_t retention_bytes = -1;                          // Negative: no bound.
  int64_t file_delete_delay_ms = 60 * int64_t{1000};

  // Only under kPageCache: sync after so many records, or so long after the first unsynced one.
  int64_t flush_messages = std::numeric_limits<int64_t>::max();
  int64_t flush_ms = std::numeric_limits<int64_t>::max();

  int64_t producer_id_expiration_ms = 24 * 3600 * int64_t{1000};

  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

}  // namespace millrace

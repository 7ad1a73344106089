// LogMetrics: what the logs of one shard count, as plain integers; LogStore::RegisterMetrics()
// names them.
//
// Shard: one.
#pragma once

#include "common/metrics/metrics.h"

namespace millrace {

struct LogMetrics {
  Histogram append;        // From Append() until the batch is durable, on `disk` logs.
  Histogram journal_sync;  // One durable write of a journal.
  Histogram segment_sync;  // One fdatasync of a segment.
  Counter appended_bytes;
  Counter segment_bytes;  // Written to segment files.
  Counter moved_bytes;    // Copied between log directories.
  // Reads answered from memory and from disk, and their bytes.
  Counter reads_cached;
  Counter reads_cold;
  Counter cached_bytes;
  Counter cold_bytes;
  Counter scrubbed_bytes;
  Counter scrub_rounds;  // Times that all logs were gone through.
  Counter damage_found;  // Places found, by the scrub or by a reader.
  // Compaction.
  Counter cleaner_rounds;  // Of one log each.
  Counter cleaner_read_bytes;
  Counter cleaner_written_bytes;
  Counter cleaner_records_removed;

  void Register(MetricRegistry& registry) const;
};

struct StoreContext;

// All of the above by their names, and what is asked of the store when somebody looks.
void RegisterLogMetrics(StoreContext& context, MetricRegistry& registry);

}  // namespace millrace

// The index files of a segment: writing their new entries, checking or rebuilding them when they
// were found at start, and looking up in them.
//
// An index only says where to begin reading, so a missing or damaged one costs time and never an
// answer: it is rebuilt from the segment at its first use.
//
// Shard:    one; suspends for I/O.
// Locking:  WriteIndexes() and EnsureIndexes() under the log's IoLock. Lookups need none: an index
// that is
//           not good makes them begin further ahead.
// Lifetime: `state` is kept alive by the caller's gate holder. Segments are named by base offset,
// because
//           references into `segments` do not survive a suspension.
// Errors:   as File.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "storage/log_state.h"

namespace millrace {

// Writes entries that point into written bytes behind those in the files. With `complete` (a rolled
// segment, a clean stop) the largest timestamp is added, and the files exist even if empty.
Task<absl::Status> WriteIndexes(Log::State& state, Offset segment_base,
                                bool complete);  // Borrowed: awaited in place.

// Makes `index_state` kGood.
Task<absl::Status> EnsureIndexes(Log::State& state,
                                 Offset segment_base);  // Borrowed: awaited in place.

// A position in the segment at or before the batch that holds `offset`.
Task<absl::StatusOr<uint64_t>> LookupPosition(Log::State& state, Offset segment_base,
                                              Offset offset);  // Borrowed: awaited in place.

// An offset at or before the first batch with a timestamp of at least `timestamp`.
Task<absl::StatusOr<Offset>> LookupTime(Log::State& state, Offset segment_base,
                                        Timestamp timestamp);  // Borrowed: awaited in place.

// Makes `max_time` of the segment known (Segment::times_known).
Task<absl::Status> EnsureTimes(Log::State& state,
                               Offset segment_base);  // Borrowed: awaited in place.

}  // namespace millrace

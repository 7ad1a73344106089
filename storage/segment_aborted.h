// The `.txnindex` file of a segment: writing new entries, cutting them, checking or rebuilding them
// when they were found at start, and looking up in them.
//
// Unlike the other indexes this one is an answer and no hint: a reader of committed records is
// given what it does not name. So it is synced before the recovery point passes the markers, and
// what cannot be true is built anew from the segment and the producers before it.
//
// Shard:    one; suspends for I/O.
// Locking:  all but CollectAborted() under the log's IoLock, or while recovering.
// Lifetime: as in segment_index.h: segments are named by base offset.
// Errors:   as File.
// Source:   docs/storage.md, Transactions.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/log_state.h"
#include "storage/segment/aborted_index.h"

namespace millrace {

// Writes the entries whose markers are in the segment file, and syncs them. The file exists only if
// there are any.
Task<absl::Status> WriteAborted(Log::State& state,
                                Offset segment_base);  // Borrowed: awaited in place.

// Removes the entries of markers at or above `end`, durably. What stands behind those in the file
// may be anything: a crash while it was written. `count_min`: so many at least must be left.
Task<absl::Status> CutAborted(Log::State& state, Offset segment_base, Offset end,
                              size_t count_min);  // Borrowed: awaited in place.

// Adds to `found` the transactions with a marker in this segment that overlap [from, to). True: no
// later segment has more of them, or the log was cut meanwhile (state.cuts tells).
Task<absl::StatusOr<bool>> CollectAborted(
    Log::State& state, Offset segment_base, Offset from, Offset to,
    std::vector<AbortedTransaction>* found);  // Borrowed: awaited in place.

}  // namespace millrace

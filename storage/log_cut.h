// Cutting a log: what Truncate(), the moving start and recovery share. Memory first, then files, so
// that readers never see what is going; making it survive a crash is the caller's business (journal
// entry before, checkpoint after).
//
// Shard:   one; suspends for I/O.
// Locking: under the log's IoLock. REQUIRES: no append runs.
// Errors:  as Disk.
#pragma once

#include <absl/status/status.h>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/log_state.h"

namespace millrace {

// Where a truncation to `offset` ends: the base of the batch that holds it, since a batch goes
// whole.
Task<absl::StatusOr<Offset>> CutPoint(Log::State& state,
                                      Offset offset);  // Borrowed: awaited in place.

// Removes every batch from `offset` on, in memory and in files (synced), and takes producer state
// and epochs back. Pending bytes are written out first. REQUIRES: `offset` is a CutPoint(), of now
// or of before a crash.
Task<absl::Status> CutEnd(Log::State& state, Offset offset);  // Borrowed: awaited in place.

// Empties the log; it starts and ends at `offset`.
Task<absl::Status> CutAll(Log::State& state, Offset offset);  // Borrowed: awaited in place.

// Removes segments that lie wholly below state.start, but the active one.
Task<absl::Status> RemoveSegmentsBelowStart(Log::State& state);  // Borrowed: awaited in place.

}  // namespace millrace

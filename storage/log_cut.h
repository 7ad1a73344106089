// Cutting a log: what Truncate(), the moving start and recovery share. Memory first, then files, so
// that readers never see what is going; making it survive a crash is the caller's business (journal
// entry before, checkpoint after).
//
// Shard:   one; suspends for I/O.
// Locking: under the log's IoLock. REQUIRES: no append runs.
// Errors:  as Disk.
#pragma once

#include <absl/status/status.h>

#include <cstdint>

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

// Moves the start to `start`: durable first, then visible, then files go. REQUIRES: state.start <
// start <= state.end.
Task<absl::Status> MoveStart(Log::State& state, Offset start);  // Borrowed: awaited in place.

// Removes segments that lie wholly below state.start, but not the active one, nor what the stored
// checkpoint still needs. Their files are renamed and go after `delay_ms`.
Task<absl::Status> RemoveSegmentsBelowStart(Log::State& state,
                                            int64_t delay_ms);  // Borrowed: awaited in place.

// Closes the active segment and begins an empty one at the end, in memory.
void RollActive(Log::State& state);

// Gives the segment at `base`, in which nothing is, a file, and in front of it what is known of
// producers: of a log that was emptied nothing else on the disk tells where it goes on. The file's
// name is durable when the folder is synced.
Task<absl::Status> MakeEmptyFile(Log::State& state, Offset base);  // Borrowed: awaited in place.

// Chooses how much earlier than segment_ms the active segment rolls, so that partitions created
// together do not roll together.
void DrawRollJitter(Log::State& state);

}  // namespace millrace

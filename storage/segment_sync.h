// Making durable what is in the files of a log: its segments, their producer snapshots and indexes
// of aborted transactions, and the names of all of these. Alone, or for many logs together: a sync
// of the file system costs little more than that of one file.
//
//   LogSync sync = *co_await BeginSync(state, complete);   // What must be synced; indexes written.
//   co_await SyncFiles(sync), or SyncTogether(many)
//   co_await EndSync(sync);
//
// Shard:      one.
// Locking:    from BeginSync() to EndSync() under the log's IoLock, or while recovering.
// Lifetime:   a LogSync keeps its files open.
// Errors:     as File; a failed sync is final. SyncTogether(): kUnimplemented: nothing was synced.
// Durability: after EndSync() everything that was in the files when BeginSync() was called.
// Source:     docs/storage.md, Writing behind.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "common/runtime/task.h"
#include "storage/fd_cache.h"
#include "storage/log_state.h"

namespace millrace {

// One log's, on its way to the disk.
struct LogSync {
  struct Unsynced {
    Offset base;
    uint64_t written;
    // Nothing: its bytes are synced, but not what goes with them.
    std::optional<FdCache::Handle> file;
  };
  Log::State* state;
  Offset written_end;
  std::vector<Unsynced> segments;  // In order of offset.
};

// Writes the indexes of what is in segment files, and says what is to be synced. With `complete`
// also that of a last segment which is.
Task<absl::StatusOr<LogSync>> BeginSync(Log::State& state,
                                        bool complete);  // Borrowed: awaited in place.

Task<absl::Status> SyncFiles(LogSync& sync);  // Borrowed: awaited in place.

// SyncFiles() for each of them, and the names in their folders. REQUIRES: at least one; all of one
// store, and in one directory.
Task<absl::Status> SyncTogether(std::vector<LogSync*> syncs);  // Borrowed: awaited in place.

// What goes with the segments, and the names. state.synced_end moves.
Task<absl::Status> EndSync(LogSync& sync);  // Borrowed: awaited in place.

}  // namespace millrace

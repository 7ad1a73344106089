// Producer state as of an offset, from what is on disk: a snapshot and the batches behind it. For
// recovery and truncation.
//
// A snapshot that cannot be read (damaged, cut off, of a version that we do not know) is removed
// and logged: an older one and a longer read give the same state, as in Kafka.
//
// Shard:   one; suspends for I/O.
// Locking: under the log's IoLock, or while recovering. REQUIRES: everything below the offset is
//          written.
// Errors:  as Disk.
// Source:  rules 1.39, 1.41, 1.42.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/log_state.h"
#include "storage/producer/producer_state.h"

namespace millrace {

// The state as of `offset`. Every producer counts as active now.
Task<absl::StatusOr<ProducerState>> ProducersAt(Log::State& state,
                                                Offset offset);  // Borrowed: awaited in place.

// Sets state.producers to that.
Task<absl::Status> RebuildProducers(Log::State& state,
                                    Offset offset);  // Borrowed: awaited in place.

// Removes snapshot files that nobody wants, of those found at start (`snapshots`): above the
// recovery point they are of batches that may be gone and replaced by others; below it only those
// at the beginning of a segment serve a truncation.
Task<absl::Status> RemoveStraySnapshots(
    Log::State& state, std::vector<Offset> snapshots);  // Borrowed: awaited in place.

}  // namespace millrace

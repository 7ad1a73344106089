// Puts what a compaction has written into the place of the segments that it was made of, so that a
// crash at any moment leaves the old ones or the new one, never both and never neither.
//
// Of the segments with bases B < C < D one file with base B was written, and its indexes:
//
//   1. B.log.cleaned, B.index.cleaned, B.timeindex.cleaned, B.txnindex.cleaned, each synced.
//      A crash: `.cleaned` files are removed at the next start; the old segments are there.
//   2. The three indexes get `.swap` for `.cleaned`; folder synced.
//      A crash: without B.log.swap they are removed.
//   3. B.log.swap; folder synced. From here on it is the new one: whoever starts goes on at 4. (A
//      power loss before the sync may leave B.log.cleaned: see 1.)
//   4. The logs of C and D, and the indexes of B, are renamed to `.deleted`; folder synced. Not
//      before this sync may B.log be replaced, or a power loss could bring C.log back beside a
//      B.log that has its records, too.
//   5. So are the other files of C and D, and the indexes of B get their names from the `.swap`
//      ones; folder synced, so that B.log never stands beside the indexes of the old one.
//   6. B.log.swap becomes B.log; folder synced. Only now may the `.deleted` files go.
//
// A crash in 4 to 6: B.log.swap is there still, so the next start reads it from end to end. It is
// whole when every batch is sound and it ends where the last one that it replaces does (compaction
// keeps that one's last batch, if only its header): then the start repeats 4 to 6. If it is not,
// which a disk must have done that lost or changed what was synced, every source is there under one
// of its two names, and so is B.log: the start takes 5 and 4 back, and then drops the `.swap` files.
// An index of B without `.swap` beside B.log.swap is the new one: 2 was durable before 3.
//
// Readers: what a log says of its segments, and the files, change in one turn as far as they can
// tell: from 4 to 6 whoever would begin to read files waits (WaitForSwap); whoever has begun sees
// that `cuts` has changed, and begins anew. Files that are open stay readable.
//
// Shard:    one; suspends for I/O.
// Errors:   as Disk. SwapIn(): kAborted: the log is as it was. After any other the caller takes the
//           directory offline, also for lack of room: what was begun must not be tried again, nor
//           forgotten, before a start has settled it.
// Source:   Kafka's Log.replaceSegments; docs/storage.md, Compaction.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/log_state.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/segment.h"

namespace millrace {

// A compacted segment. Its `.log.cleaned` is written.
struct CleanedSegment {
  explicit CleanedSegment(Offset base, Timestamp now) : segment(base, now) {}

  Segment segment;                          // As Segment::Add() has made it, batch by batch.
  std::vector<AbortedTransaction> aborted;  // For its transaction index.
  std::vector<Offset> replaced;             // Bases of the segments it takes the place of.
};

// Step 1 for the indexes: writes them, synced.
Task<absl::Status> WriteCleanedIndexes(Log::State& state,
                                       const CleanedSegment& cleaned);  // Borrowed: in place.

// Steps 2 to 6. kAborted: the log has changed meanwhile, and nothing was done. REQUIRES: the log's
// IoLock is held; `truncations` is the log's at the time when the segments were read.
Task<absl::Status> SwapIn(Log::State& state, CleanedSegment* cleaned,
                          uint64_t truncations);  // Borrowed: awaited in place.

// Removes `.cleaned` files of `base`.
Task<void> RemoveCleaned(Log::State& state, Offset base);  // Borrowed: awaited in place.

// At a start: finishes what was decided, or takes it back, and removes the rest. `entries` is what
// the folder holds; returns what it holds then. `.deleted` files go only after this.
Task<absl::StatusOr<std::vector<DirectoryEntry>>> SettleSwaps(
    Env& env, std::string folder, std::vector<DirectoryEntry> entries);  // Borrowed: in place.

}  // namespace millrace

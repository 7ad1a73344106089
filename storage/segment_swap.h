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
//   4. The files of C and D are renamed to `.deleted`, the indexes of B replaced by the `.swap`
//      ones; folder synced. Not before this sync may B.log be replaced, or a power loss could bring
//      C.log back beside a B.log that has its records, too.
//      A crash: B.log.swap is there still, so the next start repeats this. Which segments it
//      replaces is said by its last batch: those that begin before its end. (A compaction keeps
//      the last batch of the last one, if only its header.) An index of B without `.swap` is the
//      new one, because 2 was durable before 3.
//   5. B.log.swap becomes B.log; folder synced.
//      A crash: renamed or not, 5 is all that is left to do.
//
// Readers: what a log says of its segments, and the files, change in one turn as far as they can
// tell: from 4 to 5 whoever would begin to read files waits (WaitForSwap); whoever has begun sees
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

// Steps 2 to 5. kAborted: the log has changed meanwhile, and nothing was done. REQUIRES: the log's
// IoLock is held; `truncations` is the log's at the time when the segments were read.
Task<absl::Status> SwapIn(Log::State& state, CleanedSegment* cleaned,
                          uint64_t truncations);  // Borrowed: awaited in place.

// Removes `.cleaned` files of `base`.
Task<void> RemoveCleaned(Log::State& state, Offset base);  // Borrowed: awaited in place.

// At a start: finishes what was decided and removes the rest. `entries` is what the folder holds;
// returns what it holds then.
Task<absl::StatusOr<std::vector<DirectoryEntry>>> SettleSwaps(
    Env& env, std::string folder, std::vector<DirectoryEntry> entries);  // Borrowed: in place.

}  // namespace millrace

// LogScrubber: reads all that is on disk, slowly, and compares checksums, so that rot is found
// while other replicas still have what it took. What is found is logged once, counted, and kept in
// the log (Log::damage()) for whoever repairs it; readers check what they serve themselves.
//
// A round goes through the logs in order of their ids, from the oldest segment on, up to what is
// written; the first one after a start begins at a log that is drawn, so that restarts do not keep
// the later ones from being read. The pages that it reads are dropped again.
//
// Shard:    one; in the housekeeping class.
// Lifetime: Stop() must have finished before destruction. `context` outlives it.
// Bounds:   scrub_bytes_per_second; a round begins at least scrub_interval after the one before.
//           Memory: one window of SegmentScanner and the ids of a round.
// Source:   docs/storage.md, Damage.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/log_state.h"

namespace millrace {

struct StoreContext;

// Remembers and tells that segment `base` is not sound from `position` on.
void NoteDamage(Log::State& state, Offset base, uint64_t position, std::string_view why);

class LogScrubber {
 public:
  explicit LogScrubber(StoreContext& context);
  ~LogScrubber();

  void Start();
  Task<void> Stop();

 private:
  Task<void> Loop();
  Task<void> ScrubLog(TopicPartitionId id);
  // What a disk refuses to read is read `again` before it counts as damage: a replica is thrown away
  // for that.
  Task<void> ScrubSegment(Log::State* state, Offset base, bool again);

  // Borrowed.
  StoreContext& context_;

  // State.
  TaskScope scope_;
};

}  // namespace millrace

// Retention: removes old segments of all logs of a shard, every check interval. It looks only at
// logs that may have something to remove: those that changed since the last look (an append, a new
// configuration, a new observer) and those whose first segment has become too old meanwhile. One
// log at a time in each directory, so that it never takes more than one log's share of a disk; and
// each directory for itself, so that one that hangs, with a log's checkpoint or with its files, does
// not hold up what lies in the others. A log that is changing directories waits for both.
//
//   changed lists ┐
//                 ├─► plan (retention_rules.h) ─► start moved, durably ─► files renamed ─► removed
//   due schedule ─┘                                                       later (DeferredRemovals)
//
// Shard:    one.
// Lifetime: Stop() must have finished before destruction. Logs leave with Forget().
// Errors:   a log that fails is handled as SegmentWriter does (full disk: tried again at the next
//           look; otherwise the directory goes offline).
// Bounds:   one list link and one schedule entry per log.
// Source:   docs/storage.md, What ends a record's life; rules 11.4-11.9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "common/intrusive_list.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"
#include "storage/log_state.h"
#include "storage/retention_rules.h"
#include "storage/store_context.h"

namespace millrace {

class Retention {
 public:
  explicit Retention(StoreContext& context) : context_(context), scope_(context.env.reactor) {}

  // Begins looking by itself.
  void Start();
  Task<void> Stop();

  // Something changed that may make segments too old or too many.
  void Changed(Log::State& state) {
    if (!List::Contains(state) && state.failure.ok() && !state.deleted) Enlist(state);
  }
  // The log lies in another directory from now on.
  void Moved(Log::State& state);
  // The log takes no part any more.
  void Forget(Log::State& state);

  // Begins a look: at what has changed and what is due. A directory in which the last one has not
  // ended is left to it.
  void Look();

 private:
  using List = IntrusiveList<Log::State, &Log::State::retention_hook>;
  struct Lane {  // Of a log directory.
    List changed;
    size_t count = 0;
    bool looking = false;
  };

  // Which lane is the log's: the place of its directory among all.
  size_t LaneOf(const Log::State& state) const;
  void Enlist(Log::State& state);
  Task<void> Run();
  Task<void> LookIn(size_t lane);
  Task<void> LookAt(Log::State* state, Gate::Holder inside);
  // Plans, with the timestamps it takes.
  Task<absl::StatusOr<RetentionPlan>> Plan(Log::State& state);  // Borrowed: awaited in place.
  Task<absl::Status> Carry(Log::State& state,
                           RetentionPlan plan);  // Borrowed: awaited in place.
  void SetDue(Log::State& state, std::optional<Timestamp> due);

  // Borrowed.
  StoreContext& context_;

  // State.
  std::map<size_t, Lane> lanes_;
  // By time and then the log's number, which no other log has.
  std::map<std::pair<Timestamp, uint64_t>, Log::State*> due_;
  TaskScope scope_;
};

}  // namespace millrace

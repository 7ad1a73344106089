// LogCleaner: compacts the logs of a shard whose topics say cleanup.policy=compact, one at a time,
// the dirtiest first. It looks only at logs that may have something to compact: those in which a
// segment was closed, or something else changed, since the last look, and those for which time has
// done it (min.compaction.lag.ms, max.compaction.lag.ms).
//
//   changed list ─┐                               ┌─► not yet: until it changes again
//                 ├─► plan (compaction_rules.h) ──┼─► held back: looked at next time
//   due schedule ─┘                               └─► ready, by dirtiness ─► LogCompaction
//
// A log that cannot be compacted (bytes that fail their checksum, or that nobody can read) is
// marked: one line in the log, a gauge, and it is left alone until the next start. It is served as
// before; it only grows.
//
// Shard:    one; in the housekeeping class.
// Lifetime: Stop() must have finished before destruction. Logs leave with Forget().
// Bounds:   per log one list link, one schedule entry, one entry among the ready ones.
// Source:   docs/storage.md, Compaction; rules 13.1, 13.2.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "common/intrusive_list.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"
#include "storage/compaction/compaction_rules.h"
#include "storage/log_state.h"
#include "storage/log_store.h"

namespace millrace {

struct StoreContext;

class LogCleaner {
 public:
  explicit LogCleaner(StoreContext& context);
  ~LogCleaner();

  // Begins by itself, if it is enabled.
  void Start();
  Task<void> Stop();

  void set_options(const CleanerOptions& options);

  // Something changed that may give the log something to compact.
  void Changed(Log::State& state);
  // The log takes no part any more.
  void Forget(Log::State& state);

  // For metrics.
  size_t waiting() const { return ready_.size(); }
  double dirty_ratio_max() const { return ready_.empty() ? 0 : -ready_.begin()->first.first; }
  double seconds_since_look() const;

 private:
  using List = IntrusiveList<Log::State, &Log::State::cleaner_hook>;

  Task<void> Run();
  // Looks at what has changed and what is due.
  Task<void> Look();
  Task<void> LookAt(Log::State* state, Gate::Holder inside);
  // Compacts the log if it still may be. False: it could not be done now.
  Task<bool> Compact(Log::State* state, Gate::Holder inside);
  // Plans, with the timestamps it takes.
  Task<absl::StatusOr<CompactionPlan>> Plan(Log::State& state);  // Borrowed: awaited in place.
  Task<absl::Status> ReadFirstTime(Log::State& state,
                                   Offset base);  // Borrowed: awaited in place.
  Task<void> Backoff();
  void Settle(Log::State& state, const absl::Status& status);
  void SetDue(Log::State& state, std::optional<Timestamp> due);
  void SetReady(Log::State& state, std::optional<double> ratio);

  // Borrowed.
  StoreContext& context_;

  // State.
  CleanerOptions options_;
  List changed_;
  size_t changed_count_ = 0;
  // By time and by dirtiness, and then the log's number, which no other log has.
  std::map<std::pair<Timestamp, uint64_t>, Log::State*> due_;
  std::map<std::pair<double, uint64_t>, Log::State*> ready_;  // Ratio negated: the dirtiest first.
  Instant looked_{0};
  TaskScope scope_;
};

}  // namespace millrace

// ProducerExpiry: forgets producers that have been idle for producer.id.expiration.ms, in the logs
// of one shard.
//
// Every log that has producers stands in one schedule, ordered by when the first of them could
// expire. Nothing visits logs: appends only enter a log that is not in the schedule, and a log is
// looked at when its time has come; while producers remain, at most once per check interval. A log
// without producers costs nothing, an idle one with some is looked at once and then has none.
//
//   not scheduled --- first batch of a producer, or found at start ---> scheduled
//   scheduled ------- its time has come, producers remain ------------> scheduled, later
//   scheduled ------- its time has come, none remains ----------------> not scheduled
//
// Until it is looked at, an idle producer stays as it is (Kafka's are dropped by a timer too).
//
// Shard:    one.
// Lifetime: Stop() must have finished before destruction. Logs leave with Forget().
// Units:    the wall clock, as the state it goes by.
// Source:   rule 1.40; KIP-360.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"
#include "storage/log_state.h"

namespace millrace {

struct StoreContext;

class ProducerExpiry {
 public:
  explicit ProducerExpiry(StoreContext& context);

  void Start();
  Task<void> Stop();

  // The log has producers. Does nothing if it stands in the schedule already.
  void Schedule(Log::State& state);
  // producer.id.expiration.ms of the log has changed.
  void Reschedule(Log::State& state);
  // The log takes no part any more.
  void Forget(Log::State& state);

  size_t scheduled() const { return schedule_.size(); }
  // How often a log was looked at; for tests.
  uint64_t looks() const { return looks_; }

 private:
  using Key = std::pair<Timestamp, uint64_t>;  // When, and the log's number.

  Task<void> Loop();
  void LookAt(Log::State& state, Timestamp now);
  void Enter(Log::State& state, Timestamp due);

  // Borrowed.
  StoreContext& context_;
  // State.
  std::map<Key, Log::State*> schedule_;
  uint64_t looks_ = 0;
  Event wake_;
  TaskScope scope_;
};

}  // namespace millrace

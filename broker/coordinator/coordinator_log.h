// CoordinatorLog: the log of one coordinator, for as long as this broker leads its partition in one
// epoch: reads what is there, appends what is decided, and tells when that is committed.
//
// What is decided is applied at once and appended behind what was decided before, many records in a
// batch when many came together; what one Append() brings stays together (CoordinatorQueue). Nobody
// is told of a decision before Committed() says that it, and everything before it, will survive.
// When something cannot be appended, the log has failed for good: what has been applied is not true,
// and the coordinator must be loaded anew.
//
//   Append() ──► queue ──► batch ──► the partition's log ──► committed ──► Committed() returns
//
// Shard:      the partition's.
// Lifetime:   everything lent outlives it. Stop() must have finished before destruction.
// Errors:     failure(): kNotLeaderOrFollower, kNotEnoughReplicas, kStorageError: as Partition has
//             them.
// Durability: what Committed() returned OK for is committed, as an acks=all append is.
// Bounds:     full(): callers refuse what would write more.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "broker/coordinator/coordinator_machine.h"
#include "broker/coordinator/coordinator_queue.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "replication/offset_waiters.h"
#include "replication/partition_table.h"
#include "storage/log_store.h"

namespace millrace {

// How many records were appended when something was decided: what has to be committed before it is
// told.
using CoordinatorPlace = StrongId<struct CoordinatorPlaceTag, uint64_t>;

class CoordinatorLog {
 public:
  // `on_failure` is called once, in the middle of things: it remembers, and calls nothing back.
  CoordinatorLog(Env& env, PartitionTable& partitions, LogStore& store, TopicPartitionId id,
                 LeaderEpoch epoch, std::function<void()> on_failure);
  virtual ~CoordinatorLog();

  // Reads the log from its start to where it ends now. What of it is not committed yet counts as
  // decided: Committed() waits for it, too. An error: this broker leads no longer, or the log cannot
  // be read. REQUIRES: nothing was appended yet.
  Task<absl::Status> Load(CoordinatorMachine* machine, CancellationToken cancel);

  // OK when an append has a chance: this broker leads, and enough replicas are in sync.
  absl::Status CanWrite() const;
  // As much is queued as may be: nothing that writes is to be decided now.
  bool full() const;
  // One decision: whoever loads the log later finds all of it, or nothing. Nothing happens when the
  // log has failed: Committed() tells.
  void Append(std::vector<CoordinatorRecord> records);

  CoordinatorPlace end() const { return CoordinatorPlace(appended_); }
  // Until everything up to `place` is committed. Errors: failure(). kRequestTimedOut: it may still
  // come to be. kCancelled.
  virtual Task<absl::Status> Committed(CoordinatorPlace place, Instant deadline,
                                       CancellationToken cancel);

  // Why it can be used no longer; OK while it can.
  const absl::Status& failure() const { return failure_; }
  // Nothing is appended from now on; who waits is told.
  void Fail(absl::Status why);
  Task<void> Stop();

 protected:
  // What was loaded ends at `end`: what of it is not committed is waited for from now on.
  virtual absl::Status AwaitLoaded(Offset end);

 private:
  // A batch in the log, until it is committed.
  class Batch final : public OffsetWaiter {
   public:
    Batch(CoordinatorLog& log, uint64_t place) : log_(log), place_(place) {}
    void OnReached(const absl::Status& status) override { log_.OnCommitted(place_, status); }

   private:
    CoordinatorLog& log_;
    const uint64_t place_;
  };

  // Null when this broker does not lead in our epoch.
  Partition* Leading() const;
  void OnCommitted(uint64_t place, const absl::Status& status);
  Task<void> Write();
  absl::Status AppendBatch(BatchView batch, Admission& admission);

  // Constant after construction.
  const TopicPartitionId id_;
  const LeaderEpoch epoch_;
  // Borrowed.
  Env& env_;
  PartitionTable& partitions_;
  LogStore& store_;
  const std::function<void()> on_failure_;
  // State. Places count records: committed_ <= written_ <= appended_.
  CoordinatorQueue queue_;
  uint64_t appended_ = 0;
  uint64_t written_ = 0;
  uint64_t committed_ = 0;
  bool writing_ = false;
  std::deque<Batch> batches_;  // In the log and not committed.
  std::multimap<uint64_t, Event*> waiting_;
  absl::Status failure_;
  TaskScope scope_;
};

// How a log is made: MakeCoordinatorLog, but in tests that break its promises.
using CoordinatorLogFactory = std::function<std::unique_ptr<CoordinatorLog>(
    Env&, PartitionTable&, LogStore&, TopicPartitionId, LeaderEpoch,
    std::function<void()> on_failure)>;
std::unique_ptr<CoordinatorLog> MakeCoordinatorLog(Env& env, PartitionTable& partitions,
                                                   LogStore& store, TopicPartitionId id,
                                                   LeaderEpoch epoch,
                                                   std::function<void()> on_failure);

}  // namespace millrace

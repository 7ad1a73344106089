// HighWatermarks: what the replicas of a shard knew to be committed, kept for their next start, as
// Kafka's replication-offset-checkpoint keeps it. Written as differences, some time after a change;
// what a crash loses of it is only knowledge: the leader says it again, or the commit rule finds it.
//
// Shard:    one; `kv` is the shard's.
// Lifetime: everything lent outlives it; Stop() must have finished before destruction.
// Cost:     O(1) per change, one small write per changed partition and interval, none while nothing
//           changes.
// Errors:   a failed write is logged; the values are written with the next change.
// Source:   rule 5.7.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/kv/kv_store.h"

namespace millrace {

class HighWatermarks {
 public:
  // Asked, once for each Changed(), when it is time to write: what it is now. Nothing: the replica
  // is gone, and what was kept of it goes.
  using Source = std::function<std::optional<Offset>(const TopicPartitionId&)>;

  // `kv` may be null: nothing is kept.
  HighWatermarks(Env& env, KvStore* kv, Duration interval, Source source);

  // Reads what was kept, once; other calls wait until that has been done.
  Task<absl::Status> Load();
  // What was kept; nothing if nothing was. Forgotten here once taken.
  std::optional<Offset> Take(const TopicPartitionId& id);

  // It moved, or the replica is gone. Once until the source has been asked is enough.
  void Changed(const TopicPartitionId& id);

  // Writes what is left.
  Task<void> Stop();

 private:
  Task<void> WriteLater();
  Task<void> Write();

  Env& env_;
  KvStore* const kv_;
  const Duration interval_;
  const Source source_;
  bool loading_ = false;
  Event loaded_;
  std::map<TopicPartitionId, Offset> kept_;  // As read, until taken.
  std::vector<TopicPartitionId> changed_;
  bool writing_ = false;  // WriteLater() runs.
  TaskScope scope_;
};

}  // namespace millrace

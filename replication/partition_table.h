// PartitionTable: the replicas of one shard, by topic id and partition; opens and removes them as
// the metadata says.
//
// Shard:    one; `store` is the shard's.
// Lifetime: `store` outlives it. Partitions are valid until Remove() or Stop(): look them up anew
// after a co_await. Errors:   Open(): those of LogStore::Open(). Remove(): those of
// LogStore::Delete(). Cost:     an idle partition takes its log's memory and one entry here;
// nothing visits them all.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "replication/partition.h"
#include "storage/log_store.h"

namespace millrace {

class PartitionTable {
 public:
  PartitionTable(Env& env, LogStore& store, BrokerId self);

  // Opens the replica (its log is created when absent) or applies the change to the one that is
  // open.
  Task<absl::Status> Open(PartitionAssignment assignment,
                          std::shared_ptr<const PartitionRules> rules);
  // Ends the replica and deletes its log. OK when there is none.
  Task<absl::Status> Remove(TopicPartitionId id);
  // Deletes every log that is on disk and not among `ours`: of a topic that was deleted and whose
  // replicas had not been removed yet. Before any Open(): a topic of the same name may have been
  // made since, and its folders have the same names.
  Task<absl::Status> RemoveStrays(std::set<TopicPartitionId> ours);
  // Ends all replicas; their logs stay.
  void Close();

  // Null when this shard has no such replica.
  Partition* Find(const TopicPartitionId& id);
  size_t size() const { return partitions_.size(); }
  // Replicas in order of id.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (auto& [id, partition] : partitions_) visit(*partition);
  }

 private:
  Env& env_;
  LogStore& store_;
  const BrokerId self_;
  std::map<TopicPartitionId, std::unique_ptr<Partition>> partitions_;
};

}  // namespace millrace

// CoordinatorSet: the coordinators of one internal topic on one shard: one for each of its partitions
// that this broker leads. They come and go with the leaderships.
//
// Shard:    one.
// Lifetime: everything lent outlives it. Stop() must have finished before destruction.
#pragma once

#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/coordinator/coordinator_partition.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/task_scope.h"
#include "replication/partition_table.h"
#include "storage/log_store.h"

namespace millrace {

class CoordinatorSet {
 public:
  CoordinatorSet(Env& env, PartitionTable& partitions, LogStore& store, std::string topic,
                 CoordinatorParts make);

  const std::string& topic() const { return topic_; }

  // The metadata has changed what this shard's replica of `id` is, or whether there is one.
  void OnPartition(TopicPartitionId id);
  // The topic itself, or others.
  void OnTopicsDeleted(const std::vector<DeletedTopic>& topics);
  // From now on there are no coordinators.
  Task<void> Stop();

  // Null: coordinated elsewhere.
  CoordinatorPartition* Find(TopicPartitionId id) const;
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& [id, partition] : partitions_) visit(*partition);
  }

 private:
  void End(TopicPartitionId id);
  Task<void> StopOne(std::shared_ptr<CoordinatorPartition> partition);

  // Constant after construction.
  const std::string topic_;
  const CoordinatorParts make_;
  // Borrowed.
  Env& env_;
  PartitionTable& table_;
  LogStore& store_;
  // State.
  std::map<TopicPartitionId, std::shared_ptr<CoordinatorPartition>> partitions_;
  bool stopping_ = false;
  TaskScope ending_;
};

}  // namespace millrace

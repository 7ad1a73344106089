// MetadataApplier: makes this broker's partitions what the metadata says: opens, changes and
// removes replicas, in the order of the log, one change at a time.
//
// Shard:    shard 0. Cost is O(changed): only the topics of a delta are looked at.
// Lifetime: everything lent outlives it; Stop() must have finished before destruction.
// Errors:   a replica that cannot be opened is logged and stays closed (clients get
// NOT_LEADER_OR_FOLLOWER and retry);
//           neighbours are unaffected.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "broker/broker.h"
#include "broker/topic_config_source.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "controller/controller.h"
#include "replication/partition_table.h"

namespace millrace {

class MetadataApplier final : public MetadataFollower, public MetadataProgress {
 public:
  MetadataApplier(Env& env, BrokerId self, PartitionTable& partitions,
                  const TopicConfigSource& configs);

  // Everything in `image`, as if it had just been decided: how a start catches up.
  Task<absl::Status> ApplyAll(std::shared_ptr<const MetadataImage> image);
  // From now on what OnMetadata() is told.
  void Start();
  Task<void> Stop();

  void OnMetadata(std::shared_ptr<const MetadataImage> image, const MetadataDelta& delta) override;
  Task<void> Applied(RaftIndex index) override;

 private:
  struct Change {
    std::shared_ptr<const MetadataImage> image;
    std::set<TopicId> changed;
    std::map<TopicId, MetadataImage::Topic> removed;
  };
  Task<void> Run();
  Task<void> ApplyTopic(MetadataImage::Topic topic);
  Task<void> OpenPartition(MetadataImage::Topic topic, PartitionId id,
                           std::shared_ptr<const PartitionRules> rules);
  Task<void> RemoveTopic(MetadataImage::Topic topic);

  Env& env_;
  const BrokerId self_;
  PartitionTable& partitions_;
  const TopicConfigSource& configs_;
  std::deque<Change> queue_;  // Bounded by the controller: it decides one thing at a time and its
                              // callers wait here.
  std::optional<RaftIndex> applied_;
  Event changed_;
  TaskScope scope_;
};

}  // namespace millrace

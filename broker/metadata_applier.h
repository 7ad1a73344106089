// MetadataApplier: makes one shard's partitions what the metadata says: opens, changes and removes
// replicas. Also holds the image that the shard's requests look at. What is done when, on which
// shards, is the MetadataPublisher's.
//
// Shard:    one per shard. Cost is O(changed): only the partitions of a change are looked at.
// Lifetime: everything lent outlives it, and it outlives the publisher's calls.
// Errors:   a replica that cannot be opened is logged and stays closed (clients get
//           NOT_LEADER_OR_FOLLOWER and retry); neighbours are unaffected.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/topic_config_source.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "controller/image/metadata_image.h"
#include "controller/image/metadata_source.h"
#include "replication/partition_table.h"

namespace millrace {

class DirectoryReports;
enum class RepairStep;
class GroupService;
class LogStore;
class ReplicationShard;

// One step of the metadata, as every shard gets it.
struct MetadataChange {
  std::shared_ptr<const MetadataImage> image;
  std::set<TopicId> changed;
  // Of changed topics those where only these partitions are concerned.
  std::map<TopicId, std::set<PartitionId>> partitions;
  std::map<TopicId, MetadataImage::Topic> removed;
  // What was set at runtime for all brokers, or for these, has changed: topics fall back on it.
  bool broker_defaults = false;
  std::set<BrokerId> broker_configs = {};
  // Registered, changed or unregistered.
  std::set<BrokerId> brokers = {};

  // Null: all of the topic.
  const std::set<PartitionId>* PartitionsOf(const TopicId& topic) const {
    auto found = partitions.find(topic);
    return found == partitions.end() ? nullptr : &found->second;
  }
  bool Concerns(const TopicPartitionId& id) const {
    if (!changed.contains(id.topic_id)) return false;
    const std::set<PartitionId>* some = PartitionsOf(id.topic_id);
    return some == nullptr || some->contains(id.partition);
  }
};

class MetadataApplier final : public MetadataSource {
 public:
  MetadataApplier(Env& env, BrokerId self, uint32_t shards, PartitionTable& partitions,
                  const TopicConfigSource& configs);

  // The latest image that was published to this shard; an empty one before the first.
  const std::shared_ptr<const MetadataImage>& image() const override { return image_; }
  // Wakes who waits with each image that is published; nobody may wait when this is destroyed.
  Event& published() const { return published_; }

  // How a start catches up: what is on disk and not in `image` is set aside on all shards first; then
  // everything in it is opened, as if it had just been decided.
  Task<absl::Status> SetStraysAside(std::shared_ptr<const MetadataImage> image);
  Task<void> OpenAll(std::shared_ptr<const MetadataImage> image);

  // The log of this replica turned out to be damaged: see broker/replica_repair.h.
  Task<void> Repair(TopicPartitionId id);

  // The two halves of a change. Each publishes its image; the second one also opens what changed.
  Task<void> Remove(std::shared_ptr<const MetadataChange> change);
  Task<void> Apply(std::shared_ptr<const MetadataChange> change);

  // Hears where replicas lie, when the metadata says otherwise. Null: nobody.
  void set_directories(DirectoryReports* directories) { directories_ = directories; }
  // Hears of leaderships of the topic that keeps groups, and of topics that are gone. Null: nobody.
  void set_groups(GroupService* groups) { groups_ = groups; }
  // Told what compaction may take, when that changes, and where a repaired replica goes. Null: nobody.
  void set_store(LogStore* store) { store_ = store; }
  // Hears of brokers that changed, and of replication throttles. Null: nobody.
  void set_replication(ReplicationShard* replication) { replication_ = replication; }

 private:
  void Publish(std::shared_ptr<const MetadataImage> image);
  // What the topic's partitions go by, as of image_.
  std::shared_ptr<const PartitionRules> RulesOf(const TopicImage& topic);
  // Whether this broker has a replica of the partition, and on this shard.
  bool IsOurs(const TopicImage& topic, PartitionId id) const;
  // What changed of a topic.
  struct TopicChange {
    MetadataImage::Topic topic;
    std::vector<PartitionId> partitions;  // In order.
  };
  // Those of many topics, first the logs of all replicas that are new here.
  Task<void> ApplyTopics(std::vector<TopicChange> changes);
  Task<void> MakeLogs(std::shared_ptr<const std::vector<TopicChange>> changes);
  Task<void> ApplyTopic(MetadataImage::Topic topic, std::vector<PartitionId> changed);
  // Before its log is looked for: where it lies must not be made anew elsewhere.
  void NoteAssigned(const TopicImage& topic, PartitionId id);
  Task<void> OpenPartition(MetadataImage::Topic topic, PartitionId id,
                           std::shared_ptr<const PartitionRules> rules);
  void TellCoordinator(const std::string& topic, TopicPartitionId id);
  RepairStep NextStep(const PartitionAssignment& replica, const PartitionRules& rules);
  Task<void> GiveUp(std::string topic, TopicPartitionId id);
  // Deletes the damaged log of a replica that counts no more. False: it is still there.
  Task<bool> ThrowAway(std::string topic, TopicPartitionId id);
  Task<void> TellDirectory(TopicPartitionId id, DirectoryId assigned);
  // The partition has other replicas now.
  std::vector<PartitionId> WithFailed(const TopicImage& topic,
                                      std::vector<PartitionId> changed) const;
  Task<void> RemoveMoved(MetadataImage::Topic topic, PartitionId id);
  // Brokers were registered, fenced, or the like.
  void ApplyBrokers(const MetadataChange& change);
  Task<void> RemoveTopic(MetadataImage::Topic topic);
  // On which shards throttles may have to hold back replicas of the topic.
  void ShareThrottles(const TopicImage& topic);

  Env& env_;
  const BrokerId self_;
  const uint32_t shards_;
  PartitionTable& partitions_;
  const TopicConfigSource& configs_;
  ReplicationShard* replication_ = nullptr;
  LogStore* store_ = nullptr;
  DirectoryReports* directories_ = nullptr;
  GroupService* groups_ = nullptr;
  std::set<TopicPartitionId> given_up_;  // Damaged replicas of which the controller was told.
  // Could not be opened, or not be removed: tried again with any change of their topic.
  std::set<TopicPartitionId> failed_;
  std::shared_ptr<const MetadataImage> image_;
  // Of topics without a configuration of their own, which most are; made when one is asked for.
  std::shared_ptr<const PartitionRules> plain_rules_;
  mutable Event published_;
};

}  // namespace millrace

// MetadataDelta: what a run of committed records changes in an image. Applying is the only way
// state changes, at runtime and at recovery alike; a snapshot reaches listeners as a delta too, so
// that they have one code path.
//
// Pure: no I/O, no clock. Records come from the committed log, so a record that does not fit the
// image is our own bug or a rotten log: Apply() says kDataLoss and the image is not to be
// published.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "controller/image/metadata_image.h"
#include "controller/image/metadata_record.h"

namespace millrace {

class MetadataDelta {
 public:
  // `keeps_lists`: lists are shared with what comes later, too. False for images that nobody keeps.
  explicit MetadataDelta(std::shared_ptr<const MetadataImage> base, bool keeps_lists = true);
  MetadataDelta(MetadataDelta&&) = default;
  MetadataDelta& operator=(MetadataDelta&&) = delete;
  // What leads from `base` to `next`, which came of a snapshot: for listeners. Costs O(topics).
  static MetadataDelta Between(std::shared_ptr<const MetadataImage> base,
                               const MetadataImage& next);

  absl::Status Apply(const MetadataRecord& record);

  // The image with everything applied, as of `index`. The delta stays valid for its accessors.
  std::shared_ptr<const MetadataImage> Build(RaftIndex index);

  // Topics that were created or changed, by id; and those that are gone (with what they were
  // before).
  const std::set<TopicId>& changed_topics() const { return changed_topics_; }
  // Of changed topics those where nothing but these partitions changed, or is new. One that is not
  // here is to be looked at as a whole.
  const std::map<TopicId, std::set<PartitionId>>& changed_partitions() const {
    return changed_partitions_;
  }
  const std::map<TopicId, MetadataImage::Topic>& removed_topics() const { return removed_topics_; }
  // Brokers that were registered, changed or unregistered.
  const std::set<BrokerId>& changed_brokers() const { return changed_brokers_; }
  bool brokers_changed() const { return brokers_ != nullptr; }
  bool broker_defaults_changed() const { return broker_defaults_ != nullptr; }
  // Brokers with changed overrides of their own.
  const std::set<BrokerId>& changed_broker_configs() const { return changed_broker_configs_; }
  bool controllers_changed() const { return controllers_ != nullptr; }
  bool features_changed() const { return features_ != nullptr; }

 private:
  absl::Status ApplyOne(const TopicRecord& record);
  absl::Status ApplyOne(const RemoveTopicRecord& record);
  absl::Status ApplyOne(const PartitionRecord& record);
  // False when there is no such topic.
  bool TouchPartitionsOf(const TopicId& id);
  absl::Status ApplyOne(const ConfigRecord& record);
  absl::Status ApplyOne(const RegisterBrokerRecord& record);
  absl::Status ApplyOne(const ProducerIdsRecord& record);
  absl::Status ApplyOne(const FeatureLevelRecord& record);
  absl::Status ApplyOne(const UnregisterBrokerRecord& record);
  absl::Status ApplyOne(const BrokerChangeRecord& record);
  absl::Status ApplyOne(const RegisterControllerRecord& record);
  absl::Status ApplyOne(const UnregisterControllerRecord& record);
  absl::Status ApplyOne(const NoOpRecord&) { return absl::OkStatus(); }
  absl::Status ApplyBrokerConfig(const ConfigRecord& record);
  // The broker for change, if it is registered with that epoch.
  absl::StatusOr<BrokerImage*> TouchBroker(BrokerId id, BrokerEpoch epoch);
  // Brings topics_by_broker_ up to date with what became of the topic's replicas.
  void IndexReplicas(const TopicId& id, const TopicImage* before, const TopicImage* after);
  // Puts the topic among those with a replica on `broker`, or takes it out.
  void IndexReplica(BrokerId broker, const TopicId& id, bool has_replica);
  // Makes the list one with an equal one that is known already, if there is.
  template <typename T>
  void Share(SharedList<T>& list);
  // The topic, copied for change on first touch; null when there is none.
  TopicImage* Touch(const TopicId& id);
  // More than some of its partitions changes.
  void NoteWhole(const TopicId& id);

  std::shared_ptr<const MetadataImage> base_;
  const bool keeps_lists_;
  MetadataImage next_;
  std::map<TopicId, std::shared_ptr<TopicImage>> touched_;
  std::set<TopicId> moved_topics_;  // Touched ones whose replicas are others than before.
  std::set<TopicId> changed_topics_;
  std::set<TopicId> whole_topics_;  // Changed ones, which are not in changed_partitions_.
  std::map<TopicId, std::set<PartitionId>> changed_partitions_;
  // The topic of the partition before, which is most often that of the next one, too.
  struct Last {
    TopicId id;
    TopicImage* topic;
    bool moved;
    std::set<PartitionId>* partitions;  // Null: of whole_topics_.
  };
  std::optional<Last> last_;
  std::map<TopicId, MetadataImage::Topic> removed_topics_;
  std::set<BrokerId> changed_brokers_;
  std::set<BrokerId> changed_broker_configs_;
  // Copied for change on first touch.
  std::shared_ptr<std::map<int32_t, BrokerImage>> brokers_;
  std::shared_ptr<ConfigOverrides> broker_defaults_;
  std::shared_ptr<std::map<int32_t, ConfigOverrides>> broker_configs_;
  std::shared_ptr<std::map<std::string, ConfigOverrides>> group_configs_;
  std::shared_ptr<std::map<int32_t, ControllerImage>> controllers_;
  std::shared_ptr<FeatureLevels> features_;
  std::shared_ptr<ListPool> lists_;
};

}  // namespace millrace

// MetadataDelta: what a run of committed records changes in an image. Applying is the only way
// state changes, at runtime and at recovery alike; a snapshot reaches listeners as a delta too, so
// that they have one code path.
//
// Pure: no I/O, no clock. Records come from the committed log, so a record that does not fit the
// image is our own bug or a rotten log: Apply() says kDataLoss and the image is not to be
// published.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "controller/image/metadata_image.h"
#include "controller/image/metadata_record.h"

namespace millrace {

class MetadataDelta {
 public:
  explicit MetadataDelta(std::shared_ptr<const MetadataImage> base);

  absl::Status Apply(const MetadataRecord& record);

  // The image with everything applied, as of `index`. The delta stays valid for its accessors.
  std::shared_ptr<const MetadataImage> Build(RaftIndex index);

  // Topics that were created or changed, by id; and those that are gone (with what they were
  // before).
  const std::set<TopicId>& changed_topics() const { return changed_topics_; }
  const std::map<TopicId, MetadataImage::Topic>& removed_topics() const { return removed_topics_; }
  bool brokers_changed() const { return brokers_ != nullptr; }
  bool broker_defaults_changed() const { return broker_defaults_ != nullptr; }

 private:
  absl::Status ApplyOne(const TopicRecord& record);
  absl::Status ApplyOne(const RemoveTopicRecord& record);
  absl::Status ApplyOne(const PartitionRecord& record);
  absl::Status ApplyOne(const ConfigRecord& record);
  absl::Status ApplyOne(const RegisterBrokerRecord& record);
  absl::Status ApplyOne(const ProducerIdsRecord& record);
  absl::Status ApplyOne(const FeatureLevelRecord& record);
  // The topic, copied for change on first touch; null when there is none.
  TopicImage* Touch(const TopicId& id);

  std::shared_ptr<const MetadataImage> base_;
  MetadataImage next_;
  std::map<TopicId, std::shared_ptr<TopicImage>> touched_;
  std::set<TopicId> changed_topics_;
  std::map<TopicId, MetadataImage::Topic> removed_topics_;
  std::shared_ptr<std::map<int32_t, BrokerImage>> brokers_;
  std::shared_ptr<ConfigOverrides> broker_defaults_;
};

}  // namespace millrace

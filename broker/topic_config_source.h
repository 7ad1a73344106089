// TopicConfigSource: what a topic's configuration comes to on this node, and in which form each part
// of the broker wants it. What was set at runtime for brokers is in the image; the node's own file
// is here.
//
// Shard:    any; immutable after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/config/config_source.h"
#include "common/config/topic_config.h"
#include "controller/image/metadata_image.h"
#include "replication/partition.h"
#include "replication/throttled_partitions.h"
#include "storage/log_store.h"

namespace millrace {

class TopicConfigSource {
 public:
  // `own` is what the node's file and command line set.
  TopicConfigSource(BrokerId self, ServerConfigValues own) : self_(self), own_(std::move(own)) {}

  const ServerConfigValues& own() const { return own_; }
  // What this node's keys are set to, by source.
  ServerConfigValues Server(const MetadataImage& image) const {
    return {own_.static_values, image.broker_defaults(), image.broker_configs(self_)};
  }
  // What compaction may take on each of `shards` shards.
  CleanerOptions Cleaner(const MetadataImage& image, uint32_t shards) const;
  // The rates of this node's replication throttles, and which of a topic's partitions they are for here.
  ThrottleRates Throttles(const MetadataImage& image) const;
  TopicThrottles Throttled(const TopicImage& topic) const;
  // What the topic's partitions go by; shared by all of them.
  std::shared_ptr<const PartitionRules> Rules(const MetadataImage& image,
                                              const TopicImage& topic) const;
  std::vector<ConfigEntry> Describe(const MetadataImage& image,
                                    const ConfigOverrides& overrides) const {
    return DescribeTopicConfig(overrides, Server(image));
  }

 private:
  const BrokerId self_;
  const ServerConfigValues own_;
};

}  // namespace millrace

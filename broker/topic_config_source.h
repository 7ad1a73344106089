// TopicConfigSource: what a topic's configuration comes to on this broker, and in which form each
// part of the broker wants it.
//
// Shard:    any; immutable after construction (runtime changes of broker configs come with their
// API).
#pragma once

#include <memory>
#include <vector>

#include "common/config/config_source.h"
#include "common/config/topic_config.h"
#include "controller/image/metadata_image.h"
#include "replication/partition.h"

namespace millrace {

class TopicConfigSource {
 public:
  TopicConfigSource(ServerConfigValues server, int64_t producer_id_expiration_ms)
      : server_(std::move(server)), producer_id_expiration_ms_(producer_id_expiration_ms) {}

  TopicConfig Resolve(const TopicImage& topic) const {
    return ResolveTopicConfig(topic.configs, server_);
  }
  // What the topic's partitions go by; shared by all of them.
  std::shared_ptr<const PartitionRules> Rules(const TopicImage& topic) const;
  absl::Status Validate(const ConfigOverrides& overrides) const {
    return ValidateTopicConfig(overrides, server_);
  }
  std::vector<ConfigEntry> Describe(const ConfigOverrides& overrides) const {
    return DescribeTopicConfig(overrides, server_);
  }
  const ServerConfigValues& server() const { return server_; }

 private:
  const ServerConfigValues server_;
  const int64_t producer_id_expiration_ms_;
};

}  // namespace millrace

// TopicDescription: what `topic describe` knows of a topic, and its two forms: the layout of
// kafka-topics --describe, which people grep, and JSON.
//
// Shard: any; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/json/json_writer.h"

namespace millrace {

struct PartitionDescription {
  PartitionId id{0};
  std::optional<BrokerId> leader;
  std::vector<BrokerId> replicas;
  std::vector<BrokerId> in_sync;
  // KIP-966; nothing from a broker that does not say.
  std::optional<std::vector<BrokerId>> eligible;
  std::optional<std::vector<BrokerId>> last_known_eligible;
};

struct TopicDescription {
  struct Config {
    std::string name;
    std::string value;
  };
  std::string name;
  std::optional<TopicId> id;
  bool internal = false;
  std::vector<PartitionDescription> partitions;
  std::vector<Config> configs;  // Those that are not at their default.

  size_t replication_factor() const {
    return partitions.empty() ? 0 : partitions.front().replicas.size();
  }
};

std::string DescriptionText(const TopicDescription& topic);
void DescriptionJson(const TopicDescription& topic, JsonWriter& json);

}  // namespace millrace

// MetadataImage: everything the cluster knows about itself, as of one index of the metadata log.
// Immutable; a MetadataDelta builds the next one.
//
// Shard:    any; held as std::shared_ptr<const MetadataImage>. Images share structure per topic.
// Order:    topics by name, brokers by id: the same in every process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/persistent_map.h"

namespace millrace {

// One partition as the controller last decided it.
struct PartitionImage {
  std::vector<BrokerId> replicas;  // Preferred leader first; never empty.
  std::vector<BrokerId> isr;
  std::optional<BrokerId> leader;
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  std::vector<DirectoryId> directories;  // Parallel to replicas.
  friend bool operator==(const PartitionImage&, const PartitionImage&) = default;
};

using ConfigOverrides =
    std::map<std::string, std::string, std::less<>>;  // ConfigMap of common/config.

struct TopicImage {
  std::string name;
  TopicId topic_id{0, 0};
  std::vector<PartitionImage> partitions;  // By partition id, without holes.
  ConfigOverrides configs;

  const PartitionImage* Find(PartitionId partition) const {
    size_t index = static_cast<size_t>(partition.value());
    return partition.value() < 0 || index >= partitions.size() ? nullptr : &partitions[index];
  }
};

struct BrokerEndpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  std::string security_protocol;
  friend bool operator==(const BrokerEndpoint&, const BrokerEndpoint&) = default;
};

struct BrokerImage {
  BrokerId id{0};
  BrokerEpoch epoch{0};
  IncarnationId incarnation{0, 0};
  std::vector<BrokerEndpoint> endpoints;
  std::optional<std::string> rack;
  std::vector<DirectoryId> log_directories;
  bool fenced = true;

  const BrokerEndpoint* FindEndpoint(std::string_view listener) const;
};

class MetadataImage {
 public:
  using Topic = std::shared_ptr<const TopicImage>;

  // The last index whose records are in here; nothing before the first.
  const std::optional<RaftIndex>& index() const { return index_; }

  Topic FindTopic(const std::string& name) const;
  Topic FindTopic(const TopicId& id) const;
  const BrokerImage* FindBroker(BrokerId id) const;
  const std::map<int32_t, BrokerImage>& brokers() const { return *brokers_; }
  const PersistentMap<std::string, Topic>& topics() const { return topics_; }
  // A topic whose name would give the same metric names ('.' and '_' are the same there), or null.
  Topic FindCollision(const std::string& name) const;
  const ConfigOverrides& broker_defaults() const { return *broker_defaults_; }
  int64_t next_producer_id() const { return next_producer_id_; }
  size_t partition_count() const { return partition_count_; }

 private:
  friend class MetadataDelta;  // The one writer, of images nobody else has seen yet.
  std::optional<RaftIndex> index_;
  PersistentMap<std::string, Topic> topics_;
  PersistentMap<TopicId, Topic> topics_by_id_;
  PersistentMap<std::string, std::string>
      names_by_metric_;  // '.' replaced by '_' -> a name in use.
  std::shared_ptr<const std::map<int32_t, BrokerImage>> brokers_ =
      std::make_shared<const std::map<int32_t, BrokerImage>>();
  std::shared_ptr<const ConfigOverrides> broker_defaults_ =
      std::make_shared<const ConfigOverrides>();
  int64_t next_producer_id_ = 0;
  size_t partition_count_ = 0;
};

// The name with '.' replaced by '_': what Kafka's metric names make of it.
std::string MetricName(std::string_view topic);

}  // namespace millrace

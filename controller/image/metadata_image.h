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
#include "common/shared_list.h"

namespace millrace {

class ListPool;

// Lists while they are put together. In an image they are SharedLists.
using BrokerIds = std::vector<BrokerId>;
using DirectoryIds = std::vector<DirectoryId>;

// Directory ids that name no directory (KIP-858).
inline constexpr DirectoryId kUnassignedDirectory{0, 0};  // The broker has not yet said where.
inline constexpr DirectoryId kLostDirectory{0, 1};        // In one that is offline.
inline constexpr DirectoryId kMigratingDirectory{0, 2};   // Was there before directories had ids.

// Whether a leader that was elected uncleanly has dealt with what that means (KIP-704).
enum class LeaderRecovery : uint8_t { kRecovered, kRecovering };

// One partition as the controller last decided it.
//
// Invariant: isr, elr, adding and removing are subsets of replicas; isr and elr are disjoint; a
//            leader is in isr.
// Memory:    every broker keeps all of them: 80 bytes each. The lists are shared, with each other
//            (the isr is most often equal to the replicas) and with other partitions (list_pool.h).
struct PartitionImage {
  // Preferred leader first; never empty. During a reassignment also `removing`.
  SharedList<BrokerId> replicas;
  SharedList<BrokerId> isr;             // May be empty (KIP-966); then nobody leads.
  SharedList<DirectoryId> directories;  // Parallel to replicas.
  SharedList<BrokerId> adding;          // A reassignment's (KIP-455).
  SharedList<BrokerId> removing;
  SharedList<BrokerId> elr;             // Eligible leader replicas (KIP-966).
  SharedList<BrokerId> last_known_elr;  // Who led last, while isr and elr are empty.
  std::optional<BrokerId> leader;
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  LeaderRecovery recovery = LeaderRecovery::kRecovered;
  friend bool operator==(const PartitionImage&, const PartitionImage&) = default;

  bool reassigning() const { return !adding.empty() || !removing.empty(); }
  // Where `broker`'s replica lives; kUnassignedDirectory when it has none.
  DirectoryId DirectoryOf(BrokerId broker) const;
};
static_assert(sizeof(PartitionImage) == 80);

using ConfigOverrides =
    std::map<std::string, std::string, std::less<>>;  // ConfigMap of common/config.

struct TopicImage {
  std::string name;
  TopicId topic_id{0, 0};
  std::vector<PartitionImage> partitions;  // By partition id, without holes.
  ConfigOverrides configs;

  friend bool operator==(const TopicImage&, const TopicImage&) = default;

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

struct LogDirectoryImage {
  DirectoryId id;
  bool online = true;
  // Everything that was acknowledged as durable from it had been replayed when the broker
  // registered: its replicas of `disk` topics count as cleanly stopped.
  bool replayed = false;
  friend bool operator==(const LogDirectoryImage&, const LogDirectoryImage&) = default;
};

// The levels of a feature that a node can serve; see feature_levels.h.
struct FeatureRange {
  std::string name;
  int32_t min_level = 0;
  int32_t max_level = 0;
  friend bool operator==(const FeatureRange&, const FeatureRange&) = default;
};

struct BrokerImage {
  BrokerId id{0};
  BrokerEpoch epoch{0};  // The index of the registration.
  IncarnationId incarnation{0, 0};
  std::vector<BrokerEndpoint> endpoints;
  std::optional<std::string> rack;
  std::vector<LogDirectoryImage> log_directories;
  std::vector<FeatureRange> features;
  bool fenced = true;
  bool in_controlled_shutdown = false;
  bool draining = false;  // Gets no new replicas: it is being decommissioned.
  friend bool operator==(const BrokerImage&, const BrokerImage&) = default;

  const BrokerEndpoint* FindEndpoint(std::string_view listener) const;
  const LogDirectoryImage* FindDirectory(const DirectoryId& id) const;
  // May be in an ISR and lead.
  bool active() const { return !fenced && !in_controlled_shutdown; }
};

struct ControllerImage {
  BrokerId id{0};
  IncarnationId incarnation{0, 0};
  DirectoryId directory{0, 0};  // Of the metadata log.
  std::vector<BrokerEndpoint> endpoints;
  std::vector<FeatureRange> features;
  friend bool operator==(const ControllerImage&, const ControllerImage&) = default;
};

// Some of the topics that have a replica on a broker: those whose ids begin with the same byte.
// Together, because a node of a map takes six times as much as an id.
struct BrokerTopics {
  BrokerId broker;
  uint32_t first_byte;

  static BrokerTopics With(BrokerId broker, const TopicId& topic) {
    return {broker, static_cast<uint32_t>(topic.high() >> 56)};
  }
  friend constexpr auto operator<=>(const BrokerTopics&, const BrokerTopics&) = default;
};

// What an image takes on the heap, in bytes as glibc's malloc deals them out.
struct ImageBytes {
  size_t partitions = 0;  // The arrays of PartitionImages.
  size_t lists = 0;       // Their lists, a shared one once.
  size_t topics = 0;      // TopicImages without their partitions: names, configs.
  size_t indexes = 0;     // Maps by name, id, metric name and broker.
  size_t total() const { return partitions + lists + topics + indexes; }
};

// Finalised levels; a feature that is not here is at level 0.
using FeatureLevels = std::map<std::string, int32_t, std::less<>>;

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
  // Calls visit(topic) for each topic that has a replica on `broker`, by topic id: what a change of
  // a broker concerns.
  template <typename Visit>
  void ForEachTopicOf(BrokerId broker, Visit visit) const {
    topics_by_broker_.ForEachFrom(BrokerTopics{broker, 0},
                                  [&](const BrokerTopics& key, const SharedList<TopicId>& topics) {
                                    if (key.broker != broker) return false;
                                    for (const TopicId& id : topics) visit(FindTopic(id));
                                    return true;
                                  });
  }
  // A topic whose name would give the same metric names ('.' and '_' are the same there), or null.
  Topic FindCollision(const std::string& name) const;
  const ConfigOverrides& broker_defaults() const { return *broker_defaults_; }
  // The overrides of one broker alone; empty when it has none. It need not be registered.
  const ConfigOverrides& broker_configs(BrokerId id) const;
  const std::map<int32_t, ConfigOverrides>& all_broker_configs() const { return *broker_configs_; }
  // The overrides of one group; empty when it has none. Nothing says that there is such a group.
  const ConfigOverrides& group_configs(const std::string& group_id) const;
  const std::map<std::string, ConfigOverrides>& all_group_configs() const {
    return *group_configs_;
  }
  const std::map<int32_t, ControllerImage>& controllers() const { return *controllers_; }
  const FeatureLevels& features() const { return *features_; }
  int32_t feature_level(std::string_view name) const;
  int64_t next_producer_id() const { return next_producer_id_; }
  size_t partition_count() const { return partition_count_; }
  // Whether both know the same, whatever they share and whatever log led there.
  bool SameAs(const MetadataImage& other) const;
  // Of the topics; what there is of brokers, controllers and defaults is small. For measurements:
  // costs O(partitions).
  ImageBytes CountBytes() const;

 private:
  friend class MetadataDelta;  // The one writer, of images nobody else has seen yet.
  std::optional<RaftIndex> index_;
  PersistentMap<std::string, Topic> topics_;
  PersistentMap<TopicId, Topic> topics_by_id_;
  PersistentMap<BrokerTopics, SharedList<TopicId>> topics_by_broker_;  // Lists by id; none empty.
  PersistentMap<std::string, TopicId> topics_by_metric_;  // By name with '.' replaced by '_'.
  std::shared_ptr<const ListPool> lists_;                 // Null before the first partition.
  std::shared_ptr<const std::map<int32_t, BrokerImage>> brokers_ =
      std::make_shared<const std::map<int32_t, BrokerImage>>();
  std::shared_ptr<const ConfigOverrides> broker_defaults_ =
      std::make_shared<const ConfigOverrides>();
  std::shared_ptr<const std::map<int32_t, ConfigOverrides>> broker_configs_ =
      std::make_shared<const std::map<int32_t, ConfigOverrides>>();
  std::shared_ptr<const std::map<std::string, ConfigOverrides>> group_configs_ =
      std::make_shared<const std::map<std::string, ConfigOverrides>>();
  std::shared_ptr<const std::map<int32_t, ControllerImage>> controllers_ =
      std::make_shared<const std::map<int32_t, ControllerImage>>();
  std::shared_ptr<const FeatureLevels> features_ = std::make_shared<const FeatureLevels>();
  int64_t next_producer_id_ = 0;
  size_t partition_count_ = 0;
};

// The name with '.' replaced by '_': what Kafka's metric names make of it.
std::string MetricName(std::string_view topic);

}  // namespace millrace

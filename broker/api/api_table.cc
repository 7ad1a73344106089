#include "broker/api/api_table.h"

#include <algorithm>
#include <array>

#include "broker/api/handlers.h"

namespace millrace {
namespace {

using kafka::ApiKey;

struct Versions {
  int16_t min;
  int16_t max;
};

// Of a broker's partitions.
constexpr ApiEntry OfBroker(ApiKey key, Versions versions, BrokerHandler handler) {
  return {
      key,     versions.min, versions.max, versions.min, ServedOn::kBroker, AnsweredBy::kAnyNode,
      handler, nullptr};
}

// Answered from what this node knows.
constexpr ApiEntry Anywhere(ApiKey key, Versions versions, ServedOn on, AdminHandler handler) {
  return {key, versions.min,         versions.max, versions.min,
          on,  AnsweredBy::kAnyNode, nullptr,      handler};
}

constexpr ApiEntry OfController(ApiKey key, Versions versions, ServedOn on, AdminHandler handler) {
  return {key,     versions.min, versions.max, versions.min, on, AnsweredBy::kActiveController,
          nullptr, handler};
}

// Kafka 4.4 lists Produce from 0, because old librdkafka builds look for it, and refuses what is
// below 3.
constexpr ApiEntry Produce() {
  ApiEntry entry = OfBroker(ApiKey::kProduce, {3, 13}, HandleProduce);
  entry.min_advertised = 0;
  return entry;
}

constexpr std::array kServed{
    Produce(),
    OfBroker(ApiKey::kFetch, {4, 18}, HandleFetch),
    OfBroker(ApiKey::kListOffsets, {1, 11}, HandleListOffsets),
    OfBroker(ApiKey::kMetadata, {0, 13}, HandleMetadata),
    OfBroker(ApiKey::kOffsetCommit, {2, 10}, HandleOffsetCommit),
    OfBroker(ApiKey::kOffsetFetch, {1, 10}, HandleOffsetFetch),
    OfBroker(ApiKey::kFindCoordinator, {0, 6}, HandleFindCoordinator),
    OfBroker(ApiKey::kJoinGroup, {0, 9}, HandleJoinGroup),
    OfBroker(ApiKey::kHeartbeat, {0, 4}, HandleHeartbeat),
    OfBroker(ApiKey::kLeaveGroup, {0, 5}, HandleLeaveGroup),
    OfBroker(ApiKey::kSyncGroup, {0, 5}, HandleSyncGroup),
    OfBroker(ApiKey::kDescribeGroups, {0, 6}, HandleDescribeGroups),
    OfBroker(ApiKey::kListGroups, {0, 5}, HandleListGroups),
    Anywhere(ApiKey::kApiVersions, {0, 5}, ServedOn::kBoth, HandleApiVersions),
    OfController(ApiKey::kCreateTopics, {2, 7}, ServedOn::kBoth, HandleCreateTopics),
    OfController(ApiKey::kDeleteTopics, {1, 6}, ServedOn::kBoth, HandleDeleteTopics),
    OfBroker(ApiKey::kDeleteRecords, {0, 2}, HandleDeleteRecords),
    OfBroker(ApiKey::kInitProducerId, {0, 5}, HandleInitProducerId),
    OfBroker(ApiKey::kOffsetForLeaderEpoch, {2, 4}, HandleOffsetForLeaderEpoch),
    Anywhere(ApiKey::kDescribeConfigs, {1, 4}, ServedOn::kBoth, HandleDescribeConfigs),
    OfController(ApiKey::kAlterConfigs, {0, 2}, ServedOn::kBoth, HandleAlterConfigs),
    OfBroker(ApiKey::kAlterReplicaLogDirs, {1, 2}, HandleAlterReplicaLogDirs),
    OfBroker(ApiKey::kDescribeLogDirs, {1, 5}, HandleDescribeLogDirs),
    OfController(ApiKey::kCreatePartitions, {0, 3}, ServedOn::kBoth, HandleCreatePartitions),
    OfBroker(ApiKey::kDeleteGroups, {0, 3}, HandleDeleteGroups),
    OfController(ApiKey::kElectLeaders, {0, 2}, ServedOn::kBoth, HandleElectLeaders),
    OfController(ApiKey::kIncrementalAlterConfigs, {0, 1}, ServedOn::kBoth,
                 HandleIncrementalAlterConfigs),
    OfController(ApiKey::kAlterPartitionReassignments, {0, 1}, ServedOn::kBoth,
                 HandleAlterPartitionReassignments),
    OfController(ApiKey::kListPartitionReassignments, {0, 0}, ServedOn::kBoth,
                 HandleListPartitionReassignments),
    OfBroker(ApiKey::kOffsetDelete, {0, 0}, HandleOffsetDelete),
    OfController(ApiKey::kDescribeQuorum, {0, 2}, ServedOn::kBoth, HandleDescribeQuorum),
    OfController(ApiKey::kAlterPartition, {2, 3}, ServedOn::kController, HandleAlterPartition),
    OfController(ApiKey::kUpdateFeatures, {0, 2}, ServedOn::kBoth, HandleUpdateFeatures),
    Anywhere(ApiKey::kDescribeCluster, {0, 2}, ServedOn::kBoth, HandleDescribeCluster),
    OfBroker(ApiKey::kDescribeProducers, {0, 0}, HandleDescribeProducers),
    OfController(ApiKey::kUnregisterBroker, {0, 0}, ServedOn::kBoth, HandleUnregisterBroker),
    OfController(ApiKey::kAllocateProducerIds, {0, 0}, ServedOn::kController,
                 HandleAllocateProducerIds),
    OfBroker(ApiKey::kConsumerGroupHeartbeat, {0, 1}, HandleConsumerGroupHeartbeat),
    OfBroker(ApiKey::kConsumerGroupDescribe, {0, 1}, HandleConsumerGroupDescribe),
    OfController(ApiKey::kAssignReplicasToDirs, {0, 0}, ServedOn::kController,
                 HandleAssignReplicasToDirs),
    Anywhere(ApiKey::kListConfigResources, {0, 1}, ServedOn::kBroker, HandleListConfigResources),
    OfBroker(ApiKey::kDescribeTopicPartitions, {0, 0}, HandleDescribeTopicPartitions),
    OfController(ApiKey::kAddRaftVoter, {0, 1}, ServedOn::kBoth, HandleAddRaftVoter),
    OfController(ApiKey::kRemoveRaftVoter, {0, 0}, ServedOn::kBoth, HandleRemoveRaftVoter),
    OfController(ApiKey::kUpdateRaftVoter, {0, 0}, ServedOn::kController, HandleUpdateRaftVoter),
    OfController(ApiKey::kUnregisterController, {0, 0}, ServedOn::kBoth,
                 HandleUnregisterController),
};
static_assert(std::ranges::is_sorted(kServed, {}, &ApiEntry::key));

}  // namespace

std::vector<const ApiEntry*> ServedApis(ListenerKind kind) {
  std::vector<const ApiEntry*> served;
  for (const ApiEntry& api : kServed) {
    if (api.ServesOn(kind)) served.push_back(&api);
  }
  return served;
}

const ApiEntry* FindServedApi(int16_t key, ListenerKind kind) {
  auto found = std::ranges::lower_bound(kServed, static_cast<ApiKey>(key), {}, &ApiEntry::key);
  const bool served = found != kServed.end() && static_cast<int16_t>(found->key) == key;
  return served && found->ServesOn(kind) ? &*found : nullptr;
}

}  // namespace millrace

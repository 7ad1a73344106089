#include "broker/api/api_table.h"

#include <algorithm>
#include <array>

#include "broker/api/handlers.h"

namespace millrace {
namespace {

using kafka::ApiKey;

// Kafka 4.4 lists Produce from 0, because old librdkafka builds look for it, and refuses what is
// below 3.
constexpr std::array kServed{
    ApiEntry{ApiKey::kProduce, 3, 13, 0, HandleProduce},
    ApiEntry{ApiKey::kFetch, 4, 18, 4, HandleFetch},
    ApiEntry{ApiKey::kListOffsets, 1, 11, 1, HandleListOffsets},
    ApiEntry{ApiKey::kMetadata, 0, 13, 0, HandleMetadata},
    ApiEntry{ApiKey::kApiVersions, 0, 5, 0, HandleApiVersions},
    ApiEntry{ApiKey::kCreateTopics, 2, 7, 2, HandleCreateTopics},
    ApiEntry{ApiKey::kDeleteTopics, 1, 6, 1, HandleDeleteTopics},
    ApiEntry{ApiKey::kDeleteRecords, 0, 2, 0, HandleDeleteRecords},
    ApiEntry{ApiKey::kInitProducerId, 0, 5, 0, HandleInitProducerId},
    ApiEntry{ApiKey::kOffsetForLeaderEpoch, 2, 4, 2, HandleOffsetForLeaderEpoch},
    ApiEntry{ApiKey::kDescribeConfigs, 1, 4, 1, HandleDescribeConfigs},
    ApiEntry{ApiKey::kAlterReplicaLogDirs, 1, 2, 1, HandleAlterReplicaLogDirs},
    ApiEntry{ApiKey::kDescribeLogDirs, 1, 5, 1, HandleDescribeLogDirs},
    ApiEntry{ApiKey::kCreatePartitions, 0, 3, 0, HandleCreatePartitions},
    ApiEntry{ApiKey::kDescribeCluster, 0, 2, 0, HandleDescribeCluster},
    ApiEntry{ApiKey::kDescribeProducers, 0, 0, 0, HandleDescribeProducers},
    ApiEntry{ApiKey::kDescribeTopicPartitions, 0, 0, 0, HandleDescribeTopicPartitions},
};
static_assert(std::ranges::is_sorted(kServed, {}, &ApiEntry::key));

}  // namespace

std::span<const ApiEntry> ServedApis() { return kServed; }

const ApiEntry* FindServedApi(int16_t key) {
  auto found = std::ranges::lower_bound(kServed, static_cast<ApiKey>(key), {}, &ApiEntry::key);
  return found != kServed.end() && static_cast<int16_t>(found->key) == key ? &*found : nullptr;
}

}  // namespace millrace

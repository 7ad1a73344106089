// From the wire's topic name or id and partition number to this broker's replica, in two steps: the
// metadata, which every shard has, says which partition it is; the shard it belongs to
// (BrokerShards::Of) has the replica, if this broker has one.
//
// Shard: ResolvePartition() any; HostedPartition() the partition's (broker/on_shard.h goes there).
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "broker/broker.h"
#include "replication/partition.h"

namespace millrace {

// kUnknownTopicOrPartition: no such topic or partition.
absl::StatusOr<TopicPartitionId> ResolvePartition(const MetadataImage& image,
                                                  const std::string& topic, int32_t partition);
// The same by id; kUnknownTopicId for an unknown one.
absl::StatusOr<TopicPartitionId> ResolvePartition(const MetadataImage& image, const TopicId& topic,
                                                  int32_t partition);

// kNotLeaderOrFollower: it is elsewhere, or not open here yet. kStorageError: its log directory
// here is offline. REQUIRES: `broker` is of the shard that `id` belongs to.
absl::StatusOr<Partition*> HostedPartition(Broker& broker, const TopicPartitionId& id);

}  // namespace millrace

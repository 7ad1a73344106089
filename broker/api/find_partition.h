// From the wire's topic name or id and partition number to this broker's replica.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "broker/broker.h"

namespace millrace {

// kUnknownTopicOrPartition: no such topic or partition. kNotLeaderOrFollower: it exists, elsewhere
// (or is not open here yet). kStorageError: its log directory here is offline.
absl::StatusOr<Partition*> FindPartition(Broker& broker, const std::string& topic,
                                         int32_t partition);
// The same by id; kUnknownTopicId for an unknown one.
absl::StatusOr<Partition*> FindPartition(Broker& broker, const TopicId& topic, int32_t partition);

}  // namespace millrace

// What consumers of the classic protocol put into the opaque bytes of JoinGroup and SyncGroup. A
// coordinator looks inside where such members are in a consumer group, or are to be (KIP-848): it
// assigns what otherwise the group's leader would.
//
// Shard:  any; pure functions.
// Errors: nothing where bytes are not what consumers write; a member may send anything. A version
//         above the known ones is read as the highest known one, as Kafka does.
// Source: Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment, KIP-429, KIP-792,
//         KIP-881.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/partition_list.h"
#include "controller/image/metadata_image.h"
#include "proto/kafka/consumer_protocol_assignment.h"
#include "proto/kafka/consumer_protocol_subscription.h"

namespace millrace {

// The type of the groups whose members speak it.
inline constexpr std::string_view kConsumerProtocolType = "consumer";

std::optional<kafka::ConsumerProtocolSubscription> ParseSubscription(std::string_view bytes);
// No bytes at all are an empty assignment: what a member has before its group's first one.
std::optional<kafka::ConsumerProtocolAssignment> ParseAssignment(std::string_view bytes);

// `topics` of either. Those of topics that do not exist are left out.
PartitionList PartitionsIn(
    const std::vector<kafka::ConsumerProtocolSubscription::TopicPartition>& topics,
    const MetadataImage& image);
PartitionList PartitionsIn(
    const std::vector<kafka::ConsumerProtocolAssignment::TopicPartition>& topics,
    const MetadataImage& image);

// In the version of the member's own `subscription`, which is one that it reads. Partitions of topics
// that do not exist are left out.
std::string FormatAssignment(const PartitionList& partitions, const MetadataImage& image,
                             std::string_view subscription);

}  // namespace millrace

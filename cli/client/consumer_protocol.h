// What classic consumers say to each other through a group's coordinator, which does not look
// inside: a subscription, from each member to the leader, and an assignment, from the leader to
// each.
//
// Shard:  any; pure.
// Errors: of Decode...(): kDataLoss: these are no such bytes; a member may send anything. Of
//         Encode...(): kInvalidArgument: a name is longer than a string may be.
// Source: Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment, KIP-429. A version
//         comes first; one above the known is read as the highest known one, and what it added
//         behind is passed over.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "cli/client/topic_partition.h"
#include "common/bytes/slice.h"

namespace millrace {

struct ConsumerSubscription {
  std::vector<std::string> topics;
  std::vector<TopicPartition> owned;  // What the member still has, so that it may keep it.

  friend bool operator==(const ConsumerSubscription&, const ConsumerSubscription&) = default;
};

// Partitions in the order they are listed in.
using ConsumerAssignment = std::vector<TopicPartition>;

absl::StatusOr<Slice> EncodeSubscription(const ConsumerSubscription& subscription);
absl::StatusOr<ConsumerSubscription> DecodeSubscription(Slice bytes);

absl::StatusOr<Slice> EncodeAssignment(const ConsumerAssignment& assignment);
// No bytes at all are an empty assignment: what a member has before its group's first one.
absl::StatusOr<ConsumerAssignment> DecodeAssignment(Slice bytes);

}  // namespace millrace

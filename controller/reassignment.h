// Reassignment: the replicas of a partition move (KIP-455). Target replicas are added first; when
// all of them are in sync (alter_partition.h), those that are no targets go. Also how the
// replication factor changes.
//
//   replicas          = target, then those being removed
//   adding, removing  = what the target has more and less than there was
//
// Nobody leaves the replica set whom the partition may have to be led by: not only who is in sync,
// also, while nobody is, the eligible and the last known leader replicas (KIP-966). A replica that
// leaves deletes its log, and theirs may be the only ones with what was acknowledged. A replaced
// reassignment keeps them until it is complete, which takes a leader; a cancelled one that would
// lose the last of them is refused where unclean elections are.
//
// Pure.
// Source: rules 5.40-5.44 of Kafka's broker behaviour; KIP-455, KIP-860.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <vector>

#include "controller/decision.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

struct ReassignmentRequest {
  std::string topic;
  PartitionId partition;
  std::optional<BrokerIds> replicas;  // Nothing: cancel what is under way.
};

struct ReassignmentReply {
  std::string topic;
  PartitionId partition;
  // kUnknownTopicOrPartition, kInvalidReplicaAssignment, kInvalidReplicationFactor,
  // kNoReassignmentInProgress.
  absl::Status status;
};

Decision<ReassignmentReply> DecideReassignments(const MetadataImage& image,
                                                const TopicSettings& defaults,
                                                const std::vector<ReassignmentRequest>& requests,
                                                bool allow_replication_factor_change);

// One that is under way.
struct OngoingReassignment {
  std::string topic;
  PartitionId partition;
  SharedList<BrokerId> replicas;
  SharedList<BrokerId> adding;
  SharedList<BrokerId> removing;
};
struct ReassignmentQuery {
  std::string topic;
  std::vector<PartitionId> partitions;
};

// Those of `query`, or all of them; topics by name. Unknown ones are left out.
std::vector<OngoingReassignment> ListReassignments(
    const MetadataImage& image, const std::optional<std::vector<ReassignmentQuery>>& query);

}  // namespace millrace

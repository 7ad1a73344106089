// AssignReplicasToDirs: a broker says in which log directory its replicas live (KIP-858), so that
// the controller knows whom it hits when a directory fails. In kLostDirectory: the replica is
// damaged, and its broker is about to throw it away and copy it anew. It leaves the ISR, in a new
// leader epoch, as long as it can be spared.
//
// Pure.
// Source: rule 5.35 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>

#include <vector>

#include "controller/decision.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

struct DirectoryAssignment {
  TopicPartitionId partition;
  DirectoryId directory;
};

struct AssignDirectoriesRequest {
  BrokerId broker;
  BrokerEpoch epoch;
  std::vector<DirectoryAssignment> assignments;
};

struct AssignDirectoryReply {
  DirectoryAssignment assignment;
  // kUnknownTopicId, kUnknownTopicOrPartition, kNotLeaderOrFollower (no replica of this broker).
  // kStorageError: it was made anew in another directory, and nobody else had everything: it would
  // lead, empty, and the others would cut what they have. Not so once somebody else leads. Or it is
  // given up (kLostDirectory) and cannot be spared.
  absl::Status status;
};

// As a whole: kBrokerIdNotRegistered, kStaleBrokerEpoch.
SingleDecision<std::vector<AssignDirectoryReply>> DecideDirectories(
    const MetadataImage& image, const TopicSettings& defaults,
    const AssignDirectoriesRequest& request);

}  // namespace millrace

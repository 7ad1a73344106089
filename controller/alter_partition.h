// AlterPartition: a leader proposes the in-sync replicas of partitions it leads.
//
// A proposal is for one leader epoch and one partition epoch, and names the broker epoch of each
// member: what changed meanwhile makes it void (KIP-497, KIP-841, KIP-903). An ISR that completes a
// reassignment ends it in the same record (KIP-455). Who is in a full log directory joins only where
// the others are not enough (full_directories.h).
//
// Pure.
// Source: rules 5.10-5.13 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <vector>

#include "controller/decision.h"
#include "controller/directory_grades.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

struct IsrChangeMember {
  BrokerId broker;
  std::optional<BrokerEpoch> epoch;  // Nothing: an older sender that does not say.
};

struct IsrChange {
  TopicPartitionId partition;
  LeaderEpoch leader_epoch;
  PartitionEpoch partition_epoch;
  std::vector<IsrChangeMember> isr{};
  LeaderRecovery recovery = LeaderRecovery::kRecovered;
};

// The state after the change; on errors it means nothing.
struct IsrReply {
  TopicPartitionId partition;
  absl::Status status;
  std::optional<BrokerId> leader{};
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  SharedList<BrokerId> isr{};
  LeaderRecovery recovery = LeaderRecovery::kRecovered;
};

struct AlterPartitionRequest {
  BrokerId broker;
  BrokerEpoch epoch;
  std::vector<IsrChange> proposals;
};

// As a whole: kBrokerIdNotRegistered, kStaleBrokerEpoch. Per partition: kUnknownTopicId,
// kUnknownTopicOrPartition, kNotController (the sender knows a later state than this controller),
// kFencedLeaderEpoch, kInvalidUpdateVersion, kInvalidRequest, kIneligibleReplica; kNewLeaderElected:
// the change was made, it ended a reassignment and with it this leadership.
SingleDecision<std::vector<IsrReply>> DecideAlterPartition(const MetadataImage& image,
                                                           const TopicSettings& defaults,
                                                           const DirectoryGrades& grades,
                                                           const AlterPartitionRequest& request);

}  // namespace millrace

// Elections that somebody asks for: of preferred leaders, of unclean ones, and the balancing that
// restores preferred leaders by itself.
//
// Pure.
// Source: rules 5.23-5.25 of Kafka's broker behaviour; KIP-460.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <vector>

#include "controller/decision.h"
#include "controller/directory_grades.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

enum class ElectionKind {
  kPreferred,  // The first replica, if it is in sync and its log directory good enough.
  kUnclean,    // Whoever is alive, for partitions without a leader: acknowledged data may be lost.
};

struct ElectLeadersRequest {
  ElectionKind kind = ElectionKind::kPreferred;
  struct Item {
    std::string topic;
    PartitionId partition;
  };
  // Nothing: every partition that needs it; those that do not are left out of the answer.
  std::optional<std::vector<Item>> partitions;
};

struct ElectLeadersReply {
  std::string topic;
  PartitionId partition;
  // kUnknownTopicOrPartition, kElectionNotNeeded, kPreferredLeaderNotAvailable,
  // kEligibleLeadersNotAvailable.
  absl::Status status;
};

Decision<ElectLeadersReply> DecideElections(const MetadataImage& image,
                                            const TopicSettings& defaults,
                                            const DirectoryGrades& grades,
                                            const ElectLeadersRequest& request);

inline constexpr size_t kElectionsPerBalanceMax = 1000;

// Gives preferred leaders that are in sync, and known to lie in a directory that is neither full nor
// slow, their partitions back, at most
// kElectionsPerBalanceMax at once.
MetadataRecords DecideLeaderBalance(const MetadataImage& image, const TopicSettings& defaults,
                                    const DirectoryGrades& grades);

// Elects for partitions that have no leader though someone may lead by now: after
// unclean.leader.election.enable was switched on.
MetadataRecords DecideLeaderless(const MetadataImage& image, const TopicSettings& defaults);

}  // namespace millrace

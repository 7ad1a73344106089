// Where replicas move when nobody says where: away from a broker that is to go, and to or from
// brokers when a topic's replication factor changes. The result is reassignments (reassignment.h).
//
// Chosen is the broker with the fewest replicas among those whose rack has none of the partition
// yet, or of all when there is no such rack; what is chosen counts for the next choice.
//
// Pure.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "controller/decision.h"
#include "controller/reassignment.h"

namespace millrace {

// Drains `broker`: marks it so that it gets no new replicas, and moves those it has elsewhere. The
// replies are of partitions, with kInvalidReplicationFactor where there is no broker left to take a
// replica. It may be asked for again, and moves what is left. `undo`: it gets replicas again; moves
// under way go on.
// As a whole: kBrokerIdNotRegistered.
SingleDecision<std::vector<ReassignmentReply>> DecideDrain(const MetadataImage& image,
                                                           const TopicSettings& defaults,
                                                           BrokerId broker, bool undo);

// Gives every partition of `topic` `factor` replicas: adds the least loaded brokers, removes
// replicas from the end of the list, those that are not in sync first.
// Errors: kUnknownTopicOrPartition, kInvalidReplicationFactor.
Verdict DecideReplicationFactor(const MetadataImage& image, const TopicSettings& defaults,
                                const std::string& topic, int32_t factor);

}  // namespace millrace

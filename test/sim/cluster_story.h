// What the stories of clusters of whole nodes have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "broker/coordinator/group_service.h"
#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {

// Enough that two of the three that have a partition may be gone, and a quorum is left.
inline constexpr int kHuntedBrokers = 5;

// So many nodes, each broker and controller; every fault, nothing else.
StoryOptions ClusterStory(const RunOptions& run, int brokers = 3,
                          GroupServiceFactory make_groups = MakeGroupService);

// The nodes that have a partition, its leader first, as the one says that knows most; empty: nobody
// leads it, or nobody knows. `which`: of so many partitions of the topic.
std::vector<SimNode*> ReplicasOf(const std::vector<SimNode*>& brokers, const std::string& topic,
                                 const std::function<PartitionId(int32_t partitions)>& which);

}  // namespace millrace::simtest

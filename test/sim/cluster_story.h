// What the stories of clusters of whole nodes have in common.
#pragma once

#include "broker/coordinator/group_service.h"
#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {

// So many nodes, each broker and controller; every fault, nothing else.
StoryOptions ClusterStory(const RunOptions& run, int brokers = 3,
                          GroupServiceFactory make_groups = MakeGroupService);

}  // namespace millrace::simtest

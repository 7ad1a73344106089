// What the stories of clusters of whole nodes have in common.
#pragma once

#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {

// So many nodes, each broker and controller; every fault, nothing else.
StoryOptions ClusterStory(const RunOptions& run, int brokers = 3);

}  // namespace millrace::simtest

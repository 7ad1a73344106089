// A consumer group on several whole nodes, on the simulated world.
#include <fmt/format.h>

#include <utility>

#include "broker/groups/coordinator_hash.h"
#include "test/sim/cluster_story.h"
#include "test/sim/group_bugs.h"
#include "test/sim/group_member.h"
#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

// Where the group is.
std::vector<SimNode*> Coordinators(const std::vector<SimNode*>& brokers) {
  return ReplicasOf(brokers, std::string(kGroupsTopic), [](int32_t partitions) {
    return CoordinatorPartitionOf(kStoryGroup, partitions);
  });
}

Outcome Power(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.groups = options.blackouts = true;
  options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

Outcome Shards(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.groups = true;
  options.shards_max = 3;
  return Story(seed, options).Run();
}

Outcome Hunted(uint64_t seed, GroupBug bug, const RunOptions& run) {
  StoryOptions options = ClusterStory(run, kHuntedBrokers, GroupsWith(bug));
  options.groups = true;
  options.disk_faults = false;
  options.hunted = Coordinators;
  return Story(seed, options).Run();
}

}  // namespace

void AddGroupScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"groups-power", "a consumer group on three nodes that lose power", Power});
  scenarios->push_back(
      {"groups", "a consumer group on three nodes of 1 to 3 shards, every fault", Shards});
  scenarios->push_back(
      {"groups-hunted", "a consumer group on five nodes; faults look for its coordinator",
       [](uint64_t seed, const RunOptions& run) { return Hunted(seed, GroupBug::kNone, run); }});
  for (GroupBug bug : kGroupBugs) {
    scenarios->push_back(
        {fmt::format("groups-bug-{}", GroupBugName(bug)),
         "the same with a planted bug, which must be found",
         [bug](uint64_t seed, const RunOptions& run) { return Hunted(seed, bug, run); },
         /*must_fail=*/true});
  }
}

}  // namespace millrace::simtest

// A consumer group on several whole nodes, on the simulated world.
#include <fmt/format.h>

#include <utility>

#include "broker/groups/coordinator_hash.h"
#include "controller/image/metadata_image.h"
#include "test/sim/cluster_story.h"
#include "test/sim/group_bugs.h"
#include "test/sim/group_member.h"
#include "test/sim/node_program.h"
#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

// Enough that two of the three that have the group's partition may be gone, and a quorum is left.
constexpr int kHuntedBrokers = 5;

std::shared_ptr<const MetadataImage> ImageOf(SimNode& node) {
  if (!node.up() || node.paused() || node.state() != SimNode::State::kRunning) return nullptr;
  return static_cast<NodeProgram&>(node.program()).node().image();
}

// As the node says that knows most.
std::vector<SimNode*> Coordinators(const std::vector<SimNode*>& brokers) {
  std::shared_ptr<const MetadataImage> newest;
  for (SimNode* node : brokers) {
    std::shared_ptr<const MetadataImage> image = ImageOf(*node);
    if (image != nullptr && (newest == nullptr || newest->index() < image->index())) {
      newest = std::move(image);
    }
  }
  if (newest == nullptr) return {};
  const MetadataImage::Topic topic = newest->FindTopic(std::string(kGroupsTopic));
  if (topic == nullptr) return {};
  const PartitionId at =
      CoordinatorPartitionOf(kStoryGroup, static_cast<int32_t>(topic->partitions.size()));
  const PartitionImage& partition = topic->partitions[static_cast<size_t>(at.value())];
  if (!partition.leader.has_value()) return {};
  std::vector<SimNode*> nodes;
  for (BrokerId id : partition.replicas) {
    nodes.push_back(brokers[static_cast<size_t>(id.value() - 1)]);
    if (id == partition.leader) std::swap(nodes.front(), nodes.back());
  }
  return nodes;
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
  options.coordinators = Coordinators;
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

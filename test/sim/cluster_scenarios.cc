// Several whole nodes, each broker and controller, with clients, on the simulated world: replication,
// elections, failover.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controller/image/metadata_image.h"
#include "test/sim/cluster_story.h"
#include "test/sim/node_program.h"
#include "test/sim/replication_bugs.h"
#include "test/sim/scenarios.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

NodePlan MemberPlan(const SimProcess& process, int brokers, GroupServiceFactory make_groups) {
  NodePlan plan;
  plan.make_groups = std::move(make_groups);
  plan.cluster_id = "c1u5ter000000000000001";
  for (int id = 1; id <= brokers; ++id) {
    const std::string name = fmt::format("broker-{}", id);
    if (name == process.node().name()) plan.id = BrokerId(id);
    plan.voters += fmt::format("{}{}@{}:{}", id == 1 ? "" : ",", id, name, kControllerPort);
  }
  return plan;
}

Outcome Quiet(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.kills = options.power_losses = options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

Outcome Kill(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.power_losses = options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

Outcome Power(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.blackouts = true;
  options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

Outcome Cuts(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.kills = options.power_losses = options.disk_faults = false;
  return Story(seed, options).Run();
}

Outcome Shards(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.shards_max = 3;
  return Story(seed, options).Run();
}

constexpr const char* kSmallDisk = "/small";

Outcome Full(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.broker = [](SimProcess& process) {
    NodePlan plan = MemberPlan(process, 3, MakeGroupService);
    plan.log_dirs += fmt::format(",{}", kSmallDisk);
    return std::make_unique<NodeProgram>(process, std::move(plan));
  };
  options.fills_up = kSmallDisk;
  options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

std::shared_ptr<const MetadataImage> ImageOf(SimNode& node) {
  if (!node.up() || node.paused() || node.state() != SimNode::State::kRunning) return nullptr;
  return static_cast<NodeProgram&>(node.program()).node().image();
}

std::shared_ptr<const MetadataImage> NewestImage(const std::vector<SimNode*>& brokers) {
  std::shared_ptr<const MetadataImage> newest;
  for (SimNode* node : brokers) {
    std::shared_ptr<const MetadataImage> image = ImageOf(*node);
    if (image != nullptr && (newest == nullptr || newest->index() < image->index())) {
      newest = std::move(image);
    }
  }
  return newest;
}

bool LeadsBesideOthers(const std::vector<SimNode*>& brokers, SimNode& node) {
  const std::shared_ptr<const MetadataImage> image = NewestImage(brokers);
  if (image == nullptr) return false;
  const auto place = std::ranges::find(brokers, &node) - brokers.begin();
  const BrokerId id(static_cast<int32_t>(place) + 1);
  const MetadataImage::Topic topic = image->FindTopic(WorkloadPlan().topic);
  return topic != nullptr &&
         std::ranges::any_of(topic->partitions, [id](const PartitionImage& partition) {
           return partition.leader == id && partition.isr.size() > 1;
         });
}

// `slow_ms`: millrace.disk.slow.ms.
Outcome Slow(uint64_t seed, const std::string& slow_ms, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.broker = [slow_ms](SimProcess& process) {
    NodePlan plan = MemberPlan(process, 3, MakeGroupService);
    plan.log_dirs += fmt::format(",{}", kSmallDisk);
    plan.disk_slow_ms = slow_ms;
    return std::make_unique<NodeProgram>(process, std::move(plan));
  };
  options.slows = kSmallDisk;
  options.leads_beside_others = LeadsBesideOthers;
  options.network_faults = options.disk_faults = false;
  return Story(seed, options).Run();
}

// Half of the faults look for whoever leads the story's first partition.
Outcome Hunted(uint64_t seed, ReplicationBug bug, const RunOptions& run) {
  StoryOptions options = ClusterStory(run, kHuntedBrokers, NodesWith(bug));
  options.epochs = true;
  options.disk_faults = false;
  options.hunted = [](const std::vector<SimNode*>& brokers) {
    return ReplicasOf(brokers, WorkloadPlan().topic, [](int32_t) { return PartitionId(0); });
  };
  return Story(seed, options).Run();
}

// Acknowledged is what two of three page caches have: enough for one fault, and a power loss of all
// takes it. Who promises more for it is found out.
Outcome PageCache(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run);
  options.blackouts = true;
  options.network_faults = options.disk_faults = false;
  options.topic_configs = {{"millrace.durability", "page-cache"}};
  return Story(seed, options).Run();
}

// Five, so that partitions can be moved, and a controller may be gone for good.
Outcome Disks(uint64_t seed, const RunOptions& run) {
  StoryOptions options = ClusterStory(run, kHuntedBrokers);
  options.bad_disk = options.moves = options.epochs = true;
  options.disk_faults = false;
  options.topic_configs = {{"min.insync.replicas", "2"}};
  return Story(seed, options).Run();
}

Outcome Everything(uint64_t seed, const RunOptions& run) {
  return Story(seed, ClusterStory(run)).Run();
}

}  // namespace

StoryOptions ClusterStory(const RunOptions& run, int brokers, GroupServiceFactory make_groups) {
  StoryOptions options;
  options.broker = [brokers, make_groups = std::move(make_groups)](SimProcess& process) {
    return std::make_unique<NodeProgram>(process, MemberPlan(process, brokers, make_groups));
  };
  options.brokers = brokers;
  options.folder = kDataFolder;
  options.produce_version_max = 13;
  options.fetch_version_max = 17;
  options.trace = run.trace;
  options.logger = run.logger;
  return options;
}

std::vector<SimNode*> ReplicasOf(const std::vector<SimNode*>& brokers, const std::string& topic,
                                 const std::function<PartitionId(int32_t partitions)>& which) {
  const std::shared_ptr<const MetadataImage> newest = NewestImage(brokers);
  if (newest == nullptr) return {};
  const MetadataImage::Topic found = newest->FindTopic(topic);
  if (found == nullptr) return {};
  const PartitionId at = which(static_cast<int32_t>(found->partitions.size()));
  const PartitionImage& partition = found->partitions[static_cast<size_t>(at.value())];
  if (!partition.leader.has_value()) return {};
  std::vector<SimNode*> nodes;
  for (BrokerId id : partition.replicas) {
    nodes.push_back(brokers[static_cast<size_t>(id.value() - 1)]);
    if (id == partition.leader) std::swap(nodes.front(), nodes.back());
  }
  return nodes;
}

void AddClusterScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"cluster-quiet", "three nodes and their clients; nothing breaks", Quiet});
  scenarios->push_back({"cluster-kill", "three nodes that are killed, over and over", Kill});
  scenarios->push_back(
      {"cluster-power", "three nodes that lose power, now and then all at once", Power});
  scenarios->push_back({"cluster-cuts", "three nodes that are cut from each other", Cuts});
  scenarios->push_back(
      {"cluster-shards", "three nodes of 1 to 3 shards under every fault", Shards});
  scenarios->push_back({"cluster-full",
                        "three nodes with a disk each that is full for a while, now and then",
                        Full});
  scenarios->push_back(
      {"cluster-slow", "three nodes with disks that are slow for a while, or hang",
       [](uint64_t seed, const RunOptions& run) { return Slow(seed, "500", run); }});
  scenarios->push_back({"cluster-bug-hides-slow-disks",
                        "the same with nodes that do not say so, which must be found",
                        [](uint64_t seed, const RunOptions& run) { return Slow(seed, "0", run); },
                        /*must_fail=*/true});
  scenarios->push_back({"cluster-disks",
                        "five nodes, one with a bad disk: rot, no room, lost; partitions move",
                        Disks});
  scenarios->push_back({"cluster", "three nodes under every fault", Everything});
  scenarios->push_back({"cluster-hunted", "five nodes; faults look for whoever leads a partition",
                        [](uint64_t seed, const RunOptions& run) {
                          return Hunted(seed, ReplicationBug::kNone, run);
                        }});
  for (ReplicationBug bug : kReplicationBugs) {
    scenarios->push_back(
        {fmt::format("cluster-bug-{}", ReplicationBugName(bug)),
         "the same with a planted bug, which must be found",
         [bug](uint64_t seed, const RunOptions& run) { return Hunted(seed, bug, run); },
         /*must_fail=*/true});
  }
  scenarios->push_back({"cluster-bug-promises-the-page-cache",
                        "a page cache that is taken for a disk, which must be found", PageCache,
                        /*must_fail=*/true});
}

}  // namespace millrace::simtest

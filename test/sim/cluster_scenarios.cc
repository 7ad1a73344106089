// Three whole nodes, each broker and controller, with clients, on the simulated world: replication,
// elections, failover.
#include <fmt/format.h>

#include <utility>

#include "test/sim/cluster_story.h"
#include "test/sim/node_program.h"
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
  scenarios->push_back({"cluster", "three nodes under every fault", Everything});
}

}  // namespace millrace::simtest

// One whole node (broker, metadata, log) with clients, on the simulated world.
#include <utility>

#include "test/sim/control_story.h"
#include "test/sim/node_program.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {
namespace {

NodePlan SinglePlan(const SimProcess& process) {
  NodePlan plan;
  plan.voters = fmt::format("1@{}:{}", process.node().name(), kControllerPort);
  return plan;
}

StoryOptions NodeStory(const RunOptions& run) {
  StoryOptions options;
  options.broker = [](SimProcess& process) {
    return std::make_unique<NodeProgram>(process, SinglePlan(process));
  };
  options.folder = kDataFolder;
  options.produce_version_max = 13;
  options.fetch_version_max = 17;
  options.trace = run.trace;
  options.logger = run.logger;
  return options;
}

ControlStoryOptions ControlOptions(const RunOptions& run) {
  ControlStoryOptions options;
  options.trace = run.trace;
  options.logger = run.logger;
  return options;
}

}  // namespace

void AddControlScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"cluster-control", "three nodes of both roles under faults: control plane",
                        [](uint64_t seed, const RunOptions& run) {
                          ControlStoryOptions options = ControlOptions(run);
                          return ControlStory(seed, options).Run();
                        }});
  scenarios->push_back({"cluster-control-apart", "three controllers and three brokers under faults",
                        [](uint64_t seed, const RunOptions& run) {
                          ControlStoryOptions options = ControlOptions(run);
                          options.combined = 0;
                          options.controllers = options.brokers = 3;
                          return ControlStory(seed, options).Run();
                        }});
  scenarios->push_back({"cluster-control-join",
                        "three nodes, two of which join the first one's quorum",
                        [](uint64_t seed, const RunOptions& run) {
                          ControlStoryOptions options = ControlOptions(run);
                          options.joins = true;
                          return ControlStory(seed, options).Run();
                        }});
  scenarios->push_back({"cluster-control-quiet", "three nodes of both roles; nothing breaks",
                        [](uint64_t seed, const RunOptions& run) {
                          ControlStoryOptions options = ControlOptions(run);
                          options.faults = false;
                          return ControlStory(seed, options).Run();
                        }});
}

void AddNodeScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"node-quiet", "one node and its clients; nothing breaks",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.kills = options.power_losses = false;
                          options.network_faults = options.disk_faults = false;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back({"node-fresh", "one node that makes its own data folder, and loses power",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.folder.clear();
                          options.network_faults = options.disk_faults = false;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back({"node-kill", "one node that is killed, over and over",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.power_losses = options.network_faults = false;
                          options.disk_faults = false;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back({"node-power", "one node that loses power, over and over",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.network_faults = options.disk_faults = false;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back({"node-shards-power",
                        "one node of 1 to 3 shards, another number each time it loses power",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.shards_max = 3;
                          options.network_faults = options.disk_faults = false;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back({"node-shards", "one node of 2 or 3 shards under every fault",
                        [](uint64_t seed, const RunOptions& run) {
                          StoryOptions options = NodeStory(run);
                          options.shards_min = 2;
                          options.shards_max = 3;
                          return Story(seed, options).Run();
                        }});
  scenarios->push_back(
      {"node", "one node under every fault", [](uint64_t seed, const RunOptions& run) {
         StoryOptions options = NodeStory(run);
         return Story(seed, options).Run();
       }});
}

}  // namespace millrace::simtest

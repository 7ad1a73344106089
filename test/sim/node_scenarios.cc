// One whole node (broker, metadata, log) with clients, on the simulated world.
#include <utility>

#include "broker/node.h"
#include "common/config/broker_config.h"
#include "storage/kv_store_log.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {
namespace {

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::unique_ptr<KvStore>>> OpenLogKvStore(Env& env, std::string directory) {
  // Small, so that stories see rewrites too.
  absl::StatusOr<std::unique_ptr<LogKvStore>> store =
      co_await LogKvStore::Open(env, std::move(directory), {.compact_bytes_min = 16 << 10});
  if (!store.ok()) co_return store.status();
  co_return *std::move(store);
}

BrokerConfig NodeConfig(const std::string& host) {
  const std::vector<ConfigSetting> settings = {
      {"node.id", "1", "simulator"},
      {"process.roles", "broker,controller", "simulator"},
      {"listeners", fmt::format("PLAINTEXT://:{},CONTROLLER://:9093", kBrokerPort), "simulator"},
      {"advertised.listeners", fmt::format("PLAINTEXT://{}:{}", host, kBrokerPort), "simulator"},
      {"controller.listener.names", "CONTROLLER", "simulator"},
      {"controller.quorum.voters", fmt::format("1@{}:9093", host), "simulator"},
      {"log.dirs", "/data", "simulator"},
  };
  BrokerConfigResult result = BuildBrokerConfig(settings, /*strict=*/true);
  for (const std::string& error : result.report.errors) fmt::print(stderr, "{}\n", error);
  MR_CHECK(result.config.has_value());
  return *std::move(result.config);
}

class NodeProgram final : public SimProgram {
 public:
  explicit NodeProgram(SimProcess& process)
      : shards_(Reactors(process)), node_(shards_, Envs(process), Options(process)) {}
  Task<absl::Status> Start() override { co_return co_await node_.Start(); }
  Task<void> Stop() override { (void)co_await node_.Stop(); }

 private:
  static NodeOptions Options(SimProcess& process) {
    NodeOptions options;
    options.config = NodeConfig(process.node().name());
    options.open_kv_store = OpenLogKvStore;
    options.host_name = process.node().name();
    options.memory_bytes = size_t{256} << 20;
    return options;
  }
  static std::vector<Reactor*> Reactors(SimProcess& process) {
    std::vector<Reactor*> reactors;
    for (size_t i = 0; i < process.shards(); ++i) reactors.push_back(&process.reactor(i));
    return reactors;
  }
  static NodeEnvs Envs(SimProcess& process) {
    NodeEnvs envs;
    for (size_t i = 0; i < process.shards(); ++i) envs.push_back(&process.env(i));
    return envs;
  }
  Shards shards_;
  Node node_;
};

StoryOptions NodeStory(const RunOptions& run) {
  StoryOptions options;
  options.broker = [](SimProcess& process) { return std::make_unique<NodeProgram>(process); };
  options.folder = "/data";
  options.produce_version_max = 13;
  options.fetch_version_max = 17;
  options.trace = run.trace;
  options.logger = run.logger;
  return options;
}

}  // namespace

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

#include "test/sim/node_program.h"

#include <fmt/format.h>

#include <utility>

#include "common/check.h"
#include "common/config/broker_config.h"
#include "controller/transport/framed_streams.h"
#include "storage/kv/kv_store_log.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

using StoreWrapper = std::function<std::unique_ptr<KvStore>(std::unique_ptr<KvStore>)>;

Task<absl::StatusOr<std::unique_ptr<KvStore>>> OpenLogKvStore(Env* env, std::string directory,
                                                              StoreWrapper wrap) {
  // Small, so that stories see rewrites too.
  absl::StatusOr<std::unique_ptr<LogKvStore>> store =
      co_await LogKvStore::Open(*env, std::move(directory), {.compact_bytes_min = 16 << 10});
  if (!store.ok()) co_return store.status();
  if (wrap) co_return wrap(*std::move(store));
  co_return *std::move(store);
}

BrokerConfig NodeConfig(const std::string& host, const NodePlan& plan) {
  std::string listeners;
  std::string roles;
  if (plan.is_broker) {
    listeners = fmt::format("PLAINTEXT://:{}", kBrokerPort);
    roles = "broker";
  }
  if (plan.is_controller) {
    const char* separator = plan.is_broker ? "," : "";
    listeners += fmt::format("{}CONTROLLER://:{}", separator, kControllerPort);
    roles += fmt::format("{}controller", separator);
  }
  std::vector<ConfigSetting> settings = {
      {"node.id", fmt::to_string(plan.id.value()), "simulator"},
      {"process.roles", roles, "simulator"},
      {"listeners", listeners, "simulator"},
      {"controller.listener.names", "CONTROLLER", "simulator"},
      {"log.dirs", plan.log_dirs, "simulator"},
      {"millrace.disk.slow.ms", plan.disk_slow_ms, "simulator"},
      {"offsets.topic.num.partitions", "3", "simulator"},
      {"group.initial.rebalance.delay.ms", "500", "simulator"},
      {"group.min.session.timeout.ms", "1000", "simulator"},
  };
  if (plan.bootstrap.empty()) {
    settings.push_back({"controller.quorum.voters", plan.voters, "simulator"});
  } else {
    settings.push_back({"controller.quorum.bootstrap.servers", plan.bootstrap, "simulator"});
    settings.push_back({"controller.quorum.auto.join.enable", "true", "simulator"});
  }
  if (plan.is_broker) {
    settings.push_back(
        {"advertised.listeners", fmt::format("PLAINTEXT://{}:{}", host, kBrokerPort), "simulator"});
  }
  BrokerConfigResult result = BuildBrokerConfig(settings, /*strict=*/true);
  for (const std::string& error : result.report.errors) fmt::print(stderr, "{}\n", error);
  MR_CHECK(result.config.has_value());
  return *std::move(result.config);
}

NodeOptions Options(SimProcess& process, const NodePlan& plan) {
  NodeOptions options;
  options.config = NodeConfig(process.node().name(), plan);
  options.open_kv_store = [wrap = plan.wrap_store](Env& env, std::string directory) {
    return OpenLogKvStore(&env, std::move(directory), wrap);
  };
  options.make_dialer = [](Env& env) { return std::make_unique<FramedDialer>(env); };
  options.make_acceptor = [](Env& env) { return std::make_unique<FramedAcceptor>(env); };
  if (!plan.cluster_id.empty()) options.cluster_id = plan.cluster_id;
  options.make_groups = plan.make_groups;
  options.host_name = process.node().name();
  options.rereads_proposals = true;
  options.memory_bytes = size_t{256} << 20;
  // The server command stops then.
  options.on_failure = [&process](const absl::Status&) {
    SimNode& node = process.node();
    node.world().After(Duration(0), [&node, &process] {
      if (node.up() && &node.process() == &process) node.Kill();
    });
  };
  return options;
}

std::vector<Reactor*> Reactors(SimProcess& process) {
  std::vector<Reactor*> reactors;
  for (size_t i = 0; i < process.shards(); ++i) reactors.push_back(&process.reactor(i));
  return reactors;
}

NodeEnvs Envs(SimProcess& process) {
  NodeEnvs envs;
  for (size_t i = 0; i < process.shards(); ++i) envs.push_back(&process.env(i));
  return envs;
}

}  // namespace

NodeProgram::NodeProgram(SimProcess& process, const NodePlan& plan)
    : shards_(Reactors(process)), node_(shards_, Envs(process), Options(process, plan)) {}

Task<void> NodeProgram::Stop() { (void)co_await node_.Stop(); }

}  // namespace millrace::simtest

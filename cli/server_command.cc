// `millrace server [FILE] [--set name=value]... [--strict]`: runs a node until SIGTERM or SIGINT.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "broker/node/node.h"
#include "broker/node/shard_count.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/node_settings.h"
#include "cli/run_server.h"
#include "common/config/listener.h"
#include "common/log/spdlog_logger.h"
#include "common/runtime/task_scope.h"
#include "common/sys/absolute_path.h"
#include "common/sys/host_name.h"
#include "common/sys/machine.h"
#include "common/sys/process_use.h"
#include "common/sys/real_world.h"
#include "common/sys/signals.h"
#include "controller/grpc/grpc_streams.h"
#include "storage/kv/kv_store_rocksdb.h"

namespace millrace {
namespace {

struct ServerArguments {
  std::string file;
  std::vector<std::string> settings;
  bool strict = false;
};

IoBackend BackendOf(IoChoice choice) {
  switch (choice) {
    case IoChoice::kAuto:
      return IoBackend::kAuto;
    case IoChoice::kIoUring:
      return IoBackend::kUring;
    case IoChoice::kEpoll:
      return IoBackend::kEpoll;
  }
  return IoBackend::kAuto;
}

Task<absl::StatusOr<std::unique_ptr<KvStore>>> OpenKvStore(
    // Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
    Env& env, std::string directory) {  // Borrowed: awaited in place.
  co_return co_await OpenRocksDb(env, std::move(directory), {});
}

std::string Banner(const Node& node, const BrokerConfig& config, std::string_view io) {
  std::optional<BrokerEndpoint> endpoint = node.Advertised();
  std::string address =
      endpoint.has_value() ? fmt::format("{}:{}", endpoint->host, endpoint->port) : "(no listener)";
  std::string directories;
  for (const std::string& path : config.storage.data_dirs)
    directories += (directories.empty() ? "" : ", ") + path;
  std::string admin;
  for (const SocketAddress& one : node.AdminAddresses()) {
    const bool everywhere = one.host.empty() || one.host == "0.0.0.0" || one.host == "::";
    admin += fmt::format("    admin              http://{}/\n",
                         HostPortText(everywhere ? "127.0.0.1" : one.host, one.port));
  }
  return fmt::format(
      "\n"
      "  Millrace {} is ready: node {}, cluster {}, {}\n"
      "\n"
      "    bootstrap.servers  {}\n"
      "    data               {}\n"
      "{}"
      "\n"
      "  Try it:\n"
      "    echo hello | kcat -b {} -P -t greetings\n"
      "    kcat -b {} -C -t greetings -o beginning -e\n"
      "    millrace topic list --bootstrap-server {}\n"
      "\n",
      VersionText(), config.node_id, node.cluster_id(), io, address, directories, admin, address,
      address, address);
}

// The first signal, also while the node still starts: a start that waits for the cluster ends.
Task<void> AwaitSignal(Signals* signals, Node* node, Logger* logger) {
  absl::StatusOr<int> signal = co_await signals->Next();
  if (signal.ok()) logger->Info("signal {}: stopping", *signal);
  node->Interrupt();
}

// The node's life, on shard 0.
Task<void> RunNode(RealWorld* world, const NodeSettings* settings, Logger* logger,
                   int* exit_status) {
  const BrokerConfig* config = &settings->config;
  *exit_status = 1;
  absl::StatusOr<std::unique_ptr<Signals>> signals = Signals::Create(world->port(ShardId(0)));
  if (!signals.ok()) {
    logger->Error("cannot wait for signals: {}", std::string(signals.status().message()));
    co_return;
  }
  NodeOptions options;
  options.config = *config;
  options.open_kv_store = OpenKvStore;
  IoPort* port = &world->port(ShardId(0));
  options.make_dialer = [port](Env& env) { return std::make_unique<GrpcDialer>(env, *port); };
  options.make_acceptor = [port](Env& env) { return std::make_unique<GrpcAcceptor>(env, *port); };
  options.host_name = HostName();
  options.memory_bytes = UsableMemory();
  options.descriptors = RaiseDescriptorLimit();
  options.admin = {VersionText(), std::string(world->io_name()), ReadProcessUse};
  absl::Status failure;
  options.on_failure = [&failure, &signals](const absl::Status& why) {
    failure = why;
    (*signals)->Shutdown();
  };
  NodeEnvs envs;
  for (uint32_t shard = 0; shard < world->shards().count(); ++shard) {
    envs.push_back(&world->env(ShardId(shard)));
  }
  Node node(world->shards(), std::move(envs), std::move(options));
  TaskScope waiting(world->env(ShardId(0)).reactor);
  waiting.Spawn(AwaitSignal(signals->get(), &node, logger));
  absl::Status started = co_await node.Start();
  if (!started.ok()) {
    logger->Error("cannot start: {}", std::string(started.message()));
  } else {
    std::fputs(Banner(node, *config, world->io_name()).c_str(), stdout);
    std::fputs(settings->ready_line.c_str(), stdout);
    std::fflush(stdout);
    co_await waiting.Join();
    if (!failure.ok()) logger->Error("stopping: {}", std::string(failure.message()));
  }
  (*signals)->Shutdown();
  co_await waiting.Join();
  absl::Status stopped = co_await node.Stop();
  if (!stopped.ok()) {
    logger->Error("stopped uncleanly, the next start recovers: {}", std::string(stopped.message()));
  } else if (started.ok() && failure.ok()) {
    logger->Info("stopped cleanly");
    *exit_status = 0;
  }
}

// Tools compare directories by their absolute paths (AlterReplicaLogDirs).
void MakePathsAbsolute(StorageConfig& storage) {
  for (std::string& path : storage.data_dirs) path = AbsolutePath(path);
  for (std::string& path : storage.cordoned_dirs) {
    if (path != "*") path = AbsolutePath(path);
  }
  storage.metadata_dir = AbsolutePath(storage.metadata_dir);
}

}  // namespace

int RunServer(NodeSettings settings) {
  Signals::Block();
  MakePathsAbsolute(settings.config.storage);
  SpdlogLogger logger(ParseLogLevel(settings.config.log_level).value_or(LogLevel::kInfo));
  for (const std::string& line : settings.warnings) logger.Warning("{}", line);
  for (const std::string& line : settings.notes) logger.Info("{}", line);

  RealWorldOptions world_options;
  world_options.io = BackendOf(settings.config.io);
  world_options.shards = ChooseShards(settings.config.shards, UsableCpus());
  absl::StatusOr<std::unique_ptr<RealWorld>> world = RealWorld::Create(world_options, logger);
  if (!world.ok()) {
    logger.Error("cannot start: {}", std::string(world.status().message()));
    return 1;
  }
  int exit_status = 1;
  (*world)->Run(RunNode(world->get(), &settings, &logger, &exit_status));
  return exit_status;
}

void AddServerCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<ServerArguments>();
  Command verb = program.AddVerb(
      "server",
      "Run a node. Without FILE: one node on 127.0.0.1:9092 with its data in ./millrace-data");
  verb.AddOption("FILE", arguments->file, "server.properties, with Kafka's names").TypeName("");
  verb.AddOption("--set", arguments->settings,
                 "name=value, over what FILE says; may be given often")
      .TypeName("NAME=VALUE")
      .OneValueEach();
  verb.AddFlag("--strict", arguments->strict, "Refuse to start with a key that nobody knows");
  verb.OnChosen([arguments, &chosen] {
    chosen = [arguments] {
      std::optional<NodeSettings> settings =
          ReadNodeSettings(arguments->file, arguments->settings, arguments->strict);
      return settings.has_value() ? RunServer(*std::move(settings)) : 1;
    };
  });
}

}  // namespace millrace

// `millrace storage format -t CLUSTER_ID -c FILE [--ignore-formatted]` and `millrace storage
// random-uuid`, as Kafka's kafka-storage.sh.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/node_settings.h"
#include "common/log/spdlog_logger.h"
#include "common/sys/real_world.h"
#include "storage/log_directory.h"

namespace millrace {
namespace {

struct FormatArguments {
  std::string cluster_id;
  std::string file;
  bool ignore_formatted = false;
  bool standalone = false;
};

// The id is any text to Kafka; what would break a line of meta.properties is refused.
bool IsClusterId(const std::string& id) {
  return !id.empty() && id.size() <= 255 &&
         id.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
             std::string::npos;
}

Task<void> FormatDirectories(Env* env, const BrokerConfig* config, const FormatArguments* arguments,
                             int* exit_status) {
  *exit_status = 1;
  for (const std::string& path : config->storage.data_dirs) {
    MetaProperties meta;
    meta.cluster_id = arguments->cluster_id;
    meta.node_id = config->node_id;
    meta.directory_id = env->random.NextUuid();
    absl::Status formatted = co_await FormatLogDirectory(env->disk, path, meta);
    if (absl::IsAlreadyExists(formatted)) {
      if (!arguments->ignore_formatted) {
        std::fprintf(stderr,
                     "Log directory %s is already formatted. Use --ignore-formatted to ignore this "
                     "directory and "
                     "format the others.\n",
                     path.c_str());
        co_return;
      }
      continue;
    }
    if (!formatted.ok()) {
      std::fprintf(stderr, "%s: %s\n", path.c_str(), std::string(formatted.message()).c_str());
      co_return;
    }
    std::printf("Formatting data directory %s with cluster id %s.\n", path.c_str(),
                arguments->cluster_id.c_str());
  }
  *exit_status = 0;
}

// Runs `make(env)` on a world of its own.
template <typename Make>
int RunOnDisk(Make make) {
  SpdlogLogger logger(LogLevel::kWarning);
  absl::StatusOr<std::unique_ptr<RealWorld>> world =
      RealWorld::Create({.io = IoBackend::kEpoll}, logger);
  if (!world.ok()) {
    std::fprintf(stderr, "%s\n", std::string(world.status().message()).c_str());
    return 1;
  }
  int exit_status = 1;
  (*world)->Run(make(&(*world)->env(ShardId(0)), &exit_status));
  return exit_status;
}

int RunFormat(const FormatArguments& arguments) {
  if (!IsClusterId(arguments.cluster_id)) {
    std::fprintf(stderr,
                 "--cluster-id %s: 1 to 255 letters, digits, '-', '_' or '.' are accepted\n",
                 arguments.cluster_id.c_str());
    return 1;
  }
  std::optional<NodeSettings> settings = ReadNodeSettings(arguments.file, {}, /*strict=*/false);
  if (!settings.has_value()) return 1;
  return RunOnDisk([&](Env* env, int* exit_status) {
    return FormatDirectories(env, &settings->config, &arguments, exit_status);
  });
}

Task<void> PrintUuid(Env* env, int* exit_status) {
  std::printf("%s\n", env->random.NextUuid().ToString().c_str());
  *exit_status = 0;
  co_return;
}

}  // namespace

void AddStorageCommand(CLI::App& app, ChosenCommand& chosen) {
  CLI::App* storage = app.add_subcommand("storage", "Prepare data directories");
  storage->require_subcommand(1);
  auto arguments = std::make_shared<FormatArguments>();
  CLI::App* format =
      storage->add_subcommand("format", "Format the data directories that a configuration names");
  format
      ->add_option("-t,--cluster-id", arguments->cluster_id, "The cluster the node will belong to")
      ->required();
  format->add_option("-c,--config", arguments->file, "server.properties")->required();
  format->add_flag("-g,--ignore-formatted", arguments->ignore_formatted,
                   "Leave directories that are formatted as they are");
  format->add_flag("-s,--standalone", arguments->standalone,
                   "The node is the only controller (it always is, for now)");
  format->callback(
      [arguments, &chosen] { chosen = [arguments] { return RunFormat(*arguments); }; });
  CLI::App* uuid = storage->add_subcommand("random-uuid", "Print a new cluster id");
  uuid->callback([&chosen] {
    chosen = [] {
      return RunOnDisk([](Env* env, int* exit_status) { return PrintUuid(env, exit_status); });
    };
  });
}

}  // namespace millrace

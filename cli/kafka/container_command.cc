// `millrace container`: the entry point of the image. Makes server.properties of the environment's
// variables (container_config.h), formats directories that are not, and runs the node.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/kafka/container_config.h"
#include "cli/node_settings.h"
#include "cli/quiet_shard.h"
#include "cli/run_server.h"
#include "cli/storage/storage_formatter.h"
#include "common/disk.h"
#include "common/sys/text_file.h"

namespace millrace {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr std::string_view kVariables = "container";  // Where settings come from, in messages.

struct ContainerArguments {
  std::string mounted = "/mnt/shared/config/server.properties";
  std::string config_out = "/opt/kafka/config/server.properties";
  bool print = false;
};

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::optional<std::string> ReadSmallFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path, kFileBytesMax);
  if (!text.ok()) return std::nullopt;
  return *std::move(text);
}

// Leaves what was made of the variables where people look for it, and formats what is not.
Task<void> Prepare(Env* env, const BrokerConfig* config, const ContainerConfig* container,
                   std::string config_out, int* exit_status) {
  // A read-only root file system is no reason not to start: the node has its settings already.
  (void)co_await ReplaceFile(env->disk, std::move(config_out), container->properties);
  *exit_status = kExitOk;
  if (!container->cluster_id.has_value()) co_return;  // The node makes one up.
  FormatRequest request;
  request.cluster_id = *container->cluster_id;
  // As apache/kafka does it: a controller of a dynamic quorum begins alone, or is added.
  request.standalone =
      config->is_controller && config->voters.empty() && config->quorum_bootstrap.size() == 1;
  request.no_initial_controllers =
      config->is_controller && config->voters.empty() && config->quorum_bootstrap.size() > 1;
  absl::StatusOr<std::vector<std::string>> lines =
      co_await FormatDirectories(env, config, std::move(request), AlreadyFormatted::kSkip);
  if (lines.ok()) {
    for (const std::string& line : *lines) PrintOutput(line + "\n");
  } else {
    PrintError(lines.status());
    *exit_status = kExitFailed;
  }
}

int RunContainer(const ContainerArguments& arguments) {
  ContainerInput input;
  input.environment = Environment();
  input.mounted_properties = ReadSmallFile(arguments.mounted);
  input.read_file = ReadSmallFile;
  ContainerConfig container = ReadContainerConfig(input);
  for (const std::string& error : container.errors) PrintError(error);
  if (!container.errors.empty()) return kExitFailed;
  if (arguments.print) {
    for (const std::string& warning : container.warnings) PrintError(warning);
    PrintOutput(container.properties);
    return kExitOk;
  }
  ConfigInput config;
  config.file_name = std::string(kVariables);
  config.file_text = container.properties;
  std::optional<NodeSettings> settings = NodeSettingsOf(config);
  if (!settings.has_value()) return kExitFailed;
  const int prepared = RunOnQuietShard([&](Env* env, int* exit_status) {
    return Prepare(env, &settings->config, &container, arguments.config_out, exit_status);
  });
  if (prepared != kExitOk) return prepared;
  // What testcontainers waits for in the logs of apache/kafka and of older images.
  settings->ready_line = fmt::format(
      "[BrokerServer id={0}] Transitioning from RECOVERY to RUNNING\n[KafkaServer id={0}] "
      "started\n",
      settings->config.node_id);
  settings->warnings.insert(settings->warnings.begin(), container.warnings.begin(),
                            container.warnings.end());
  return RunServer(*std::move(settings));
}

}  // namespace

void AddContainerCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<ContainerArguments>();
  Command verb = program.AddVerb(
      "container", "Run a node that the environment's KAFKA_ variables describe, as images do");
  verb.AddOption("--mounted", arguments->mounted, "A server.properties to begin with")
      .TypeName("FILE")
      .ShowDefault();
  verb.AddOption("--config-out", arguments->config_out, "Where to leave the result")
      .TypeName("FILE")
      .ShowDefault();
  verb.AddFlag("--print", arguments->print, "Print the result, and run nothing");
  verb.OnChosen(
      [arguments, &chosen] { chosen = [arguments] { return RunContainer(*arguments); }; });
}

}  // namespace millrace

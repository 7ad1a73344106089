// `millrace storage format|info|random-uuid|version-mapping`, with the flags of kafka-storage.sh.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/node_settings.h"
#include "cli/quiet_shard.h"
#include "cli/storage/format_plan.h"
#include "cli/storage/storage_formatter.h"

namespace millrace {
namespace {

struct FormatArguments {
  FormatRequest request;
  std::string release_version;
  std::string initial_controllers;
  std::vector<std::string> scram;
  std::string file;
  bool ignore_formatted = false;
};

Task<void> Format(Env* env, const BrokerConfig* config, const FormatArguments* arguments,
                  int* exit_status) {
  absl::StatusOr<std::vector<std::string>> lines = co_await FormatDirectories(
      env, config, arguments->request,
      arguments->ignore_formatted ? AlreadyFormatted::kSkip : AlreadyFormatted::kRefuse);
  if (!lines.ok()) {
    PrintError(lines.status());
    co_return;
  }
  for (const std::string& line : *lines) PrintOutput(line + "\n");
  *exit_status = kExitOk;
}

int RunFormat(FormatArguments arguments) {
  if (!arguments.scram.empty()) {
    PrintError("--add-scram: SASL is not served yet");
    return kExitFailed;
  }
  if (!arguments.release_version.empty()) {
    arguments.request.release_version = arguments.release_version;
  }
  if (!arguments.initial_controllers.empty()) {
    arguments.request.initial_controllers = arguments.initial_controllers;
  }
  std::optional<NodeSettings> settings = ReadNodeSettings(arguments.file, {}, /*strict=*/false);
  if (!settings.has_value()) return kExitFailed;
  return RunOnQuietShard([&](Env* env, int* exit_status) {
    return Format(env, &settings->config, &arguments, exit_status);
  });
}

struct InfoArguments {
  std::string file;
  std::string output = "text";
};

Task<void> PrintInfo(Env* env, const BrokerConfig* config, bool json, int* exit_status) {
  StorageInfo info = co_await DescribeDirectories(env, config);
  PrintOutput(json ? info.json : info.text);
  *exit_status = info.good ? kExitOk : kExitFailed;
}

int RunInfo(const InfoArguments& arguments) {
  std::optional<NodeSettings> settings = ReadNodeSettings(arguments.file, {}, /*strict=*/false);
  if (!settings.has_value()) return kExitFailed;
  return RunOnQuietShard([&](Env* env, int* exit_status) {
    return PrintInfo(env, &settings->config, arguments.output == "json", exit_status);
  });
}

Task<void> PrintUuid(Env* env, int* exit_status) {
  PrintOutput(env->random.NextUuid().ToString() + "\n");
  *exit_status = kExitOk;
  co_return;
}

int RunVersionMapping(const std::string& release) {
  FormatRequest request;
  if (!release.empty()) request.release_version = release;
  auto features = InitialFeatures(request, /*has_static_voters=*/false);
  if (!features.ok()) {
    PrintError(features.status());
    return kExitFailed;
  }
  for (const auto& [name, level] : *features) {
    const std::string called = name == "metadata.version"
                                   ? fmt::format(" ({})", MetadataVersionName(level))
                                   : std::string();
    PrintOutput(fmt::format("{}={}{}\n", name, level, called));
  }
  return kExitOk;
}

void AddFormat(Command& storage, ChosenCommand& chosen) {
  auto arguments = std::make_shared<FormatArguments>();
  Command format = storage.AddVerb("format", "Format the directories that a configuration names");
  format
      .AddOption("-t,--cluster-id", arguments->request.cluster_id,
                 "The cluster the node will belong to")
      .Required();
  format.AddOption("-c,--config", arguments->file, "server.properties").Required();
  format.AddFlag("-g,--ignore-formatted", arguments->ignore_formatted,
                 "Leave directories that are formatted as they are");
  format
      .AddOption("-r,--release-version", arguments->release_version,
                 "The features of this Kafka release to begin with; default: the newest")
      .TypeName("VERSION");
  format.AddOption("-f,--feature", arguments->request.features, "One of them at another level")
      .TypeName("NAME=LEVEL")
      .OneValueEach();
  format.AddFlag("-s,--standalone", arguments->request.standalone,
                 "Begin as the only controller of a dynamic quorum");
  format.AddFlag("-N,--no-initial-controllers", arguments->request.no_initial_controllers,
                 "Begin without a quorum, to be added to one");
  format
      .AddOption("-I,--initial-controllers", arguments->initial_controllers,
                 "Begin with these controllers")
      .TypeName("ID@HOST:PORT:DIRECTORY-ID,...");
  format.AddOption("-S,--add-scram", arguments->scram, "Not served yet").Hidden();
  format.OnChosen([arguments, &chosen] { chosen = [arguments] { return RunFormat(*arguments); }; });
}

}  // namespace

void AddStorageCommand(Command& program, ChosenCommand& chosen) {
  Command storage = program.AddVerb("storage", "Prepare data directories");
  storage.RequireVerb();
  AddFormat(storage, chosen);

  auto what = std::make_shared<InfoArguments>();
  Command info = storage.AddVerb("info", "Tell what the directories hold");
  info.AddOption("-c,--config", what->file, "server.properties").Required();
  info.AddOption("-o,--output", what->output, "text or json")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
  info.OnChosen([what, &chosen] { chosen = [what] { return RunInfo(*what); }; });

  Command uuid = storage.AddVerb("random-uuid", "Print a new cluster or directory id");
  uuid.OnChosen([&chosen] {
    chosen = [] {
      return RunOnQuietShard(
          [](Env* env, int* exit_status) { return PrintUuid(env, exit_status); });
    };
  });

  auto release = std::make_shared<std::string>();
  Command mapping = storage.AddVerb(
      "version-mapping", "Print the features that a new cluster of a release begins with");
  mapping.AddOption("-r,--release-version", *release, "Default: the newest").TypeName("VERSION");
  mapping.OnChosen(
      [release, &chosen] { chosen = [release] { return RunVersionMapping(*release); }; });
}

}  // namespace millrace

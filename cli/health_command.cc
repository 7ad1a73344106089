// `millrace health`: asks a node's admin endpoint, and answers with its exit status: what a
// container's health check runs, which has no curl.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "cli/admin_client.h"
#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/quiet_shard.h"
#include "common/config/listener.h"

namespace millrace {
namespace {

struct HealthArguments {
  std::string admin = "127.0.0.1:9644";
  bool live = false;
  std::string output = "text";
};

Task<void> Ask(Env* env, const HealthArguments* arguments, int* exit_status) {
  *exit_status = kExitFailed;
  const HostPort at = *ParseHostPort(arguments->admin);  // Checked by the parser.
  const bool json = arguments->output == "json";
  const std::string path = json ? "/status" : arguments->live ? "/livez" : "/readyz";
  absl::StatusOr<HttpAnswer> answer = co_await AskAdmin(env, {at.host, at.port}, path);
  if (!answer.ok()) {
    PrintError(fmt::format("{}: {}", arguments->admin, std::string(answer.status().message())));
    co_return;
  }
  PrintOutput(answer->body);
  const bool ready =
      json ? answer->body.find("\"ready\":true") != std::string::npos : answer->status == 200;
  if (answer->status == 200 && (ready || arguments->live)) *exit_status = kExitOk;
}

int RunHealth(const HealthArguments& arguments) {
  return RunOnQuietShard(
      [&](Env* env, int* exit_status) { return Ask(env, &arguments, exit_status); });
}

}  // namespace

void AddHealthCommand(Command& program, ChosenCommand& chosen) {
  auto arguments = std::make_shared<HealthArguments>();
  Command verb = program.AddVerb(
      "health", "Ask a node whether clients may be sent to it; exit status 0 if so");
  verb.AddOption("--admin", arguments->admin, "Its admin endpoint")
      .TypeName("HOST:PORT")
      .ShowDefault()
      .Check(CheckAdminAddress);
  verb.AddFlag("--live", arguments->live, "Ask only whether it runs");
  verb.AddOption("-o,--output", arguments->output, "text, or json: all that it says of itself")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
  verb.OnChosen([arguments, &chosen] { chosen = [arguments] { return RunHealth(*arguments); }; });
}

}  // namespace millrace

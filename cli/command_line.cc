#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/kafka_tools.h"

namespace millrace {

namespace {

// A line that says what is wrong and one that says where to read on: a page of help would push both
// off the screen.
std::string UsageMessage(const CLI::App* app, const CLI::Error& error) {
  std::string verb = "millrace";
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    verb += " " + app->get_name();
  }
  std::string wrong = error.what();
  // A word that is no verb is passed over; what is missed then is any verb at all.
  const bool misses_verb = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr &&
                           app->get_require_subcommand_min() > 0;
  if (const std::vector<std::string> unknown = app->remaining(); misses_verb && !unknown.empty()) {
    wrong = fmt::format("{}: no such command", unknown.front());
  }
  return fmt::format("{}\n`{} --help` shows what is accepted.\n", wrong, verb);
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  const std::optional<std::string> tool = argc > 0 ? KafkaToolOf(argv[0]) : std::nullopt;
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (tool.has_value()) {
    absl::StatusOr<std::vector<std::string>> ours = TranslateKafkaTool(*tool, std::move(words));
    if (!ours.ok()) {
      PrintError(ours.status());
      return kExitFailed;
    }
    words = *std::move(ours);
  }
  CLI::App app(
      "Millrace: a Kafka-compatible, replicated log. Zero configuration: `millrace server`.",
      "millrace");
  app.require_subcommand(1);
  app.failure_message(UsageMessage);
  ChosenCommand chosen;
  AddServerCommand(app, chosen);
  AddStorageCommand(app, chosen);
  AddClusterCommand(app, chosen);
  AddBrokerCommand(app, chosen);
  AddTopicCommand(app, chosen);
  AddProduceCommand(app, chosen);
  AddConsumeCommand(app, chosen);
  AddLogCommand(app, chosen);
  AddApiVersionsCommand(app, chosen);
  AddConfigCommand(app, chosen);
  AddContainerCommand(app, chosen);
  AddHealthCommand(app, chosen);
  AddVersionCommand(app, chosen);
  try {
    std::ranges::reverse(words);  // CLI11 takes them from the back.
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : kExitUsage;
  }
  return chosen ? chosen() : kExitUsage;
}

}  // namespace millrace

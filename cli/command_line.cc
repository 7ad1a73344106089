#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

namespace millrace {

namespace {

constexpr int kUsageError = 2;

// A line that says what is wrong and one that says where to read on: a page of help would push both
// off the screen.
std::string UsageMessage(const CLI::App* app, const CLI::Error& error) {
  std::string verb = "millrace";
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    verb += " " + app->get_name();
  }
  return fmt::format("{}\n`{} --help` shows what is accepted.\n", error.what(), verb);
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App app(
      "Millrace: a Kafka-compatible, replicated log. Zero configuration: `millrace server`.",
      "millrace");
  app.require_subcommand(1);
  app.failure_message(UsageMessage);
  ChosenCommand chosen;
  AddServerCommand(app, chosen);
  AddStorageCommand(app, chosen);
  AddTopicCommand(app, chosen);
  AddProduceCommand(app, chosen);
  AddConsumeCommand(app, chosen);
  AddLogCommand(app, chosen);
  AddVersionCommand(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : kUsageError;
  }
  return chosen ? chosen() : kUsageError;
}

}  // namespace millrace

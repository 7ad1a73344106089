#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace millrace {

constexpr int kUsageError = 2;

int RunCommandLine(int argc, char** argv) {
  CLI::App app(
      "Millrace: a Kafka-compatible, replicated log. Zero configuration: `millrace server`.",
      "millrace");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  ChosenCommand chosen;
  AddServerCommand(app, chosen);
  AddStorageCommand(app, chosen);
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

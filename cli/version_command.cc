// `millrace version`.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command_line.h"

namespace millrace {

std::string VersionText() { return MILLRACE_VERSION; }

void AddVersionCommand(CLI::App& app, ChosenCommand& chosen) {
  CLI::App* verb = app.add_subcommand(
      "version", "Print the version of this binary and of Kafka's protocol it speaks");
  verb->callback([&chosen] {
    chosen = [] {
      std::printf("millrace %s (Kafka protocol 4.4)\n", VersionText().c_str());
      return 0;
    };
  });
}

}  // namespace millrace

// `millrace version`.
#include <cstdio>

#include "cli/command_line.h"
#include "cli/command_parser.h"

namespace millrace {

std::string VersionText() { return MILLRACE_VERSION; }

void AddVersionCommand(Command& program, ChosenCommand& chosen) {
  Command verb = program.AddVerb(
      "version", "Print the version of this binary and of Kafka's protocol it speaks");
  verb.OnChosen([&chosen] {
    chosen = [] {
      std::printf("millrace %s (Kafka protocol 4.4)\n", VersionText().c_str());
      return 0;
    };
  });
}

}  // namespace millrace

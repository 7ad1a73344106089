#include "cli/command_line.h"

#include <absl/status/statusor.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/client_verb.h"
#include "cli/command_parser.h"
#include "cli/kafka/kafka_tools.h"

namespace millrace {

std::variant<ChosenCommand, int> ChooseCommand(std::vector<std::string> words) {
  CommandParser parser(
      "millrace",
      "Millrace: a Kafka-compatible, replicated log. Zero configuration: `millrace server`.");
  Command program = parser.root();
  program.RequireVerb();
  ChosenCommand chosen;
  AddServerCommand(program, chosen);
  AddStorageCommand(program, chosen);
  AddClusterCommand(program, chosen);
  AddBrokerCommand(program, chosen);
  AddTopicCommand(program, chosen);
  AddGroupCommand(program, chosen);
  AddProduceCommand(program, chosen);
  AddConsumeCommand(program, chosen);
  AddLogCommand(program, chosen);
  AddApiVersionsCommand(program, chosen);
  AddConfigCommand(program, chosen);
  AddContainerCommand(program, chosen);
  AddHealthCommand(program, chosen);
  AddTopCommand(program, chosen);
  AddVersionCommand(program, chosen);
  switch (parser.Parse(std::move(words))) {
    case Parsed::kChosen:
      if (chosen) return chosen;
      return kExitUsage;
    case Parsed::kHelp:
      return kExitOk;
    case Parsed::kWrong:
      return kExitUsage;
  }
  return kExitUsage;
}

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
  const std::variant<ChosenCommand, int> found = ChooseCommand(std::move(words));
  const ChosenCommand* chosen = std::get_if<ChosenCommand>(&found);
  return chosen != nullptr ? (*chosen)() : std::get<int>(found);
}

}  // namespace millrace

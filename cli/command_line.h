// The command line: `millrace VERB ...`. Each verb is a file of its own (NN_command.cc) that adds
// itself to the parser.
//
// Exit status: 0 all went well; 1 something failed (the reason is on stderr); 2 the command line is
// wrong.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace millrace {

// What parsing chose; runs after it, gives the exit status.
using ChosenCommand = std::function<int()>;

int RunCommandLine(int argc, char** argv);

// Each adds its verb (and sub-verbs) to `app` and sets `chosen` when the verb was named.
void AddServerCommand(CLI::App& app, ChosenCommand& chosen);
void AddStorageCommand(CLI::App& app, ChosenCommand& chosen);
void AddClusterCommand(CLI::App& app, ChosenCommand& chosen);
void AddBrokerCommand(CLI::App& app, ChosenCommand& chosen);
void AddTopicCommand(CLI::App& app, ChosenCommand& chosen);
void AddProduceCommand(CLI::App& app, ChosenCommand& chosen);
void AddConsumeCommand(CLI::App& app, ChosenCommand& chosen);
void AddLogCommand(CLI::App& app, ChosenCommand& chosen);
void AddApiVersionsCommand(CLI::App& app, ChosenCommand& chosen);
void AddConfigCommand(CLI::App& app, ChosenCommand& chosen);
void AddContainerCommand(CLI::App& app, ChosenCommand& chosen);
void AddHealthCommand(CLI::App& app, ChosenCommand& chosen);
void AddVersionCommand(CLI::App& app, ChosenCommand& chosen);

// A verb below `topic`.
void AddTopicOffsetsCommand(CLI::App& topic, ChosenCommand& chosen);

// The version of this build, e.g. "0.1.0".
std::string VersionText();

}  // namespace millrace

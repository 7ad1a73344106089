// The command line: `millrace VERB ...`. Each verb is a file of its own (NN_command.cc) that adds
// itself to the parser.
//
// Exit status: 0 all went well; 1 something failed (the reason is on stderr); 2 the command line is
// wrong.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

namespace millrace {

class Command;

// What parsing chose; runs after it, gives the exit status.
using ChosenCommand = std::function<int()>;

int RunCommandLine(int argc, char** argv);

// What the words behind the program's name ask for; or the exit status of a line that is wrong (then
// it was said on stderr) or asked for help.
std::variant<ChosenCommand, int> ChooseCommand(std::vector<std::string> words);

// Each adds its verb (and sub-verbs) to `program` and sets `chosen` when the verb was named.
void AddServerCommand(Command& program, ChosenCommand& chosen);
void AddStorageCommand(Command& program, ChosenCommand& chosen);
void AddClusterCommand(Command& program, ChosenCommand& chosen);
void AddBrokerCommand(Command& program, ChosenCommand& chosen);
void AddTopicCommand(Command& program, ChosenCommand& chosen);
void AddProduceCommand(Command& program, ChosenCommand& chosen);
void AddConsumeCommand(Command& program, ChosenCommand& chosen);
void AddLogCommand(Command& program, ChosenCommand& chosen);
void AddApiVersionsCommand(Command& program, ChosenCommand& chosen);
void AddConfigCommand(Command& program, ChosenCommand& chosen);
void AddContainerCommand(Command& program, ChosenCommand& chosen);
void AddHealthCommand(Command& program, ChosenCommand& chosen);
void AddGroupCommand(Command& program, ChosenCommand& chosen);
void AddTopCommand(Command& program, ChosenCommand& chosen);
void AddVersionCommand(Command& program, ChosenCommand& chosen);

// A verb below `topic`.
void AddTopicOffsetsCommand(Command& topic, ChosenCommand& chosen);
// Verbs below `group`.
void AddGroupOffsetsCommands(Command& group, ChosenCommand& chosen);

// The version of this build, e.g. "0.1.0".
std::string VersionText();

}  // namespace millrace

// What a command line may say, and its parser. It stands on CLI11, which command_parser.cc alone
// includes: a source that does costs ten seconds more to compile. So there are only the operations
// that the verbs use, and no template: an overload for each type of variable there is.
//
// Shard:    none: it runs before there are any.
// Lifetime: Command and Option are handles, cheap to copy; what they name lives as long as its
//           CommandParser. A variable must live until Parse() has returned.
// Errors:   Parse() prints them. A declaration that contradicts itself ends the process.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace millrace {

// What is wrong with a value, or nothing.
using ValueCheck = std::function<std::string(const std::string&)>;

// An option, a flag or a word by its place. Each method returns the option itself.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option Required();
  // How the help calls the value; "": not at all. Without it: TEXT, INT, ...
  Option TypeName(std::string_view name);
  // The help shows the variable's value as it is now.
  Option ShowDefault();
  Option Hidden();  // From the help.
  // Where the value comes from when the command line does not give it.
  Option Environment(std::string_view variable);

  // For a vector: each time the option is named it takes one value, not all that follow.
  Option OneValueEach();
  Option Delimiter(char delimiter);
  Option Excludes(Option other);

  // Of each value, in the order of these calls. The ranges and the set are named in the help.
  Option Check(ValueCheck check);
  Option Positive();
  Option NotNegative();
  Option OneOf(std::initializer_list<const char*> values);
  // Before checks: the value that this one stands for.
  Option Transform(std::function<std::string(const std::string&)> transform);

 private:
  CLI::Option* option_;  // Borrowed.
};

// A verb, or the program itself. The help lists verbs and options in the order they are added.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  Command AddVerb(std::string_view name, std::string_view description);
  void RequireVerb();  // Exactly one.
  // Runs while the line is parsed, when it names this verb and nothing is wrong with it.
  void OnChosen(std::function<void()> callback);

  // `names`: "-c,--config"; a name without a dash is a word by its place.
  Option AddOption(std::string_view names, std::string& variable, std::string_view description);
  Option AddOption(std::string_view names, std::optional<std::string>& variable,
                   std::string_view description);
  Option AddOption(std::string_view names, int16_t& variable, std::string_view description);
  Option AddOption(std::string_view names, int32_t& variable, std::string_view description);
  Option AddOption(std::string_view names, uint64_t& variable, std::string_view description);
  Option AddOption(std::string_view names, std::vector<std::string>& variable,
                   std::string_view description);
  Option AddOption(std::string_view names, std::vector<int32_t>& variable,
                   std::string_view description);
  // Hands the value, checked, to `assign`.
  Option AddOption(std::string_view names, std::function<void(const std::string&)> assign,
                   std::string_view description);
  Option AddFlag(std::string_view names, bool& variable, std::string_view description);

 private:
  CLI::App* app_;  // Borrowed.
};

enum class Parsed : uint8_t {
  kChosen,  // Go on with what OnChosen() noted.
  kHelp,    // It was asked for, and printed.
  kWrong,   // What is wrong was printed on stderr.
};

class CommandParser {
 public:
  CommandParser(std::string_view name, std::string_view description);
  ~CommandParser();

  Command root() { return Command(app_.get()); }
  // Once. `words`: without the program's name.
  Parsed Parse(std::vector<std::string> words);

 private:
  std::unique_ptr<CLI::App> app_;  // Owned.
};

}  // namespace millrace

#include "cli/command_parser.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

namespace millrace {

namespace {

// A line that says what is wrong and one that says where to read on: a page of help would push both
// off the screen.
std::string UsageMessage(const CLI::App* app, const CLI::Error& error) {
  std::string verb = app->get_name();
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

template <typename T>
Option Add(CLI::App* app, std::string_view names, T& variable, std::string_view description) {
  return Option(app->add_option(std::string(names), variable, std::string(description)));
}

}  // namespace

Option Option::Required() {
  option_->required();
  return *this;
}

Option Option::TypeName(std::string_view name) {
  option_->type_name(std::string(name));
  return *this;
}

Option Option::ShowDefault() {
  option_->capture_default_str();
  return *this;
}

Option Option::Hidden() {
  option_->group("");
  return *this;
}

Option Option::Environment(std::string_view variable) {
  option_->envname(std::string(variable));
  return *this;
}

Option Option::OneValueEach() {
  option_->allow_extra_args(false);
  return *this;
}

Option Option::Delimiter(char delimiter) {
  option_->delimiter(delimiter);
  return *this;
}

Option Option::Excludes(Option other) {
  option_->excludes(other.option_);
  return *this;
}

Option Option::Check(ValueCheck check) {
  option_->check(std::move(check));
  return *this;
}

Option Option::Positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}

Option Option::NotNegative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}

Option Option::OneOf(std::initializer_list<const char*> values) {
  option_->check(CLI::IsMember(std::vector<std::string>(values.begin(), values.end())));
  return *this;
}

Option Option::Transform(std::function<std::string(const std::string&)> transform) {
  option_->transform(std::move(transform));
  return *this;
}

Command Command::AddVerb(std::string_view name, std::string_view description) {
  return Command(app_->add_subcommand(std::string(name), std::string(description)));
}

void Command::RequireVerb() { app_->require_subcommand(1); }

void Command::OnChosen(std::function<void()> callback) { app_->callback(std::move(callback)); }

Option Command::AddOption(std::string_view names, std::string& variable,
                          std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, std::optional<std::string>& variable,
                          std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, int16_t& variable, std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, int32_t& variable, std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, uint64_t& variable,
                          std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, std::vector<std::string>& variable,
                          std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, std::vector<int32_t>& variable,
                          std::string_view description) {
  return Add(app_, names, variable, description);
}

Option Command::AddOption(std::string_view names, std::function<void(const std::string&)> assign,
                          std::string_view description) {
  return Option(app_->add_option_function<std::string>(std::string(names), std::move(assign),
                                                       std::string(description)));
}

Option Command::AddFlag(std::string_view names, bool& variable, std::string_view description) {
  return Option(app_->add_flag(std::string(names), variable, std::string(description)));
}

CommandParser::CommandParser(std::string_view name, std::string_view description)
    : app_(std::make_unique<CLI::App>(std::string(description), std::string(name))) {
  app_->failure_message(UsageMessage);
}

CommandParser::~CommandParser() = default;

Parsed CommandParser::Parse(std::vector<std::string> words) {
  try {
    std::ranges::reverse(words);  // CLI11 takes them from the back.
    app_->parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return app_->exit(error) == 0 ? Parsed::kHelp : Parsed::kWrong;
  }
  return Parsed::kChosen;
}

}  // namespace millrace

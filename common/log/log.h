// Logger: where a component says what changed, one line per state transition (before, after,
// cause).
//
// Nothing is logged per record. ERROR means that a person must act; WARNING that one may want to;
// INFO is the story of the process; DEBUG is off unless asked for. The logger is injected, so tests
// and scripts show the same lines a person reads; only main() builds the real one
// (spdlog_logger.h).
//
// Threads:   every method may be called from any thread.
// Lifetime:  a logger must outlive what it is lent to, prefix loggers made from it included.
// Errors:    none: a line that cannot be written is dropped, logging never fails its caller.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "DEBUG", "INFO", "WARN", "ERROR".
std::string_view LogLevelName(LogLevel level);

// Reads a level's name in any case ("warning" also means WARN); nothing for any other text.
std::optional<LogLevel> ParseLogLevel(std::string_view name);

class PrefixLogger;

class Logger {
 public:
  virtual ~Logger() = default;

  // Writes one line. Line breaks inside `message` are the adapter's to make harmless.
  virtual void Log(LogLevel level, std::string message) = 0;

  // Whether lines of `level` go anywhere; the formatting calls below ask before they format.
  virtual bool Enabled(LogLevel level) const = 0;

  // A logger that puts `prefix` and a space before each line, e.g. "[p topic-0 e7]". Prefixes of
  // prefix loggers add up, outermost first. The result borrows the logger at the root, not `this`.
  virtual PrefixLogger WithPrefix(std::string prefix);

  // By const reference, whatever they are called with: a line is compiled once for its types.
  template <typename... Args>
  void Debug(fmt::format_string<const Args&...> format, const Args&... args) {
    Format(LogLevel::kDebug, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Info(fmt::format_string<const Args&...> format, const Args&... args) {
    Format(LogLevel::kInfo, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Warning(fmt::format_string<const Args&...> format, const Args&... args) {
    Format(LogLevel::kWarning, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Error(fmt::format_string<const Args&...> format, const Args&... args) {
    Format(LogLevel::kError, format, fmt::make_format_args(args...));
  }

 private:
  void Format(LogLevel level, fmt::string_view format, fmt::format_args args);
};

// A small copyable value: a reference to the root logger and a prefix.
class PrefixLogger final : public Logger {
 public:
  PrefixLogger(Logger& root, std::string prefix) : root_(root), prefix_(std::move(prefix)) {}

  void Log(LogLevel level, std::string message) override;
  bool Enabled(LogLevel level) const override { return root_.Enabled(level); }
  PrefixLogger WithPrefix(std::string prefix) override;

  const std::string& prefix() const { return prefix_; }

 private:
  Logger& root_;
  std::string prefix_;
};

// Drops everything.
class NullLogger final : public Logger {
 public:
  void Log(LogLevel, std::string) override {}
  bool Enabled(LogLevel) const override { return false; }
};

}  // namespace millrace

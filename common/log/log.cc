#include "common/log/log.h"

#include <algorithm>
#include <cstdlib>

namespace millrace {

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarning:
      return "WARN";
    case LogLevel::kError:
      return "ERROR";
  }
  std::abort();
}

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  if (upper == "WARNING") return LogLevel::kWarning;
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (upper == LogLevelName(level)) return level;
  }
  return std::nullopt;
}

void Logger::Format(LogLevel level, fmt::string_view format, fmt::format_args args) {
  if (Enabled(level)) Log(level, fmt::vformat(format, args));
}

PrefixLogger Logger::WithPrefix(std::string prefix) {
  return PrefixLogger(*this, std::move(prefix));
}

void PrefixLogger::Log(LogLevel level, std::string message) {
  root_.Log(level, fmt::format("{} {}", prefix_, message));
}

PrefixLogger PrefixLogger::WithPrefix(std::string prefix) {
  return PrefixLogger(root_, fmt::format("{} {}", prefix_, prefix));
}

}  // namespace millrace

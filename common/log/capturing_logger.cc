#include "common/log/capturing_logger.h"

#include <utility>

namespace millrace {

void CapturingLogger::Log(LogLevel level, std::string message) {
  if (!Enabled(level)) return;
  std::string line = fmt::format("{:<5} {}", fmt::string_view(LogLevelName(level)), message);
  std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
}

std::vector<std::string> CapturingLogger::Lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

std::vector<std::string> CapturingLogger::TakeLines() {
  std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

bool CapturingLogger::Contains(std::string_view text) const {
  std::lock_guard lock(mutex_);
  for (const std::string& line : lines_) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace millrace

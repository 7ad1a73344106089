// CapturingLogger: keeps every line, for tests and script goldens ("INFO  text", no time stamp).
//
// Threads: any, as Logger demands. Bound: grows with what is logged; for tests only.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/log/log.h"

namespace millrace {

class CapturingLogger final : public Logger {
 public:
  explicit CapturingLogger(LogLevel lowest = LogLevel::kDebug) : lowest_(lowest) {}

  void Log(LogLevel level, std::string message) override;
  bool Enabled(LogLevel level) const override { return level >= lowest_; }

  // Everything so far, in order, each as "LEVEL message" with the level padded to five characters.
  std::vector<std::string> Lines() const;

  // The same, and forgets it: what a script step prints.
  std::vector<std::string> TakeLines();

  // Whether some line so far contains `text`.
  bool Contains(std::string_view text) const;

 private:
  const LogLevel lowest_;
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
};

}  // namespace millrace

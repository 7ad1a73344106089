// SpdlogLogger: the real logger, and the one place that knows spdlog. Built by main() alone.
//
//   2026-11-21T22:49:53.123Z INFO  [p topic-0 e7] becomes leader: was follower, image 118
//
// Times are UTC and come from spdlog. A line goes out whole and at once, however many threads log.
// Control characters in a message are written as \n, \t or \xNN, so that one message is one line
// and a hostile client id cannot forge another.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>

#include "common/log/log.h"

namespace millrace {

class SpdlogLogger final : public Logger {
 public:
  // Writes lines of `lowest` and above to stderr.
  explicit SpdlogLogger(LogLevel lowest);
  // The same to `stream`, which must outlive this object.
  SpdlogLogger(LogLevel lowest, std::ostream& stream);
  ~SpdlogLogger() override;

  void Log(LogLevel level, std::string message) override;
  bool Enabled(LogLevel level) const override { return level >= lowest_; }

 private:
  struct Adapter;  // Keeps spdlog's headers out of this one.

  const LogLevel lowest_;
  const std::unique_ptr<Adapter> adapter_;
};

}  // namespace millrace

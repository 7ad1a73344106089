// StallDetector: says which coroutine held a shard for too long. Everything else on the shard
// waited meanwhile: heartbeats, acknowledgements, other connections.
//
// Shard:  one; only real reactors have one (virtual time does not stall).
// Units:  a resumption above `turn_max` is a stall. At most one line per `line_every`, which also
//         says how many were left out.
// Note:   it measures after the fact. The address in the line is where the coroutine was resumed:
//         `addr2line -Cfe millrace ADDRESS` names it, which costs nothing while all is well.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/log/log.h"
#include "common/time.h"

namespace millrace {

struct StallDetectorOptions {
  Duration turn_max = milliseconds(10);
  Duration line_every = seconds(1);
};

class StallDetector {
 public:
  StallDetector(StallDetectorOptions options, Logger& logger)
      : options_(options), logger_(logger) {}

  // What ran (a class, "inbox", "timers"), for how long, until `now`. `code` may be null.
  void Ran(std::string_view what, Duration duration, const void* code, Instant now) {
    if (duration > options_.turn_max) [[unlikely]]
      Report(what, duration, code, now);
  }

  uint64_t stalls() const { return stalls_; }

 private:
  void Report(std::string_view what, Duration duration, const void* code, Instant now);

  const StallDetectorOptions options_;
  Logger& logger_;
  uint64_t stalls_ = 0;
  uint64_t unreported_ = 0;
  Instant quiet_until_{0};
};

}  // namespace millrace

// Clock: the wall clock, for what records, retention and log lines say. Waiting and measuring use
// Reactor::Now(), which is monotonic.
#pragma once

#include "common/time.h"

namespace millrace {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp Now() const = 0;
};

}  // namespace millrace

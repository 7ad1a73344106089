#include "common/sys/real_clock.h"

#include <time.h>

namespace millrace {

Timestamp RealClock::Now() const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return Timestamp(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

}  // namespace millrace

// RealClock: CLOCK_REALTIME. Shard: any; it has no state.
#pragma once

#include "common/clock.h"

namespace millrace {

class RealClock final : public Clock {
 public:
  Timestamp Now() const override;
};

}  // namespace millrace

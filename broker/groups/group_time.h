// The time at which a group decides: both clocks, as the caller read them.
#pragma once

#include "common/time.h"

namespace millrace {

struct GroupTime {
  Instant now;     // Sessions and rebalances are measured with it.
  Timestamp wall;  // What records say.
};

}  // namespace millrace

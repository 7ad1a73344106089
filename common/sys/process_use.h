// What this process has taken of the machine: /proc/self and the resource limits.
//
// Shard: any; every call reads /proc anew, so not on a hot path.
#pragma once

#include "common/process_use.h"

namespace millrace {

ProcessUse ReadProcessUse();

}  // namespace millrace

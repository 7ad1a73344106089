// ProcessUse: what a process has taken of its machine so far. Read by common/sys/process_use.h; the
// simulated world has no process to read of.
#pragma once

#include <cstdint>

namespace millrace {

struct ProcessUse {
  double cpu_seconds = 0;  // User and system, all threads.
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_files = 0;
  uint64_t open_files_max = 0;
  uint64_t threads = 0;
  double start_seconds = 0;  // Since 1970.
};

}  // namespace millrace

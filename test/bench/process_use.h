// What a process has used so far, all of its threads, by /proc.
//
// Errors: a process that is not there ends the program: its figures would be nonsense.
#pragma once

#include <cstdint>

namespace millrace::bench {

struct ProcessUse {
  double cpu_s = 0;            // User and system.
  uint64_t written_bytes = 0;  // That reached, or will reach, a disk.

  // Zeros for process 0: nobody asked.
  static ProcessUse Of(int pid);
};

}  // namespace millrace::bench

// What a process has used so far, all of its threads, by /proc.
//
// Errors: a process that is not there ends the program: its figures would be nonsense.
#pragma once

#include <cstdint>
#include <span>

namespace millrace::bench {

struct ProcessUse {
  double cpu_s = 0;            // User and system.
  uint64_t written_bytes = 0;  // That reached, or will reach, a disk.
  uint64_t read_bytes = 0;     // That came from a disk: not what the page cache had.

  static ProcessUse Of(int pid);
  // Of all of them together.
  static ProcessUse Of(std::span<const int> pids);
};

}  // namespace millrace::bench

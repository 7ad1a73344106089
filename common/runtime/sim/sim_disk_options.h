// How a simulated disk behaves, well and badly. All of it may change while the disk is in use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/runtime/sim/sim_random.h"
#include "common/time.h"

namespace millrace {

struct SimDiskOptions {
  uint64_t capacity_bytes = uint64_t{1} << 40;
  // What File::alignment() says of a file opened with `direct`; 1: the file system refuses direct.
  size_t direct_alignment = 4096;
  bool syncs_together = true;  // Disk::SyncTogether() works.

  // Each operation takes a time of its own from [min, max], so completions come in another order
  // than submissions; some take `stall` more.
  Duration latency_min = microseconds(5);
  Duration latency_max = microseconds(200);
  Duration sync_latency_max = milliseconds(5);
  PerMillion stalls;
  Duration stall = milliseconds(500);

  // kDataLoss. A failed write may have written any part.
  PerMillion read_errors;
  PerMillion write_errors;
  // kDataLoss; the pages are forgotten, so that the next Sync() succeeds and lies.
  PerMillion sync_errors;
  // Ok, but the bytes go to another place of the same file.
  PerMillion misdirected_writes;
};

}  // namespace millrace

// How the simulated network behaves between any two nodes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/runtime/sim/sim_random.h"
#include "common/time.h"

namespace millrace {

struct SimNetworkOptions {
  // One way. Each segment draws anew; within one connection and direction order is kept.
  Duration latency_min = microseconds(50);
  Duration latency_max = microseconds(500);
  Duration local_latency_max = microseconds(30);  // Between processes of one node.
  uint64_t bytes_per_second = 1'000'000'000;      // Per connection and direction.
  // Bytes on their way or unread, per direction; a sender waits beyond it.
  size_t buffer_bytes = 128 * 1024;
  // A send is cut into segments of a size drawn from [1, this].
  size_t segment_bytes_max = 16 * 1024;
  // A segment that cannot be delivered for so long breaks its connection (as the kernel's
  // retransmission timeout does).
  Duration give_up_after = seconds(20);
  // The connection is reset instead of delivering this segment: a stream cannot lose one segment.
  PerMillion breaks;
};

}  // namespace millrace

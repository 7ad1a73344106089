// RequestBudget: memory for the frames that one shard is receiving and working on. Two lines:
// frames of ordinary size share one budget, and large ones wait for each other in a budget of their
// own, so that a frame which needs most of the memory, or more than there is, never makes the
// others wait.
//
// A frame is charged from its announcement until its request has been decoded and appended; what a
// log keeps of it is charged there (Slice::Uncharge), because it may be kept for ever.
//
// Shard:    one; blocks may be released from any thread.
// Lifetime: outlives every frame charged to it.
// Bound:    `bytes_max` and once the largest frame allowed.
#pragma once

#include <algorithm>
#include <cstddef>

#include "common/runtime/semaphore.h"

namespace millrace {

class RequestBudget {
 public:
  RequestBudget(Reactor& reactor, size_t bytes_max, size_t frame_bytes_max)
      : ordinary_(reactor, bytes_max), large_(reactor, std::max(frame_bytes_max, size_t{1})) {}

  // Where a frame of `bytes` is charged.
  ByteBudget& For(size_t bytes) {
    return bytes > ordinary_.bytes_max() / kOrdinaryFrames ? large_ : ordinary_;
  }

  size_t used() const { return ordinary_.used() + large_.used(); }

 private:
  // At least so many ordinary frames are under way at a time.
  static constexpr size_t kOrdinaryFrames = 8;

  ByteBudget ordinary_;
  ByteBudget large_;
};

}  // namespace millrace

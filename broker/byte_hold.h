// ByteHold: bytes taken from a budget for as long as this lives; may be shrunk once it is known how
// few were needed.
#pragma once

#include <cstddef>

#include "common/check.h"
#include "common/runtime/semaphore.h"

namespace millrace {

class ByteHold {
 public:
  // REQUIRES: `bytes` were acquired from `budget`, which outlives this.
  ByteHold(ByteBudget& budget, size_t bytes) : budget_(budget), bytes_(bytes) {}
  ByteHold(const ByteHold&) = delete;
  ByteHold& operator=(const ByteHold&) = delete;
  ~ByteHold() {
    if (bytes_ > 0) budget_.Release(bytes_);
  }
  // Others wait for what this holds.
  bool contended() const { return bytes_ > 0 && budget_.contended(); }
  void ShrinkTo(size_t bytes) {
    if (bytes >= bytes_) return;
    budget_.Release(bytes_ - bytes);
    bytes_ = bytes;
  }

 private:
  ByteBudget& budget_;
  size_t bytes_;
};

}  // namespace millrace

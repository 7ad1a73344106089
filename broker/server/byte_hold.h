// ByteHold: bytes taken from a line of memory for as long as this lives; may be shrunk once it is
// known how few were needed.
#pragma once

#include <cstddef>

#include "broker/server/memory_line.h"

namespace millrace {

class ByteHold {
 public:
  // REQUIRES: `bytes` were acquired from `line`, which outlives this.
  ByteHold(MemoryLine& line, size_t bytes) : line_(line), bytes_(bytes), covers_(bytes) {}
  ByteHold(const ByteHold&) = delete;
  ByteHold& operator=(const ByteHold&) = delete;
  ~ByteHold() {
    if (bytes_ > 0) line_.Release(bytes_);
  }
  // Others wait for what this holds, and wait too long.
  bool holds_up_others() const { return bytes_ > 0 && line_.held_up(); }
  // So many bytes need no other budget.
  size_t covers() const { return covers_; }
  // Of a turn: what it stands for is not what was taken.
  void Cover(size_t bytes) { covers_ = bytes; }
  void ShrinkTo(size_t bytes) {
    if (bytes >= bytes_) return;
    line_.Release(bytes_ - bytes);
    bytes_ = covers_ = bytes;
  }

 private:
  MemoryLine& line_;
  size_t bytes_;
  size_t covers_;
};

}  // namespace millrace

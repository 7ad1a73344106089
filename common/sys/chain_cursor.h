// ChainCursor: what is still to be written or sent of a chain, as the kernel's iovecs.
//
// Lifetime: `chain` outlives it and does not change.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/bytes/slice.h"

namespace millrace {

// The kernel's own limit of one read or write, rounded down to a page.
inline constexpr size_t kBytesPerCall = 0x7ffff000;

class ChainCursor {
 public:
  explicit ChainCursor(const Chain& chain) : chain_(chain) {}

  bool empty() const { return slice_ == chain_.slices().size(); }

  // The next pieces, at most kBytesPerCall bytes, filled into `pieces`; how many.
  size_t Fill(std::span<iovec> pieces) const {
    size_t count = 0;
    size_t bytes = 0;
    size_t skip = skip_;
    for (size_t i = slice_; i < chain_.slices().size() && count < pieces.size(); ++i) {
      const Slice& slice = chain_.slices()[i];
      const size_t length = std::min(slice.size() - skip, kBytesPerCall - bytes);
      if (length == 0) break;
      pieces[count++] = {const_cast<uint8_t*>(slice.data()) + skip, length};
      bytes += length;
      skip = 0;
    }
    return count;
  }

  // REQUIRES: at most what is left.
  void Skip(size_t bytes) {
    while (bytes > 0) {
      const size_t left = chain_.slices()[slice_].size() - skip_;
      const size_t step = std::min(left, bytes);
      bytes -= step;
      skip_ += step;
      if (step == left) {
        ++slice_;
        skip_ = 0;
      }
    }
  }

 private:
  const Chain& chain_;
  size_t slice_ = 0;
  size_t skip_ = 0;  // Bytes of that slice that are done.
};

}  // namespace millrace

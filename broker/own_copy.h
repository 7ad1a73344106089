// OwnCopy: what crosses to another shard. Blocks, their counts and what they are charged to stay on
// the shard that made them; the bytes go over in one piece of memory that nobody else refers to.
//
// Shard: any; `bytes` may be another shard's as long as its owner keeps it and does not touch it.
#pragma once

#include <algorithm>
#include <utility>

#include "common/bytes/slice.h"

namespace millrace {

inline Slice OwnCopy(const Chain& bytes) {
  MutableBuffer copy(bytes.size());
  size_t at = 0;
  for (const Slice& piece : bytes.slices()) {
    std::ranges::copy(piece.span(), copy.data() + at);
    at += piece.size();
  }
  return std::move(copy).Freeze(at);
}

}  // namespace millrace

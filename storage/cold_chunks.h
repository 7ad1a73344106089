// ColdChunks: bytes read from segments beyond what their readers wanted, for their next reads. Few, and
// replaced in turn: a reader that goes on finds its own.
//
// Shard:    one.
// Bound:    `bytes_max`, and kColdChunksMax pieces; a larger piece is not kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "common/bytes/slice.h"
#include "common/ids.h"

namespace millrace {

inline constexpr size_t kColdChunksMax = 8;

// Where a piece lies. A log that was cut since has other bytes there.
struct ColdPlace {
  uint64_t log_number;
  uint64_t cuts;
  Offset segment_base;
  uint64_t position;
};

class ColdChunks {
 public:
  explicit ColdChunks(size_t bytes_max) : bytes_max_(bytes_max) {}

  // What is kept from `place` on; empty if nothing is.
  Slice Find(const ColdPlace& place) const;
  void Keep(const ColdPlace& place, Slice bytes);
  void Clear();

  size_t bytes() const { return bytes_; }

 private:
  struct Chunk {
    ColdPlace place;
    Slice bytes;
  };

  const size_t bytes_max_;
  size_t bytes_ = 0;
  std::deque<Chunk> chunks_;  // Oldest first.
};

// The part of a tail cache's memory that is for cold chunks: a quarter, and of a small one as much as
// one read ahead takes.
constexpr size_t ColdChunkBytes(size_t tail_cache_bytes_max, size_t cold_read_bytes) {
  const size_t half = tail_cache_bytes_max / 2;
  const size_t one = cold_read_bytes < half ? cold_read_bytes : half;
  return one > tail_cache_bytes_max / 4 ? one : tail_cache_bytes_max / 4;
}

}  // namespace millrace

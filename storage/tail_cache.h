// TailCache: the newest bytes of all logs of a shard, in memory: what is not yet in segment files,
// and beyond that what readers of the tail are likely to ask for, first in first out under a byte
// budget.
//
// A log's bytes lie in runs: whole batches, contiguous in the log and in one segment. A run is
// pending until the segment writer has written it (pending bytes are bounded by LogStore::Admit),
// then it is kept until the budget needs its room. Readers from disk never put anything in here, so
// a consumer that catches up cannot push out the tail.
//
// Shard:    one.
// Lifetime: a LogTail must be cleared before it, or the cache, is destroyed (CHECKed).
// Units:    bytes.
// Bounds:   kept (written) bytes <= bytes_max, counted at what their slices pin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/bytes/block.h"
#include "common/bytes/slice.h"
#include "common/ids.h"

namespace millrace {

class LogTail;

// Whole batches in a row. `base` is the first one's base offset, `next` the last one's next offset.
struct TailRun {
  Offset base;
  Offset next;
  Offset segment_base;
  uint64_t position;  // In the segment's file.
  Slice bytes;
  size_t charged;     // What the cache counts for it.
  bool open = false;  // Batches that follow it in memory and in the log may still be added.

  // The cache's list of written runs, oldest first.
  LogTail* owner = nullptr;
  TailRun* older = nullptr;
  TailRun* newer = nullptr;
};

// The runs of one log, in offset order: first written ones, then pending ones.
class LogTail {
 public:
  LogTail() = default;
  LogTail(const LogTail&) = delete;
  LogTail& operator=(const LogTail&) = delete;
  ~LogTail();

  bool empty() const { return head_ == runs_.size(); }
  size_t size() const { return runs_.size() - head_; }
  const TailRun& run(size_t i) const { return *runs_[head_ + i]; }
  // Runs [first_pending(), size()) are not yet in their files.
  size_t first_pending() const { return pending_ - head_; }
  size_t pending_bytes() const { return pending_bytes_; }

  // The run that holds `offset`, or the first one behind it; size() when it is behind all. Nothing
  // when it is before all: those bytes are on disk only.
  std::optional<size_t> Find(Offset offset) const;

 private:
  friend class TailCache;
  std::vector<std::unique_ptr<TailRun>> runs_;  // [0, head_) are gone.
  size_t head_ = 0;
  size_t pending_ = 0;
  size_t pending_bytes_ = 0;
};

class TailCache {
 public:
  TailCache(size_t bytes_max, size_t copy_bytes_below)
      : bytes_max_(bytes_max), copy_bytes_below_(copy_bytes_below) {}
  ~TailCache();

  // Adds a batch (one, whole) as pending. Small ones are copied next to each other.
  void Append(LogTail& tail, Slice batch, Offset base, Offset next, Offset segment_base,
              uint64_t position);

  // No batch joins what is there: someone is about to write it.
  void Seal(LogTail& tail);

  // The first `count` pending runs are in their files. May evict, also of other logs.
  void MarkWritten(LogTail& tail, size_t count);

  // Drops the batches at and above `offset`. REQUIRES: it is the boundary of a batch. Returns how
  // many pending bytes went.
  size_t DropFrom(LogTail& tail, Offset offset);
  // Forgets written batches that end at or below `offset`: what their files say now is less.
  void DropWrittenBelow(LogTail& tail, Offset offset);
  size_t Clear(LogTail& tail) { return DropFrom(tail, Offset(0)); }

  size_t kept_bytes() const { return kept_bytes_; }

 private:
  Slice Copy(const Slice& batch);
  bool InChunk(const Slice& bytes) const;
  void Link(TailRun& run);
  void Unlink(TailRun& run);
  void Evict();
  void DropOldest(LogTail& tail);

  // Constant after construction.
  const size_t bytes_max_;
  const size_t copy_bytes_below_;

  // State.
  MutableBuffer chunk_;  // Where small batches are copied; filled to chunk_used_.
  size_t chunk_used_ = 0;
  size_t kept_bytes_ = 0;
  TailRun* oldest_ = nullptr;
  TailRun* newest_ = nullptr;
};

// How many bytes of `bytes` (whole batches in a row) lie before the first batch that ends above
// `offset`: where a reader of `offset` begins.
size_t SkipBatchesBelow(const Slice& bytes, Offset offset);

// The longest prefix of whole batches that begin below `bound` and are together at most `bytes_max`
// long; with `at_least_one`, the first counts even if it is longer. `next` becomes the offset
// behind it (unchanged when the prefix is empty).
size_t TakeBatches(const Slice& bytes, Offset bound, size_t bytes_max, bool at_least_one,
                   Offset& next);

}  // namespace millrace

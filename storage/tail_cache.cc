#include "storage/tail_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/bytes/endian.h"
#include "common/check.h"
#include "storage/record/record_batch.h"

namespace millrace {
namespace {

constexpr size_t kChunkBytes = 128 << 10;
constexpr size_t kRunBytesMax = 64 << 10;
// What a run costs beside its bytes.
constexpr size_t kRunOverhead = sizeof(TailRun) + sizeof(void*);

// The three fields that walking needs, without parsing the header: these bytes were validated when
// they were appended.
Offset BaseOf(const uint8_t* batch) { return Offset(LoadBig<int64_t>(batch)); }
size_t SizeOf(const uint8_t* batch) {
  return static_cast<size_t>(LoadBig<int32_t>(batch + 8)) + kBatchLengthOverhead;
}
Offset NextOf(const uint8_t* batch) {
  return BaseOf(batch) + OffsetDelta(int64_t{LoadBig<int32_t>(batch + 23)} + 1);
}

}  // namespace

LogTail::~LogTail() { MR_CHECK(empty()); }

std::optional<size_t> LogTail::Find(Offset offset) const {
  if (empty() || offset < run(0).base) return std::nullopt;
  auto at = std::partition_point(
      runs_.begin() + static_cast<ptrdiff_t>(head_), runs_.end(),
      [offset](const std::unique_ptr<TailRun>& run) { return run->next <= offset; });
  return static_cast<size_t>(at - runs_.begin()) - head_;
}

TailCache::~TailCache() { MR_CHECK(oldest_ == nullptr); }

Slice TailCache::Copy(const Slice& batch) {
  if (batch.size() > kChunkBytes / 2) return Slice::Copy(batch.span());
  if (chunk_.size() - chunk_used_ < batch.size()) {
    chunk_ = MutableBuffer(kChunkBytes);
    chunk_used_ = 0;
  }
  std::memcpy(chunk_.data() + chunk_used_, batch.data(), batch.size());
  Slice copy = chunk_.Share(chunk_used_, batch.size());
  chunk_used_ += batch.size();
  return copy;
}

bool TailCache::InChunk(const Slice& bytes) const {
  return bytes.data() >= chunk_.data() && bytes.end() <= chunk_.data() + chunk_used_;
}

void TailCache::Append(LogTail& tail, Slice batch, Offset base, Offset next, Offset segment_base,
                       uint64_t position) {
  const size_t size = batch.size();
  // A slice much smaller than its block would keep more memory alive than we count for it.
  const bool copied = size < copy_bytes_below_ || batch.backing_size() > size * 2;
  Slice kept = copied ? Copy(batch) : std::move(batch);
  tail.pending_bytes_ += size;
  if (tail.pending_ < tail.runs_.size()) {
    TailRun& last = *tail.runs_.back();
    if (last.open && copied && last.segment_base == segment_base && last.next == base &&
        last.bytes.size() + size <= kRunBytesMax && last.bytes.end() == kept.data() &&
        InChunk(last.bytes) && InChunk(kept)) {
      // Adjacent in one chunk: one run, one slice, one element of the gathered write.
      last.bytes = chunk_.Share(static_cast<size_t>(last.bytes.data() - chunk_.data()),
                                last.bytes.size() + size);
      last.next = next;
      last.charged += size;
      return;
    }
    last.open = false;
  }
  auto run = std::make_unique<TailRun>(TailRun{base, next, segment_base, position, Slice(), 0});
  run->charged = kRunOverhead + (copied ? size : kept.backing_size());
  run->bytes = std::move(kept);
  run->open = copied;
  run->owner = &tail;
  tail.runs_.push_back(std::move(run));
}

void TailCache::Seal(LogTail& tail) {
  if (!tail.empty()) tail.runs_.back()->open = false;
}

void TailCache::MarkWritten(LogTail& tail, size_t count) {
  MR_CHECK(count <= tail.runs_.size() - tail.pending_);
  for (size_t i = 0; i < count; ++i) {
    TailRun& run = *tail.runs_[tail.pending_++];
    run.open = false;
    tail.pending_bytes_ -= run.bytes.size();
    Link(run);
  }
  Evict();
}

void TailCache::Evict() {
  while (kept_bytes_ > bytes_max_ && oldest_ != nullptr) {
    // The oldest written run of all logs is also the oldest of its own log.
    LogTail& tail = *oldest_->owner;
    MR_CHECK(tail.head_ < tail.pending_);
    MR_CHECK(tail.runs_[tail.head_].get() == oldest_);
    DropOldest(tail);
  }
}

void TailCache::DropOldest(LogTail& tail) {
  Unlink(*tail.runs_[tail.head_]);
  tail.runs_[tail.head_++].reset();
  if (tail.empty()) {
    decltype(tail.runs_)().swap(tail.runs_);  // An idle log holds no memory here.
    tail.head_ = tail.pending_ = 0;
  } else if (tail.head_ > 64 && tail.head_ * 2 > tail.runs_.size()) {
    tail.runs_.erase(tail.runs_.begin(), tail.runs_.begin() + static_cast<ptrdiff_t>(tail.head_));
    tail.pending_ -= tail.head_;
    tail.head_ = 0;
  }
}

void TailCache::DropWrittenBelow(LogTail& tail, Offset offset) {
  while (tail.head_ < tail.pending_ && tail.runs_[tail.head_]->next <= offset) DropOldest(tail);
  if (tail.head_ == tail.pending_) return;
  TailRun& run = *tail.runs_[tail.head_];
  if (run.base >= offset) return;
  const size_t below = SkipBatchesBelow(run.bytes, offset);
  run.bytes = run.bytes.From(below);
  run.position += below;
  run.base = BaseOf(run.bytes.data());
}

size_t TailCache::DropFrom(LogTail& tail, Offset offset) {
  size_t pending_dropped = 0;
  while (!tail.empty()) {
    TailRun& last = *tail.runs_.back();
    if (last.next <= offset) break;
    const bool written = tail.runs_.size() == tail.pending_;
    if (last.base < offset) {
      size_t keep = SkipBatchesBelow(last.bytes, offset);
      if (!written) {
        pending_dropped += last.bytes.size() - keep;
        tail.pending_bytes_ -= last.bytes.size() - keep;
      }
      last.bytes = last.bytes.Sub(0, keep);
      last.next = offset;
      last.open = false;
      break;
    }
    if (written) {
      Unlink(last);
      --tail.pending_;
    } else {
      pending_dropped += last.bytes.size();
      tail.pending_bytes_ -= last.bytes.size();
    }
    tail.runs_.pop_back();
  }
  if (tail.empty()) {
    decltype(tail.runs_)().swap(tail.runs_);
    tail.head_ = tail.pending_ = 0;
  }
  return pending_dropped;
}

void TailCache::Link(TailRun& run) {
  run.older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &run;
  newest_ = &run;
  kept_bytes_ += run.charged;
}

void TailCache::Unlink(TailRun& run) {
  (run.older == nullptr ? oldest_ : run.older->newer) = run.newer;
  (run.newer == nullptr ? newest_ : run.newer->older) = run.older;
  run.older = run.newer = nullptr;
  kept_bytes_ -= run.charged;
}

size_t SkipBatchesBelow(const Slice& bytes, Offset offset) {
  size_t at = 0;
  while (at < bytes.size() && NextOf(bytes.data() + at) <= offset) at += SizeOf(bytes.data() + at);
  return at;
}

size_t TakeBatches(const Slice& bytes, Offset bound, size_t bytes_max, bool at_least_one,
                   Offset& next) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const uint8_t* batch = bytes.data() + taken;
    if (BaseOf(batch) >= bound) break;
    size_t size = SizeOf(batch);
    if (taken + size > bytes_max && !(at_least_one && taken == 0)) break;
    next = NextOf(batch);
    taken += size;
  }
  return taken;
}

}  // namespace millrace

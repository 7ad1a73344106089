// ReadyQueue: the coroutines of one scheduling class that may run; a ring that grows to the most
// that were ever ready at once and then allocates no more.
//
// Shard: one. Bound: the number of suspended coroutines, each of which is in at most one queue.
#pragma once

#include <coroutine>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/check.h"

namespace millrace {

class ReadyQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void Push(std::coroutine_handle<> handle) {
    if (size_ == ring_.size()) Grow();
    ring_[(head_ + size_++) & (ring_.size() - 1)] = handle;
  }

  // The one that waits longest. REQUIRES: not empty.
  std::coroutine_handle<> Pop() {
    MR_CHECK(size_ > 0);
    std::coroutine_handle<> handle = ring_[head_];
    head_ = (head_ + 1) & (ring_.size() - 1);
    --size_;
    return handle;
  }

 private:
  static constexpr size_t kSizeAtStart = 64;  // A power of two, as every later size.

  void Grow() {
    std::vector<std::coroutine_handle<>> larger(ring_.empty() ? kSizeAtStart : ring_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = ring_[(head_ + i) & (ring_.size() - 1)];
    ring_ = std::move(larger);
    head_ = 0;
  }

  std::vector<std::coroutine_handle<>> ring_;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace millrace

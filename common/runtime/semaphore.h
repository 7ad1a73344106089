// ByteBudget: a bound on bytes that wait somewhere, shared by many; who finds it used up waits in
// line.
//
// Shard:    waiting happens on one shard; Release() may come from any thread, because the last
// reference to a
//           block may drop anywhere.
// Lifetime: outlives every block charged to it and every waiter.
// Units:    bytes. A single request above the whole budget is granted once the budget is entirely
// free, so
//           that a limit smaller than a legal request slows it down and does not block it for ever.
// Errors:   kCancelled.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "common/bytes/block.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"

namespace millrace {

class ByteBudget final : public ByteAccount {
 public:
  ByteBudget(Reactor& reactor, size_t bytes_max)
      : reactor_(reactor), bytes_max_(bytes_max), freed_(reactor) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  size_t bytes_max() const { return bytes_max_; }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  // Whether somebody waits in line.
  bool contended() const { return !line_.empty(); }

  // Takes `bytes` now, or nothing. Does not overtake those who wait.
  bool TryAcquire(size_t bytes);
  // Whether TryAcquire() would: until something is taken, or given back.
  bool Fits(size_t bytes) const;
  // Takes `bytes`, first come first served.
  Task<absl::Status> Acquire(size_t bytes, CancellationToken token);
  // Any thread.
  void Release(size_t bytes) noexcept override;

 private:
  bool Take(size_t bytes);

  Reactor& reactor_;
  const size_t bytes_max_;
  std::atomic<size_t> used_{0};
  std::atomic<bool> contended_{false};  // Someone waits: releases must wake the shard.
  uint64_t next_ticket_ = 0;
  std::deque<uint64_t> line_;
  Event freed_;
};

}  // namespace millrace

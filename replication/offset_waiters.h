// OffsetWaiters: who waits for an offset of one partition to be committed (acks=all) or readable (a
// parked fetch). An advance wakes exactly those it concerns: cost is O(woken), however many wait.
//
// Shard:    the partition's.
// Lifetime: a waiter unlinks itself when destroyed; the list must outlive its waiters or be failed
// first.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>

#include "common/ids.h"

namespace millrace {

class OffsetWaiters;

// The target of who waits for the end of a role, or of the wait itself, and for no offset.
inline constexpr Offset kNeverReached(INT64_MAX);

class OffsetWaiter {
 public:
  OffsetWaiter() = default;
  OffsetWaiter(const OffsetWaiter&) = delete;
  OffsetWaiter& operator=(const OffsetWaiter&) = delete;

  // The offset waited for is reached (OK), or never will be here (leadership lost, topic deleted,
  // disk failed). The waiter is unlinked before the call and may link itself again in it.
  virtual void OnReached(const absl::Status& status) = 0;

  bool linked() const { return list_ != nullptr; }
  void Unlink();

 protected:
  ~OffsetWaiter() { Unlink(); }

 private:
  friend class OffsetWaiters;
  OffsetWaiters* list_ = nullptr;
  std::multimap<Offset, OffsetWaiter*>::iterator place_;
};

class OffsetWaiters {
 public:
  OffsetWaiters() = default;
  OffsetWaiters(const OffsetWaiters&) = delete;
  OffsetWaiters& operator=(const OffsetWaiters&) = delete;
  ~OffsetWaiters() { FailAll(absl::UnavailableError("the partition is gone")); }

  // Until the offset that Advance() reports is at least `target`.
  void Add(OffsetWaiter& waiter, Offset target);
  void Advance(Offset reached);
  void FailAll(const absl::Status& status);
  bool empty() const { return by_target_.empty(); }

 private:
  friend class OffsetWaiter;
  std::multimap<Offset, OffsetWaiter*> by_target_;  // Equal targets in the order they came.
};

}  // namespace millrace

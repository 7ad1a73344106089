// LeadershipWatch: a token for a wait that is of use only while this broker leads certain
// partitions. It is cancelled when the role of one of them changes, or when `outer` is: whoever
// waited looks anew what there is to wait for.
//
//   for (;;) {
//     LeadershipWatch watch(cancel);
//     ... watch.Add() those that are led ...
//     co_await Something(watch.token());
//     ... done, or `cancel` was cancelled: return ...
//   }
//
// Shard:    the partitions'.
// Lifetime: made for one wait. `outer`'s source outlives it; a partition that goes away cancels it.
// Bounds:   an entry for each partition that was added.
#pragma once

#include <absl/status/status.h>

#include <deque>

#include "broker/server/cancel_forward.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "replication/offset_waiters.h"
#include "replication/partition.h"

namespace millrace {

class LeadershipWatch {
 public:
  explicit LeadershipWatch(CancellationToken outer) : forward_(source_) {
    outer.Register(forward_);
  }
  LeadershipWatch(const LeadershipWatch&) = delete;
  LeadershipWatch& operator=(const LeadershipWatch&) = delete;

  // REQUIRES: partition.leads().
  void Add(Partition& partition) {
    partition.committed().Add(waits_.emplace_back(source_), kNeverReached);
  }
  CancellationToken token() { return source_.token(); }

 private:
  // An offset that is never reached: what it hears is that the role ended.
  class RoleWait final : public OffsetWaiter {
   public:
    explicit RoleWait(CancellationSource& source) : source_(source) {}
    void OnReached(const absl::Status&) override { source_.Cancel(); }

   private:
    CancellationSource& source_;
  };

  CancellationSource source_;
  CancelForward forward_;
  std::deque<RoleWait> waits_;
};

}  // namespace millrace

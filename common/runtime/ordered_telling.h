// OrderedTelling: what one shard tells another, in the order in which it was said. Shards::Tell() alone
// does not keep it: who tells may be of another class each time, and news that found the inbox full is
// overtaken by what comes while it waits.
//
// Shard:    Tell() and Stop() on `from`; what was told runs on `to`, in a later turn also where that
//           is `from`.
// Lifetime: Stop() must have finished before destruction; what is told after it has begun is dropped,
//           and so is what waits.
// Bound:    none of its own: it is for what happens rarely (a disk is full, a peer is lost), and what
//           waits is what happened while the inbox of `to` was full.
#pragma once

#include <deque>
#include <functional>

#include "common/ids.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

class OrderedTelling {
 public:
  OrderedTelling(Shards& shards, ShardId from, ShardId to)
      : shards_(shards), from_(from), to_(to), scope_(shards.reactor(from)) {}

  void Tell(std::move_only_function<void()> what);
  Task<void> Stop() { return scope_.Stop(); }

 private:
  Task<void> TellAll();

  // Borrowed.
  Shards& shards_;
  // Constant after construction.
  const ShardId from_;
  const ShardId to_;
  // State.
  std::deque<std::move_only_function<void()>> waiting_;
  bool telling_ = false;  // A task does.
  TaskScope scope_;
};

}  // namespace millrace

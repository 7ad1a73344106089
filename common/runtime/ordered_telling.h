// OrderedTelling: what one shard tells another, in the order in which it was said. Shards::Tell() alone
// does not keep it: who tells may be of another class each time, and news that found the inbox full is
// overtaken by what comes while it waits.
//
// Shard:    Tell() and Stop() on `from`; what was told runs on `to`, in a later turn also where that
//           is `from`.
// Lifetime: Stop() must have finished before destruction; what is told after it has begun is dropped,
//           and so is what waits.
// Bound:    one piece of news of each subject waits, the newest, behind what was told before it: a
//           shard whose inbox stays full misses what was overtaken meanwhile, and learns how it
//           ended. How many subjects there are is who tells' to bound: a few, and some for each peer
//           and disk.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>

#include "common/ids.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

class OrderedTelling {
 public:
  OrderedTelling(Shards& shards, ShardId from, ShardId to)
      : shards_(shards), from_(from), to_(to), scope_(shards.reactor(from)) {}

  // `subject`: what it is news of, such as the state of one disk. It must be such that who hears the
  // newest needs none of those before it.
  void Tell(std::string subject, std::move_only_function<void()> what);
  size_t waiting() const { return waiting_.size(); }
  Task<void> Stop() { return scope_.Stop(); }

 private:
  struct News {
    std::string subject;
    std::move_only_function<void()> what;
  };
  Task<void> TellAll();

  // Borrowed.
  Shards& shards_;
  // Constant after construction.
  const ShardId from_;
  const ShardId to_;
  // State.
  std::deque<News> waiting_;
  bool telling_ = false;  // A task does.
  TaskScope scope_;
};

}  // namespace millrace

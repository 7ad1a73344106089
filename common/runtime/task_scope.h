// TaskScope: the owner of background tasks. There is no detach(): what is spawned here ends before
// Stop() does.
//
// Shard:    one.
// Lifetime: Stop() must have finished before destruction (CHECKed).
#pragma once

#include <cstdint>

#include "common/runtime/cancellation.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"

namespace millrace {

class TaskScope {
 public:
  explicit TaskScope(Reactor& reactor) : reactor_(reactor), idle_(reactor) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  // Starts `task` in a later turn. After Stop() has begun it is dropped unstarted.
  void Spawn(Task<void> task, SchedClass sched_class);
  void Spawn(Task<void> task) { Spawn(std::move(task), reactor_.current_class()); }

  // What spawned tasks watch; cancelled when Stop() begins.
  CancellationToken token() { return cancel_.token(); }
  bool stopping() const { return cancel_.cancelled(); }
  int64_t running() const { return running_; }

  // Refuses new tasks, requests cancellation, and returns when all have ended.
  Task<void> Stop();
  // Returns when all have ended, without asking them to; new ones may still be spawned.
  Task<void> Join();

 private:
  class Runner;  // The root coroutine of one spawned task.
  static Runner Run(TaskScope* scope, Task<void> task, SchedClass sched_class);
  void Finished();

  Reactor& reactor_;
  int64_t running_ = 0;
  CancellationSource cancel_;
  Event idle_;
};

}  // namespace millrace

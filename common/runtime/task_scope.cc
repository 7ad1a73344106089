#include "common/runtime/task_scope.h"

#include <exception>

#include "common/check.h"

namespace millrace {

// Owns itself: its frame is freed when the task has ended, after the scope was told. The scope
// counts it.
class TaskScope::Runner {
 public:
  struct promise_type {
    Runner get_return_object() {
      return Runner{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

TaskScope::~TaskScope() { MR_CHECK(running_ == 0); }

TaskScope::Runner TaskScope::Run(TaskScope* scope, Task<void> task, SchedClass sched_class) {
  scope->reactor_.set_current_class(sched_class);
  {
    Task<void> body = std::move(task);  // Destroyed before the scope may go.
    co_await body;
  }
  scope->Finished();
}

void TaskScope::Spawn(Task<void> task, SchedClass sched_class) {
  if (stopping()) return;
  ++running_;
  reactor_.Ready(Run(this, std::move(task), sched_class).handle, sched_class);
}

void TaskScope::Finished() {
  MR_CHECK(running_ > 0);
  if (--running_ == 0) idle_.Pulse();
}

Task<void> TaskScope::Stop() {
  cancel_.Cancel();
  co_await Join();
}

Task<void> TaskScope::Join() {
  while (running_ > 0) co_await idle_.Wait();
}

}  // namespace millrace

// Task<T>: a coroutine that runs when it is awaited and gives its result to whoever awaits it.
//
// Shard:    a task runs and is destroyed on the shard that started it.
// Lifetime: destroying a Task that has not started destroys its frame; one that has started must be
// awaited to
//           its end (TaskScope does that for spawned ones), because the kernel may hold its
//           buffers.
// Errors:   exceptions end the process; failures are values (absl::Status).
//
// Awaiting starts the child at once, inside await_ready: a child that finishes without suspending
// costs no suspension, and loops of such awaits do not grow the stack at -O0 or under sanitizers,
// where symmetric transfer is no tail call.
#pragma once

#include <coroutine>
#include <exception>
#include <new>
#include <utility>

#include "common/check.h"

namespace millrace {

template <typename T = void>
class Task;

namespace internal {

class TaskPromiseBase {
 public:
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      std::coroutine_handle<> continuation = handle.promise().continuation_;
      return continuation ? continuation : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

  std::coroutine_handle<> continuation_;
};

// A union and not std::optional, which costs every source several times as much for each T.
template <typename T>
class TaskPromise : public TaskPromiseBase {
 public:
  TaskPromise() {}
  TaskPromise(const TaskPromise&) = delete;
  TaskPromise& operator=(const TaskPromise&) = delete;
  ~TaskPromise() {
    if (returned_) value_.~T();
  }

  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    new (&value_) T(std::forward<U>(value));
    returned_ = true;
  }
  T Take() { return std::move(value_); }

 private:
  union {
    T value_;  // From return_value() on.
  };
  bool returned_ = false;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void Take() const noexcept {}
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Destroy(); }

  bool await_ready() {
    handle_.resume();  // Start now; see above.
    return handle_.done();
  }
  void await_suspend(std::coroutine_handle<> continuation) {
    handle_.promise().continuation_ = continuation;
  }
  T await_resume() { return handle_.promise().Take(); }

 private:
  void Destroy() {
    if (handle_) handle_.destroy();
    handle_ = nullptr;
  }
  Handle handle_;
};

namespace internal {
template <typename T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(Task<T>::Handle::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(Task<void>::Handle::from_promise(*this));
}
}  // namespace internal

}  // namespace millrace

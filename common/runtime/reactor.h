// Reactor: one shard's loop as the code on it sees it: the ready queue, the timers, the inbox, the
// time.
//
// Shard:    every method runs on the reactor's own shard, but Post(), which any thread may call.
// Lifetime: outlives everything that runs on it.
// Source:   docs/architecture.md, Runtime. Implementations: UringReactor and EpollReactor (real),
//           SimReactor (virtual time and seeded order). Disk and network access is not here:
//           common/env.h.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// Who goes first when much is ready. Lower runs before higher, with a bounded share for each so
// that none starves. A coroutine keeps the class it was spawned with over all its waits.
enum class SchedClass : uint8_t { kReplication, kProduce, kTailFetch, kCatchUp, kHousekeeping };
inline constexpr size_t kSchedClasses = 5;

// A timer that its owner embeds. Fire() runs on the shard, from the loop, never inside Arm().
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual void Fire() = 0;
  bool armed() const { return previous_ != nullptr; }
  Instant deadline() const { return deadline_; }

 protected:
  ~Timer() = default;  // REQUIRES: disarmed.

 private:
  friend class TimerWheel;  // The intrusive list is the wheel's business alone.
  Timer* previous_ = nullptr;
  Timer* next_ = nullptr;
  Instant deadline_{0};
};

class Reactor {
 public:
  virtual ~Reactor() = default;

  virtual ShardId shard() const = 0;

  // Monotonic time, read once per turn of the loop: equal within a turn.
  virtual Instant Now() const = 0;

  // Resumes `handle` in a later turn, in `sched_class`. Never resumes it inside the call.
  virtual void Ready(std::coroutine_handle<> handle, SchedClass sched_class) = 0;

  // The class of what runs now; what a wait must pass to Ready() when it ends.
  virtual SchedClass current_class() const = 0;
  // Changes the class of what runs now (a spawned task sets its own at its start).
  virtual void set_current_class(SchedClass sched_class) = 0;

  // Arms `timer` (disarming it first); fires at or soon after `deadline`, at most a wheel tick (1
  // ms) late plus the length of the running turn. An armed timer must be disarmed before it is
  // destroyed.
  virtual void Arm(Timer& timer, Instant deadline) = 0;
  virtual void Disarm(Timer& timer) = 0;

  // Any thread: runs `work` on this shard soon. False when the bounded inbox is full or the reactor
  // has stopped; `work` was not taken then.
  virtual bool Post(std::move_only_function<void()> work) = 0;
};

// co_await Yield(reactor): lets everything else that is ready run first. Long loops do it every N
// turns.
class Yield {
 public:
  explicit Yield(Reactor& reactor) : reactor_(reactor) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    reactor_.Ready(handle, reactor_.current_class());
  }
  void await_resume() const {}

 private:
  Reactor& reactor_;
};

}  // namespace millrace

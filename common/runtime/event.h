// Event: coroutines wait until it is set. Sleep: they wait until a time. Both can be cancelled.
//
// Shard:    one. Waiters resume through the ready queue, in the order they came, with the class
// they had. Lifetime: an Event must have no waiters when it is destroyed (CHECKed).
#pragma once

#include <coroutine>
#include <optional>

#include "common/runtime/cancellation.h"
#include "common/runtime/reactor.h"
#include "common/time.h"

namespace millrace {

enum class WaitResult { kSignalled, kTimedOut, kCancelled };

class Event {
 public:
  class Waiter;

  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  // Wakes all waiters and stays set: later waits return at once.
  void Set();
  void Reset() { set_ = false; }
  // Wakes those waiting now, without staying set.
  void Pulse();
  bool is_set() const { return set_; }
  bool has_waiters() const { return head_ != nullptr; }

  // co_await event.Wait(): until set. With a deadline or a token it may end otherwise: see the
  // result.
  Waiter Wait(std::optional<Instant> deadline = std::nullopt, CancellationToken token = {});

 private:
  void Unlink(Waiter& waiter);

  Reactor& reactor_;
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
  bool set_ = false;
};

// The awaitable of Event::Wait(); lives in the awaiting frame.
class Event::Waiter final : private Timer, private CancellationCallback {
 public:
  Waiter(Event& event, std::optional<Instant> deadline, CancellationToken token)
      : event_(event), deadline_(deadline), token_(token) {}
  bool await_ready();
  void await_suspend(std::coroutine_handle<> handle);
  WaitResult await_resume() const { return result_; }

 private:
  friend class Event;
  void Fire() override;
  void OnCancel() override;
  void Finish(WaitResult result);

  Event& event_;
  std::optional<Instant> deadline_;
  CancellationToken token_;
  WaitResult result_ = WaitResult::kSignalled;
  bool waiting_ = false;
  SchedClass sched_class_ = SchedClass::kHousekeeping;
  std::coroutine_handle<> handle_;
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
};

// co_await Sleep(reactor, 5ms, token): kTimedOut after the duration, or kCancelled sooner.
class Sleep final : private Timer, private CancellationCallback {
 public:
  Sleep(Reactor& reactor, Duration duration, CancellationToken token = {})
      : Sleep(reactor, reactor.Now() + duration, token) {}
  Sleep(Reactor& reactor, Instant until, CancellationToken token = {})
      : reactor_(reactor), until_(until), token_(token) {}
  bool await_ready() {
    if (!token_.cancelled()) return false;
    result_ = WaitResult::kCancelled;
    return true;
  }
  void await_suspend(std::coroutine_handle<> handle);
  WaitResult await_resume() const { return result_; }

 private:
  void Fire() override;
  void OnCancel() override;

  Reactor& reactor_;
  Instant until_;
  CancellationToken token_;
  WaitResult result_ = WaitResult::kTimedOut;
  SchedClass sched_class_ = SchedClass::kHousekeeping;
  std::coroutine_handle<> handle_;
};

}  // namespace millrace

// LoopReactor: one turn of a loop: a ready queue per class, the timer wheel, the inbox. A derived
// class brings the time and the sleep.
//
// Shard:    one; Post() and PostItem() from any thread.
// Lifetime: outlives everything that runs on it; timers are disarmed before it goes (CHECKed).
// Units:    a turn resumes at most kShare[class] coroutines of each class, highest class first, so
//           that none starves and I/O is looked at in between.
//
// A turn, as the derived class writes it:
//   BeginTurn(now);                  // time, inbox, timers
//   RunReady();
//   wait for I/O and completions, until NextDeadline() or WakeUp(), not at all if has_ready()
#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>

#include "common/ids.h"
#include "common/runtime/inbox.h"
#include "common/runtime/reactor.h"
#include "common/runtime/ready_queue.h"
#include "common/runtime/stall_detector.h"
#include "common/runtime/timer_wheel.h"
#include "common/time.h"

namespace millrace {

std::string_view SchedClassName(SchedClass sched_class);

class LoopReactor : public Reactor {
 public:
  // How many coroutines of each class one turn resumes at most. More per turn means fewer looks at
  // the kernel, and a longer wait for what becomes ready meanwhile.
  static constexpr std::array<size_t, kSchedClasses> kShare = {64, 64, 32, 16, 16};

  struct Options {
    ShardId shard{0};
    size_t inbox_max = 4096;  // Closures that wait in Post(); above, it refuses.
  };

  ShardId shard() const override { return options_.shard; }
  Instant Now() const override { return now_; }
  void Ready(std::coroutine_handle<> handle, SchedClass sched_class) override {
    ready_[static_cast<size_t>(sched_class)].Push(handle);
  }
  SchedClass current_class() const override { return current_class_; }
  void set_current_class(SchedClass sched_class) override { current_class_ = sched_class; }
  void Arm(Timer& timer, Instant deadline) override { timers_.Arm(timer, deadline); }
  void Disarm(Timer& timer) override { timers_.Disarm(timer); }
  bool Post(std::move_only_function<void()> work) override;

  // Any thread: item.Run() on this shard, soon. Never refuses: what posts items has bounds of its
  // own, and ends them before the reactor goes.
  void PostItem(InboxItem& item);

 protected:
  LoopReactor(Options options, Instant now)
      : options_(options), now_(now), timers_(now), inbox_(options.inbox_max) {}

  // Sets the time, runs what other threads posted, fires the timers that are due.
  void BeginTurn(Instant now);
  // Resumes what is ready, within each class's share. Returns how many.
  size_t RunReady();

  bool has_ready() const;
  std::optional<Instant> NextDeadline() { return timers_.NextDeadline(); }
  size_t timers_armed() const { return timers_.armed(); }
  Inbox& inbox() { return inbox_; }

  // Ends the sleep of the loop; called from any thread, at most once per sleep.
  virtual void WakeUp() = 0;

  // With a detector, ReadClock() is asked before and after each resumption.
  void set_stall_detector(StallDetector* detector) { stall_detector_ = detector; }
  virtual Instant ReadClock() const { return now_; }

 private:
  // Since when what runs now has been running; reports it when it was too long.
  Instant Measure(std::string_view what, Instant since, const void* code);

  const Options options_;
  Instant now_;
  SchedClass current_class_ = SchedClass::kHousekeeping;
  std::array<ReadyQueue, kSchedClasses> ready_;
  TimerWheel timers_;
  Inbox inbox_;
  StallDetector* stall_detector_ = nullptr;  // Borrowed; null: nobody measures.
};

}  // namespace millrace

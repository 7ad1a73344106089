// SimReactor: a shard's loop in the simulated world: turns are events of the world, time is
// virtual, the order is the seed's.
//
// What the seed decides: when a turn comes after something became ready, how many coroutines it
// resumes, and from which class each is taken (mostly the most urgent one). What it does not:
// coroutines of one class are resumed in the order of their Ready() calls, as on the real reactors,
// because Event promises that order to its waiters. What became ready in a turn waits for a later
// one. Timers fire at the start of a turn.
//
// Shard:    one. Ready() and Post() may also be called by the world (a completion).
// Lifetime: lives as long as its world, after its process's death too (SimProcess).
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <optional>

#include "common/runtime/reactor.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/timer_wheel.h"

namespace millrace {

class SimProcess;

class SimReactor final : public Reactor {
 public:
  SimReactor(SimProcess& process, ShardId shard, uint64_t seed);
  ~SimReactor() override;

  ShardId shard() const override { return shard_; }
  Instant Now() const override;
  void Ready(std::coroutine_handle<> handle, SchedClass sched_class) override;
  SchedClass current_class() const override { return current_class_; }
  void set_current_class(SchedClass sched_class) override { current_class_ = sched_class; }
  void Arm(Timer& timer, Instant deadline) override;
  void Disarm(Timer& timer) override;
  bool Post(std::move_only_function<void()> work) override;

  SimProcess& process() { return process_; }
  // A coroutine of this shard is running now.
  bool in_turn() const { return in_turn_; }
  // Something could run without time passing.
  bool has_work() const { return ready_count_ > 0 || !inbox_.empty(); }
  std::optional<Instant> NextTimer() { return timers_.NextDeadline(); }

  // One turn: the inbox, the timers that are due, some of what is ready. The world calls it, or the
  // afterlife.
  void RunTurn();
  // Makes sure that a turn comes; called by whatever gives the shard something to do.
  void Wake();

 private:
  struct ReadyQueue {
    std::deque<std::coroutine_handle<>> handles;
    size_t eligible = 0;  // Those that were ready when the turn began.
  };
  void ScheduleTurn(Instant when);
  void ScheduleTimers();
  ReadyQueue* ChooseQueue();

  // Constant after construction.
  SimProcess& process_;
  const ShardId shard_;

  // State.
  SimRandom dice_;
  TimerWheel timers_;
  std::array<ReadyQueue, kSchedClasses> queues_;
  size_t ready_count_ = 0;
  std::deque<std::move_only_function<void()>> inbox_;
  SchedClass current_class_ = SchedClass::kHousekeeping;
  bool in_turn_ = false;
  bool turn_scheduled_ = false;
  std::optional<Instant> timer_turn_;  // A turn for the timers is scheduled for then.
};

}  // namespace millrace

// TimerWheel: the timers of one reactor, in hierarchical wheels of 64 slots with 1 ms ticks.
//
// Arm and Disarm are O(1); finding the next deadline looks at one word per level. Timers of one
// tick fire in the order they were armed, so that the simulator's runs repeat.
//
// Shard:     one.
// Lifetime:  every timer is disarmed before the wheel or the timer is destroyed (the wheel CHECKs).
// Units:     deadlines are rounded up to a tick: a timer never fires early, and at most one tick
//            late.
// Invariant: an armed timer with tick t > tick_ lies in the level of the highest 6-bit digit in
//            which t and tick_ differ, in the slot that this digit of t names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/runtime/reactor.h"
#include "common/time.h"

namespace millrace {

class TimerWheel {
 public:
  explicit TimerWheel(Instant now);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  // REQUIRES: `timer` is not armed on another wheel. Arms it anew when it is armed here.
  void Arm(Timer& timer, Instant deadline);
  // No-op when it is not armed.
  void Disarm(Timer& timer);

  // Fires every timer whose tick has come, earliest first, and returns how many. What the fired
  // timers arm for now or the past waits for the next call, so that this one ends.
  size_t Advance(Instant now);

  // When Advance() should be called next: no later than the first timer needs, perhaps earlier
  // (a far timer moves down a level then). Nothing while no timer is armed.
  std::optional<Instant> NextDeadline();

  size_t armed() const { return armed_; }

 private:
  static constexpr int kLevelBits = 6;
  static constexpr size_t kSlots = size_t{1} << kLevelBits;
  static constexpr size_t kLevels = 6;  // 64^6 ms are two years; later timers move up to there.

  // A circular list's sentinel; never fires.
  struct List final : Timer {
    List() { Reset(*this); }
    void Fire() override {}
  };
  struct Level {
    uint64_t occupied = 0;  // Bit s: slot s may have timers; cleared lazily, since Disarm does not.
    std::array<List, kSlots> slots;
  };
  struct NextSlot {
    size_t level;
    size_t slot;
    uint64_t tick;  // The slot's first tick.
  };

  static void Reset(List& list) { list.previous_ = list.next_ = &list; }
  static bool Empty(const List& list) { return list.next_ == &list; }
  static void PushBack(List& list, Timer& timer);
  static void Unlink(Timer& timer);
  static uint64_t TickOf(Instant deadline);
  void Place(Timer& timer);
  std::optional<NextSlot> FindNext();
  size_t FireAll(List& list);
  void MoveDown(List& list, List& due_now);

  uint64_t tick_;  // Every tick up to this one has been fired.
  size_t armed_ = 0;
  List due_;  // Armed for a tick that is already over.
  std::array<Level, kLevels> levels_;
};

}  // namespace millrace

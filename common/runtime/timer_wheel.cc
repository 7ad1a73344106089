#include "common/runtime/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace millrace {
namespace {

constexpr int64_t kTickNanoseconds = 1'000'000;

}  // namespace

TimerWheel::TimerWheel(Instant now)
    : tick_(static_cast<uint64_t>(std::max<int64_t>(now.nanoseconds(), 0) / kTickNanoseconds)) {}

TimerWheel::~TimerWheel() { MR_CHECK(armed_ == 0); }

void TimerWheel::PushBack(List& list, Timer& timer) {
  timer.previous_ = list.previous_;
  timer.next_ = &list;
  list.previous_->next_ = &timer;
  list.previous_ = &timer;
}

void TimerWheel::Unlink(Timer& timer) {
  timer.previous_->next_ = timer.next_;
  timer.next_->previous_ = timer.previous_;
  timer.previous_ = timer.next_ = nullptr;
}

uint64_t TimerWheel::TickOf(Instant deadline) {
  const int64_t ns = std::max<int64_t>(deadline.nanoseconds(), 0);
  return static_cast<uint64_t>(ns / kTickNanoseconds + (ns % kTickNanoseconds != 0 ? 1 : 0));
}

void TimerWheel::Arm(Timer& timer, Instant deadline) {
  Disarm(timer);
  timer.deadline_ = deadline;
  Place(timer);
  ++armed_;
}

void TimerWheel::Disarm(Timer& timer) {
  if (!timer.armed()) return;
  Unlink(timer);
  --armed_;
}

void TimerWheel::Place(Timer& timer) {
  const uint64_t tick = TickOf(timer.deadline_);
  if (tick <= tick_) {
    PushBack(due_, timer);
    return;
  }
  const size_t digit = static_cast<size_t>(std::bit_width(tick ^ tick_) - 1) / kLevelBits;
  // Beyond the last level: the slot just behind the cursor there, which comes round last; when it
  // does, the timer is placed anew.
  const size_t level = std::min(digit, kLevels - 1);
  const uint64_t position =
      digit < kLevels ? tick >> (level * kLevelBits) : (tick_ >> (level * kLevelBits)) + kSlots - 1;
  const size_t slot = position % kSlots;
  levels_[level].occupied |= uint64_t{1} << slot;
  PushBack(levels_[level].slots[slot], timer);
}

std::optional<TimerWheel::NextSlot> TimerWheel::FindNext() {
  // A lower level always comes first: its timers share the higher digits with the cursor.
  for (size_t level = 0; level < kLevels; ++level) {
    Level& wheel = levels_[level];
    const size_t shift = level * kLevelBits;
    const uint64_t cursor = tick_ >> shift;
    while (wheel.occupied != 0) {
      // Rotated so that bit 0 is the slot after the cursor's.
      const int turn = static_cast<int>((cursor + 1) % kSlots);
      const auto ahead = static_cast<uint64_t>(std::countr_zero(std::rotr(wheel.occupied, turn)));
      const uint64_t position = cursor + 1 + ahead;
      const size_t slot = position % kSlots;
      if (!Empty(wheel.slots[slot])) return NextSlot{level, slot, position << shift};
      wheel.occupied &= ~(uint64_t{1} << slot);
    }
  }
  return std::nullopt;
}

size_t TimerWheel::FireAll(List& list) {
  // Taken off the wheel first: what Fire() arms again goes to another list, what it disarms just
  // leaves this one.
  List firing;
  while (!Empty(list)) {
    Timer& timer = *list.next_;
    Unlink(timer);
    PushBack(firing, timer);
  }
  size_t fired = 0;
  while (!Empty(firing)) {
    Timer& timer = *firing.next_;
    Unlink(timer);
    --armed_;
    ++fired;
    timer.Fire();
  }
  return fired;
}

void TimerWheel::MoveDown(List& list, List& due_now) {
  List moving;
  while (!Empty(list)) {
    Timer& timer = *list.next_;
    Unlink(timer);
    PushBack(moving, timer);
  }
  while (!Empty(moving)) {
    Timer& timer = *moving.next_;
    Unlink(timer);
    if (TickOf(timer.deadline_) <= tick_) {
      PushBack(due_now, timer);
    } else {
      Place(timer);
    }
  }
}

size_t TimerWheel::Advance(Instant now) {
  const uint64_t until =
      static_cast<uint64_t>(std::max<int64_t>(now.nanoseconds(), 0) / kTickNanoseconds);
  size_t fired = FireAll(due_);
  for (std::optional<NextSlot> next = FindNext(); next.has_value() && next->tick <= until;
       next = FindNext()) {
    Level& wheel = levels_[next->level];
    wheel.occupied &= ~(uint64_t{1} << next->slot);
    tick_ = next->tick;
    if (next->level == 0) {
      fired += FireAll(wheel.slots[next->slot]);
    } else {
      List due_now;  // Those for exactly the slot's first tick.
      MoveDown(wheel.slots[next->slot], due_now);
      fired += FireAll(due_now);
    }
  }
  tick_ = std::max(tick_, until);
  return fired;
}

std::optional<Instant> TimerWheel::NextDeadline() {
  if (armed_ == 0) return std::nullopt;
  if (!Empty(due_)) return Instant(static_cast<int64_t>(tick_) * kTickNanoseconds);
  std::optional<NextSlot> next = FindNext();
  if (!next.has_value()) return std::nullopt;
  return Instant(static_cast<int64_t>(next->tick) * kTickNanoseconds);
}

}  // namespace millrace

#include "common/runtime/timer_wheel.h"

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace millrace {
namespace {

struct NumberedTimer final : Timer {
  NumberedTimer(int number, std::vector<int>& fired) : number_(number), fired_(fired) {}
  void Fire() override { fired_.push_back(number_); }
  int number_;
  std::vector<int>& fired_;
};

Instant Ms(int64_t ms) { return Instant(ms * 1'000'000); }

// What the wheel must do, written as dumbly as possible: a sorted list of (tick, order of arming).
class DumbTimers {
 public:
  void Arm(int number, Instant deadline) {
    Disarm(number);
    const int64_t tick = (deadline.nanoseconds() + 999'999) / 1'000'000;
    by_time_.emplace(std::pair(std::max(tick, now_), order_++), number);
  }
  void Disarm(int number) {
    std::erase_if(by_time_, [number](const auto& entry) { return entry.second == number; });
  }
  std::vector<int> Advance(Instant now) {
    now_ = now.nanoseconds() / 1'000'000;
    std::vector<int> fired;
    while (!by_time_.empty() && by_time_.begin()->first.first <= now_) {
      fired.push_back(by_time_.begin()->second);
      by_time_.erase(by_time_.begin());
    }
    return fired;
  }
  // The first tick with a timer, in ms.
  std::optional<int64_t> Next() const {
    if (by_time_.empty()) return std::nullopt;
    return by_time_.begin()->first.first;
  }

 private:
  std::map<std::pair<int64_t, int64_t>, int> by_time_;
  int64_t order_ = 0;
  int64_t now_ = 0;
};

// A small generator of our own: the test replays from its seed.
struct Dice {
  uint64_t state;
  uint64_t Below(uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
  }
};

TEST_CASE("TimerWheel: fires what a sorted list would fire, in the same order, for any history") {
  constexpr int kTimers = 200;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Dice dice{seed};
    int64_t now_ns = static_cast<int64_t>(dice.Below(1'000'000'000)) * 1000;
    TimerWheel wheel((Instant(now_ns)));
    DumbTimers dumb;
    dumb.Advance(Instant(now_ns));
    std::vector<int> fired;
    std::vector<std::unique_ptr<NumberedTimer>> timers;
    for (int i = 0; i < kTimers; ++i) timers.push_back(std::make_unique<NumberedTimer>(i, fired));
    for (int step = 0; step < 2000; ++step) {
      const int number = static_cast<int>(dice.Below(kTimers));
      switch (dice.Below(4)) {
        case 0:
        case 1: {
          // From "at once" to 3 years, so that every level and the overflow are used.
          const int64_t ahead_ns = static_cast<int64_t>(dice.Below(1000)) * 1000
                                   << dice.Below(seed % 2 == 0 ? 20 : 37);
          wheel.Arm(*timers[number], Instant(now_ns + ahead_ns));
          dumb.Arm(number, Instant(now_ns + ahead_ns));
          break;
        }
        case 2:
          wheel.Disarm(*timers[number]);
          dumb.Disarm(number);
          break;
        default:
          if (dice.Below(3) == 0) {
            // Sleeping until the wheel asks for attention must never overshoot a timer.
            std::optional<Instant> next = wheel.NextDeadline();
            REQUIRE(next.has_value() == dumb.Next().has_value());
            if (next.has_value()) {
              REQUIRE(next->nanoseconds() <= *dumb.Next() * 1'000'000);
              now_ns = std::max(now_ns, next->nanoseconds());
            }
          } else {
            now_ns += static_cast<int64_t>(dice.Below(1000)) * 1000 << dice.Below(24);
          }
          fired.clear();
          wheel.Advance(Instant(now_ns));
          REQUIRE(fired == dumb.Advance(Instant(now_ns)));
          break;
      }
    }
    for (auto& timer : timers) wheel.Disarm(*timer);
    REQUIRE(wheel.armed() == 0);
    REQUIRE_FALSE(wheel.NextDeadline().has_value());
  }
}

TEST_CASE("TimerWheel: a timer never fires before its deadline, and within a tick after it") {
  TimerWheel wheel(Ms(10));
  std::vector<int> fired;
  NumberedTimer timer(1, fired);
  wheel.Arm(timer, Instant(12'000'001));
  wheel.Advance(Instant(12'999'999));
  REQUIRE(fired.empty());
  wheel.Advance(Ms(13));
  REQUIRE(fired == std::vector{1});
  REQUIRE_FALSE(timer.armed());
}

TEST_CASE("TimerWheel: a timer for the past fires in the next Advance, not inside Arm") {
  TimerWheel wheel(Ms(100));
  std::vector<int> fired;
  NumberedTimer timer(1, fired);
  wheel.Arm(timer, Ms(1));
  REQUIRE(fired.empty());
  REQUIRE(wheel.NextDeadline() == Ms(100));
  REQUIRE(wheel.Advance(Ms(100)) == 1);
  REQUIRE(fired == std::vector{1});
}

struct RearmingTimer final : Timer {
  explicit RearmingTimer(TimerWheel& wheel) : wheel_(wheel) {}
  void Fire() override {
    ++fired_;
    wheel_.Arm(*this, Ms(0));
  }
  TimerWheel& wheel_;
  int fired_ = 0;
};

TEST_CASE("TimerWheel: a timer that arms itself for the past does not keep Advance from ending") {
  TimerWheel wheel(Ms(0));
  RearmingTimer timer(wheel);
  wheel.Arm(timer, Ms(64));  // The first tick of a slot of the second level.
  wheel.Advance(Ms(5000));
  REQUIRE(timer.fired_ == 1);
  wheel.Advance(Ms(5000));
  REQUIRE(timer.fired_ == 2);
  wheel.Disarm(timer);
}

struct DisarmingTimer final : Timer {
  DisarmingTimer(TimerWheel& wheel, Timer& other) : wheel_(wheel), other_(other) {}
  void Fire() override { wheel_.Disarm(other_); }
  TimerWheel& wheel_;
  Timer& other_;
};

TEST_CASE("TimerWheel: a timer may disarm another one that is due in the same tick") {
  TimerWheel wheel(Ms(0));
  std::vector<int> fired;
  NumberedTimer second(2, fired);
  DisarmingTimer first(wheel, second);
  wheel.Arm(first, Ms(5));
  wheel.Arm(second, Ms(5));
  wheel.Advance(Ms(6));
  REQUIRE(fired.empty());
  REQUIRE(wheel.armed() == 0);
}

}  // namespace
}  // namespace millrace

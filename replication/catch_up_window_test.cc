#include "replication/catch_up_window.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>

using namespace millrace;  // NOLINT

namespace {

constexpr size_t kPiece = size_t{512} << 10;
constexpr StreamHandle kOne(1);

// A way of some length to a follower that stores so much a second, one piece after the other.
struct Follower {
  Duration way;
  double bytes_per_second;

  // Sends for so long, as much as the window allows; what was stored in that time.
  double Run(CatchUpWindow& window, Duration time) {
    const Instant end = now + time;
    double stored = 0;
    while (now < end) {
      while (window.has_room()) {
        next = next + OffsetDelta(1);
        window.OnSent(kOne, next, kPiece, now);
        const Duration takes(static_cast<int64_t>(kPiece * 1e9 / bytes_per_second));
        free_at = std::max(free_at, now + way / 2) + takes;
        on_its_way.emplace_back(next, free_at + way / 2);
      }
      now = on_its_way.front().second;
      waited_last = free_at - now;
      CHECK(window.OnStored(kOne, on_its_way.front().first, now));
      on_its_way.pop_front();
      stored += kPiece;
    }
    return stored / std::chrono::duration<double>(time).count();
  }

  Instant now{0};
  Instant free_at{0};
  Duration waited_last{0};  // What is appended now would wait behind that.
  Offset next{0};
  std::deque<std::pair<Offset, Instant>> on_its_way = {};
};

}  // namespace

TEST_CASE("CatchUpWindow: a follower near by is kept busy, and little waits before it") {
  CatchUpWindow window;
  Follower follower{microseconds(200), 200e6};
  follower.Run(window, seconds(2));
  CHECK(follower.Run(window, seconds(2)) > 0.9 * 200e6);
  CHECK(follower.waited_last < milliseconds(12));
}

TEST_CASE("CatchUpWindow: a long way is filled, too") {
  CatchUpWindow window;
  Follower follower{milliseconds(60), 200e6};
  follower.Run(window, seconds(20));
  CHECK(follower.Run(window, seconds(2)) > 0.8 * 200e6);
  CHECK(window.window() < CatchUpLimits().window_max);
}

TEST_CASE("CatchUpWindow: a disk that becomes slow is not flooded") {
  CatchUpWindow window;
  Follower follower{milliseconds(1), 400e6};
  follower.Run(window, seconds(5));
  follower.bytes_per_second = 20e6;
  follower.Run(window, seconds(2));
  CHECK(window.window() == CatchUpLimits().window_min);
  CHECK(follower.Run(window, seconds(2)) > 0.5 * 20e6);  // One piece goes on.
}

TEST_CASE("CatchUpWindow: what a subscription had on its way ends with it") {
  CatchUpWindow window;
  window.OnSent(kOne, Offset(10), kPiece, Instant(0));
  window.OnSent(StreamHandle(2), Offset(10), kPiece, Instant(0));
  CHECK_FALSE(window.has_room());
  CHECK_FALSE(window.OnStored(kOne, Offset(9), Instant(0) + milliseconds(1)));
  CHECK_FALSE(window.OnStored(StreamHandle(3), Offset(10), Instant(0) + milliseconds(1)));
  CHECK(window.Forget(StreamHandle(2)));
  CHECK_FALSE(window.has_room());
  CHECK(window.Forget(kOne));
  CHECK(window.has_room());
  CHECK_FALSE(window.Forget(kOne));
}

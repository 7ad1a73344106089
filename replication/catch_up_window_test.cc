#include "replication/catch_up_window.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <deque>
#include <utility>

using namespace millrace;  // NOLINT

namespace {

constexpr size_t kPiece = size_t{512} << 10;
constexpr StreamHandle kOne(1);

// A way of some length from a leader that reads so much a second to a follower that stores so much,
// one piece after the other.
struct Follower {
  Duration way;
  double bytes_per_second;
  double leader_bytes_per_second = 1e12;

  // Sends for so long, as much as the window allows; how much was stored a second.
  double Run(CatchUpWindow& window, Duration time) {
    const Instant end = now + time;
    double stored = 0;
    while (now < end) {
      while (window.has_room() && now >= leader_free_at) {
        next = next + OffsetDelta(1);
        window.OnSent(kOne, next, kPiece, now);
        leader_free_at = now + Takes(leader_bytes_per_second);
        free_at = std::max(free_at, now + way / 2) + Takes(bytes_per_second);
        on_its_way.emplace_back(next, free_at + way / 2);
      }
      if (on_its_way.empty() || (window.has_room() && leader_free_at < on_its_way.front().second)) {
        now = leader_free_at;
        continue;
      }
      now = on_its_way.front().second;
      waits = std::max(waits, free_at - now);
      CHECK(window.OnDurable(kOne, on_its_way.front().first, now));
      on_its_way.pop_front();
      stored += kPiece;
    }
    return stored / std::chrono::duration<double>(time).count();
  }
  static Duration Takes(double bytes_per_second) {
    return Duration(static_cast<int64_t>(kPiece * 1e9 / bytes_per_second));
  }
  // The longest that what is appended would have had to wait since the last call.
  Duration Waits() { return std::exchange(waits, Duration(0)); }

  Instant now{0};
  Instant leader_free_at{0};
  Instant free_at{0};
  Duration waits{0};
  Offset next{0};
  std::deque<std::pair<Offset, Instant>> on_its_way = {};
};

}  // namespace

TEST_CASE("CatchUpWindow: a follower near by is kept busy, and little waits before it") {
  CatchUpWindow window;
  Follower follower{microseconds(200), 200e6};
  follower.Run(window, seconds(2));
  CHECK(follower.Run(window, seconds(120)) > 0.9 * 200e6);
  CHECK(follower.Waits() < milliseconds(12));
}

TEST_CASE("CatchUpWindow: a long way is filled, as far as the credit goes") {
  CatchUpWindow window;
  Follower follower{milliseconds(30), 200e6};
  follower.Run(window, seconds(20));
  CHECK(follower.Run(window, seconds(20)) > 0.8 * 200e6);
  CHECK(window.window() <= CatchUpLimits().window_max);
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

TEST_CASE("CatchUpWindow: what is held back by something else does not make the window larger") {
  CatchUpWindow window;
  Follower follower{microseconds(200), 400e6, /*leader_bytes_per_second=*/100e6};
  follower.Run(window, seconds(60));
  CHECK(window.window() <= 2 * kPiece);
  follower.bytes_per_second = 80e6;
  follower.Waits();
  follower.Run(window, seconds(60));
  CHECK(follower.Waits() < milliseconds(20));
}

TEST_CASE("CatchUpWindow: small pieces teach nothing about large ones") {
  CatchUpWindow window;
  Instant now{0};
  window.OnSent(kOne, Offset(1), 1000, now);
  window.OnDurable(kOne, Offset(1), now + microseconds(300));
  Follower follower{microseconds(200), 100e6};
  follower.Run(window, seconds(2));
  CHECK(window.window() > kPiece);
}

TEST_CASE("CatchUpWindow: what a subscription had on its way ends with it") {
  CatchUpWindow window;
  window.OnSent(kOne, Offset(10), kPiece, Instant(0));
  window.OnSent(StreamHandle(2), Offset(10), kPiece, Instant(0));
  CHECK_FALSE(window.has_room());
  CHECK_FALSE(window.OnDurable(kOne, Offset(9), Instant(0) + milliseconds(1)));
  CHECK_FALSE(window.OnDurable(StreamHandle(3), Offset(10), Instant(0) + milliseconds(1)));
  CHECK(window.Forget(StreamHandle(2)));
  CHECK_FALSE(window.has_room());
  CHECK(window.Forget(kOne));
  CHECK(window.has_room());
  CHECK_FALSE(window.Forget(kOne));
}

TEST_CASE("CatchUpWindow: what lies on a disk that hangs does not hold up the others for long") {
  CatchUpWindow window;
  CHECK_FALSE(window.expires().has_value());
  window.OnSent(kOne, Offset(10), kPiece, Instant(0));
  REQUIRE(window.expires().has_value());
  window.Expire(*window.expires() - Duration(1));
  CHECK_FALSE(window.has_room());
  window.Expire(*window.expires());
  CHECK(window.has_room());
  CHECK_FALSE(window.OnDurable(kOne, Offset(10), Instant(0) + seconds(5)));
}

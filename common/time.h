// Points in time. Two clocks that never mix: Instant (monotonic, for waiting and measuring) and
// Timestamp (wall clock in milliseconds, what records and retention speak of).
//
// Durations are std::chrono durations; code that needs "now" gets it as an argument or from Env.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>

#include "common/plain_format.h"

namespace millrace {

using Duration = std::chrono::nanoseconds;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Monotonic, in nanoseconds since an arbitrary start (of the machine, or of the simulated world).
class Instant {
 public:
  constexpr explicit Instant(int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  static constexpr Instant Max() { return Instant(std::numeric_limits<int64_t>::max()); }
  constexpr int64_t nanoseconds() const { return nanoseconds_; }
  friend constexpr auto operator<=>(Instant, Instant) = default;
  // Saturates: an Instant of Max() stays there.
  friend constexpr Instant operator+(Instant t, Duration d) {
    int64_t sum = 0;
    if (__builtin_add_overflow(t.nanoseconds_, d.count(), &sum)) return Max();
    return Instant(sum);
  }
  friend constexpr Instant operator-(Instant t, Duration d) {
    return Instant(t.nanoseconds_ - d.count());
  }
  friend constexpr Duration operator-(Instant a, Instant b) {
    return Duration(a.nanoseconds_ - b.nanoseconds_);
  }

 private:
  int64_t nanoseconds_;
};

// Wall clock, in milliseconds since 1970, as in Kafka records. May be negative (Kafka accepts
// such).
class Timestamp {
 public:
  constexpr explicit Timestamp(int64_t ms) : ms_(ms) {}
  constexpr int64_t ms() const { return ms_; }
  friend constexpr auto operator<=>(Timestamp, Timestamp) = default;

 private:
  int64_t ms_;
};

}  // namespace millrace

template <>
struct fmt::formatter<millrace::Timestamp> : millrace::PlainFormatter {
  static auto format(millrace::Timestamp t, fmt::format_context& context) {
    return Write(t.ms(), context);
  }
};

// ReplicationThrottle: how many bytes of throttled replicas may leave (or come) now. A bucket that
// fills at the rate and may be overdrawn: whoever is let through takes what it has, a batch larger
// than all there is too, and the next one waits until that is paid.
//
//   Take()  by who was let through: counts in full, so the mean is the rate, however small it is.
//   Note()  by replicas in sync, which are never held back: the others feel it, but for no longer
//           than debt_max, about as long as the window that Kafka averages over. Else a busy topic would
//           keep a replica from coming back long after it went quiet.
//
// Pure: no clock. Without a rate nothing is counted. A rate of 0 is one byte a second.
// Source: KIP-73; rules 5.45, 14.8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/time.h"

namespace millrace {

class ReplicationThrottle {
 public:
  // What was not used for so long may be used at once.
  static constexpr Duration kBurst = seconds(1);
  static constexpr Duration kDebtMax = seconds(10);
  // Bounds of Wait(). Raise the first: larger pieces, fewer wakes. The second: fewer useless ones.
  static constexpr Duration kWaitMin = milliseconds(10);
  static constexpr Duration kWaitMax = seconds(60);

  // Begins empty. A debt of before lasts for kDebtMax of the new rate at most.
  void SetRate(std::optional<uint64_t> bytes_per_second, Instant now);
  const std::optional<uint64_t>& rate() const { return rate_; }

  bool MayTake(Instant now) const;
  // Takes what there is, up to `bytes_max`; at least one byte. REQUIRES: MayTake(); bytes_max > 0.
  size_t TakeUpTo(size_t bytes_max, Instant now);
  // Negative: gives back.
  void Take(int64_t bytes, Instant now);
  void Note(uint64_t bytes, Instant now);
  // After so long it is worth asking MayTake() again.
  Duration Wait(Instant now) const;

 private:
  double BalanceAt(Instant now) const;
  double BytesIn(Duration time) const;

  std::optional<uint64_t> rate_;
  double balance_ = 0;  // At `at_`; less than nothing: a debt.
  Instant at_{0};
};

}  // namespace millrace

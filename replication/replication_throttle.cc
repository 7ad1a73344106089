#include "replication/replication_throttle.h"

#include <algorithm>

#include "common/check.h"

namespace millrace {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

}  // namespace

double ReplicationThrottle::BytesIn(Duration time) const {
  const auto rate = static_cast<double>(std::max<uint64_t>(*rate_, 1));
  return rate * static_cast<double>(time.count()) / kNanosecondsPerSecond;
}

double ReplicationThrottle::BalanceAt(Instant now) const {
  return std::min(balance_ + BytesIn(std::max(now - at_, Duration(0))), BytesIn(kBurst));
}

void ReplicationThrottle::SetRate(std::optional<uint64_t> bytes_per_second, Instant now) {
  if (bytes_per_second == rate_) return;
  const double before = rate_.has_value() ? BalanceAt(now) : 0;
  rate_ = bytes_per_second;
  at_ = now;
  balance_ = rate_.has_value() ? std::clamp(before, -BytesIn(kDebtMax), BytesIn(kBurst)) : 0;
}

bool ReplicationThrottle::MayTake(Instant now) const {
  return !rate_.has_value() || BalanceAt(now) >= 1;
}

size_t ReplicationThrottle::TakeUpTo(size_t bytes_max, Instant now) {
  MR_CHECK(bytes_max > 0);
  if (!rate_.has_value()) return bytes_max;
  const double balance = BalanceAt(now);
  MR_CHECK(balance >= 1);
  const size_t bytes =
      balance < static_cast<double>(bytes_max) ? static_cast<size_t>(balance) : bytes_max;
  Take(static_cast<int64_t>(bytes), now);
  return bytes;
}

void ReplicationThrottle::Take(int64_t bytes, Instant now) {
  if (!rate_.has_value()) return;
  balance_ = BalanceAt(now) - static_cast<double>(bytes);
  at_ = std::max(at_, now);
}

void ReplicationThrottle::Note(uint64_t bytes, Instant now) {
  if (!rate_.has_value()) return;
  const double balance = BalanceAt(now);
  balance_ = std::max(balance - static_cast<double>(bytes), std::min(balance, -BytesIn(kDebtMax)));
  at_ = std::max(at_, now);
}

Duration ReplicationThrottle::Wait(Instant now) const {
  if (!rate_.has_value()) return kWaitMin;
  // Compared before it is a Duration: at a byte a second a debt may take longer than one can say.
  const double wait = (1 - BalanceAt(now)) / BytesIn(Duration(1));
  if (wait >= static_cast<double>(kWaitMax.count())) return kWaitMax;
  return std::max(Duration(static_cast<int64_t>(wait) + 1), kWaitMin);
}

}  // namespace millrace

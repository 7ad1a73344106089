// ThrottleQueue: one side's replication throttle on one shard, and who waits for it: replicas that
// are not in sync, first come first served. A grant is taken from the bucket when it is given, so
// that one that cannot be used yet (the connection is slow, the disk is read) holds up nobody; what
// was really sent is settled then.
//
//   TryTake(), or Claim() ─► the callback, with bytes ─► Settle()
//                   └─ Withdraw()
//
// Shard:    one.
// Lifetime: the reactor outlives it; every claim is granted or withdrawn before its destruction
//           (CHECKed).
// Cost:     a timer, while somebody waits. A grant visits who gets it; a new rate as well.
// Bound:    one claim per subscription.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/runtime/reactor.h"
#include "replication/replication_throttle.h"

namespace millrace {

template <typename Claimant>
class ThrottleQueue final : private Timer {
 public:
  using Ticket = uint64_t;

  // Granted is called from a timer or SetRate(); it may claim again. Raise `grant_bytes_max`: fewer,
  // larger pieces; others wait longer between theirs.
  ThrottleQueue(Reactor& reactor, size_t grant_bytes_max,
                std::function<void(const Claimant& to, size_t bytes)> granted)
      : reactor_(reactor), grant_bytes_max_(grant_bytes_max), granted_(std::move(granted)) {}
  ~ThrottleQueue() {
    MR_CHECK(claims_.empty());
    reactor_.Disarm(*this);
  }

  bool limited() const { return throttle_.rate().has_value(); }
  const std::optional<uint64_t>& rate() const { return throttle_.rate(); }
  size_t waiting() const { return claims_.size(); }
  // At once: whoever may go by the new rate is granted.
  void SetRate(std::optional<uint64_t> bytes_per_second) {
    if (bytes_per_second == throttle_.rate()) return;
    throttle_.SetRate(bytes_per_second, reactor_.Now());
    Deliver();
  }

  // Nothing: others wait already, or there is nothing to take. Claim then.
  std::optional<size_t> TryTake() {
    if (!claims_.empty() || !throttle_.MayTake(reactor_.Now())) return std::nullopt;
    return throttle_.TakeUpTo(grant_bytes_max_, reactor_.Now());
  }
  Ticket Claim(Claimant claimant) {
    claims_.emplace(++last_, std::move(claimant));
    if (!armed()) Rearm();
    return last_;
  }
  void Withdraw(Ticket ticket) {
    claims_.erase(ticket);
    if (claims_.empty()) reactor_.Disarm(*this);
  }
  // Of `granted` bytes so many were used; more is a debt.
  void Settle(size_t granted, size_t used) {
    throttle_.Take(static_cast<int64_t>(used) - static_cast<int64_t>(granted), reactor_.Now());
  }
  // Bytes of a throttled replica that nobody held back.
  void Note(size_t bytes) { throttle_.Note(bytes, reactor_.Now()); }

 private:
  void Fire() override { Deliver(); }
  void Deliver() {
    while (!claims_.empty() && throttle_.MayTake(reactor_.Now())) {
      Claimant claimant = std::move(claims_.begin()->second);
      claims_.erase(claims_.begin());
      granted_(claimant, throttle_.TakeUpTo(grant_bytes_max_, reactor_.Now()));
    }
    reactor_.Disarm(*this);
    if (!claims_.empty()) Rearm();
  }
  void Rearm() {
    const Instant now = reactor_.Now();
    reactor_.Arm(*this, now + throttle_.Wait(now));
  }

  Reactor& reactor_;
  const size_t grant_bytes_max_;
  const std::function<void(const Claimant&, size_t)> granted_;
  ReplicationThrottle throttle_;
  std::map<Ticket, Claimant> claims_;
  Ticket last_ = 0;
};

}  // namespace millrace

#include "broker/api/await_leadership.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "broker/api/doubtful_leaders.h"
#include "broker/api/find_partition.h"
#include "common/runtime/event.h"
#include "replication/offset_waiters.h"

namespace millrace {
namespace {

// Between two brokers' taking note of the same change, on a busy machine. Longer: a client that has
// slept over a change of leaders, and asks a follower first, waits so long for being told.
constexpr Duration kMetadataLag = milliseconds(100);
constexpr Offset kNeverReached(INT64_MAX);

// Wakes the request when the partition's role changes, or it goes.
class RoleWait final : public OffsetWaiter {
 public:
  explicit RoleWait(Event* changed) : changed_(changed) {}
  void OnReached(const absl::Status&) override { changed_->Set(); }

 private:
  Event* changed_;
};

bool KnowsDoubtfulLeader(const Broker& broker, const Partition& partition) {
  const BrokerImage* leader =
      partition.leader().has_value() ? broker.image()->FindBroker(*partition.leader()) : nullptr;
  return leader != nullptr && IsDoubtful(broker, *leader);
}

// Whether the client may be ahead of this broker.
bool MayComeTrue(const Broker& broker, const Partition& partition, const LeadershipClaim& claim) {
  if (claim.epoch.has_value()) return *claim.epoch > partition.leader_epoch();
  if (partition.leads()) return false;
  return !partition.led_before() || KnowsDoubtfulLeader(broker, partition);
}

}  // namespace

Task<void> AwaitLeadership(Broker* broker, std::vector<LeadershipClaim> claims) {
  const Instant asked = broker->env.reactor.Now();
  for (;;) {
    Event changed(broker->env.reactor);
    std::deque<RoleWait> waits;
    bool doubtful = false;
    for (const LeadershipClaim& claim : claims) {
      absl::StatusOr<Partition*> partition = HostedPartition(*broker, claim.id);
      if (!partition.ok() || !MayComeTrue(*broker, **partition, claim)) continue;
      doubtful = doubtful || KnowsDoubtfulLeader(*broker, **partition);
      (*partition)->committed().Add(waits.emplace_back(&changed), kNeverReached);
    }
    const Instant until = asked + (doubtful ? kElectionWait : kMetadataLag);
    if (waits.empty() || broker->env.reactor.Now() >= until) co_return;
    (void)co_await changed.Wait(until);
  }
}

}  // namespace millrace

#include "broker/api/await_leadership.h"

#include <algorithm>
#include <list>
#include <utility>
#include <variant>

#include "broker/api/doubtful_leaders.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "replication/offset_waiters.h"

namespace millrace {
namespace {

// Between two brokers' taking note of the same change, on a busy machine. Longer: a client that has
// slept over a change of leaders, and asks a follower first, waits so long for being told.
constexpr Duration kMetadataLag = milliseconds(100);
// To make a log takes a synced write; a slow disk's takes some hundred milliseconds.
constexpr Duration kOpeningWait = seconds(1);
// Who is wrong once is wrong with all that is on its way.
constexpr Duration kCredulousAgain = seconds(1);

// Wakes the request when the partition's role changes, or it goes.
class RoleWait final : public OffsetWaiter {
 public:
  explicit RoleWait(Event* changed) : changed_(changed) {}
  void OnReached(const absl::Status&) override { changed_->Set(); }

 private:
  Event* changed_;
};

// Whether the client may be ahead of this broker.
bool MayComeTrue(const Broker& broker, const Partition& partition, const LeadershipClaim& claim) {
  if (claim.epoch.has_value() ? *claim.epoch <= partition.leader_epoch() : partition.leads()) {
    return false;
  }
  if (IsDoubtful(broker, partition.leader())) return true;
  const std::optional<Partition::FalseClaim>& in_vain = partition.claimed_in_vain();
  if (in_vain.has_value() && broker.env.reactor.Now() - in_vain->when < kCredulousAgain &&
      claim.epoch <= in_vain->epoch) {
    return false;
  }
  return claim.epoch.has_value() || !partition.led_before();
}

bool MayComeTrue(Broker& broker, const LeadershipClaim& claim) {
  Partition* partition = broker.partitions.Find(claim.id);
  return partition == nullptr
             ? broker.partitions.MayBeOpened(claim.id) && IsToLead(broker, claim.id)
             : MayComeTrue(broker, *partition, claim);
}

// A claim that is waited for.
struct Awaited {
  Awaited(const LeadershipClaim& of, Event* changed) : claim(of), wait(changed) {}
  LeadershipClaim claim;
  RoleWait wait;
  bool was_to_be_opened = false;
};

// Links `one` to what changes the partition's role; how long that may take.
Duration AwaitChange(Broker& broker, Awaited& one) {
  Partition* partition = broker.partitions.Find(one.claim.id);
  if (partition == nullptr) {
    one.was_to_be_opened = true;
    if (!one.wait.linked()) broker.partitions.AwaitOpening(one.claim.id, one.wait);
    return kOpeningWait;
  }
  if (!one.wait.linked()) partition->committed().Add(one.wait, kNeverReached);
  return IsDoubtful(broker, partition->leader()) ? kElectionWait : kMetadataLag;
}

void NoteInVain(Broker& broker, const Awaited& one) {
  Partition* partition = broker.partitions.Find(one.claim.id);
  if (partition == nullptr) {
    broker.partitions.NoteAwaitedInVain(one.claim.id);
  } else if (!one.was_to_be_opened) {  // What opened late was not waited for otherwise.
    partition->NoteClaimInVain({broker.env.reactor.Now(), one.claim.epoch});
  }
}

}  // namespace

bool IsToLead(const Broker& broker, const TopicPartitionId& id) {
  MetadataImage::Topic topic = broker.image()->FindTopic(id.topic_id);
  const PartitionImage* partition = topic == nullptr ? nullptr : topic->Find(id.partition);
  return partition != nullptr && partition->leader == broker.options.node_id;
}

std::vector<LeadershipClaim> OpenClaims(Broker& broker, std::vector<LeadershipClaim> claims) {
  if (claims.size() > kClaimsMax) return {};
  // Of a partition that is named twice the latest epoch.
  std::ranges::sort(claims, [](const LeadershipClaim& a, const LeadershipClaim& b) {
    return a.id != b.id ? a.id < b.id : a.epoch > b.epoch;
  });
  const auto again = std::ranges::unique(claims, {}, &LeadershipClaim::id);
  claims.erase(again.begin(), again.end());
  std::erase_if(claims, [&](const LeadershipClaim& one) { return !MayComeTrue(broker, one); });
  return claims;
}

Task<void> AwaitLeadership(Broker* broker, std::vector<LeadershipClaim> claims,
                           CancellationToken cancel) {
  if (claims.empty()) co_return;
  const Instant asked = broker->env.reactor.Now();
  Event changed(broker->env.reactor);
  std::list<Awaited> awaited;
  for (const LeadershipClaim& claim : claims) awaited.emplace_back(claim, &changed);
  for (;;) {
    changed.Reset();
    Duration patience = {};
    std::erase_if(awaited, [&](const Awaited& one) { return !MayComeTrue(*broker, one.claim); });
    for (Awaited& one : awaited) {
      patience = std::max(patience, AwaitChange(*broker, one));
    }
    const Instant now = broker->env.reactor.Now();
    if (awaited.empty()) co_return;
    const Instant until = asked + patience;
    if (now < until && co_await changed.Wait(until, cancel) != WaitResult::kCancelled) continue;
    if (now < until) co_return;
    for (const Awaited& one : awaited) NoteInVain(*broker, one);
    co_return;
  }
}

namespace {

Task<std::monostate> AwaitThere(Broker* there, std::vector<LeadershipClaim> claims,
                                CancellationToken cancel) {
  co_await AwaitLeadership(there, OpenClaims(*there, std::move(claims)), cancel);
  co_return std::monostate();
}

Task<void> AwaitAt(Broker* from, ShardId shard, std::vector<LeadershipClaim> claims,
                   CancellationToken cancel) {
  const ShardId here = from->env.reactor.shard();
  if (shard == here) {
    co_await AwaitThere(from, std::move(claims), cancel);
    co_return;
  }
  Broker* there = from->shards.at(shard);
  // Not one of the calls that the metadata itself needs to get there.
  co_await from->shards.calls().CallUntil<std::monostate>(
      here, shard, cancel, [there, claims = std::move(claims)](CancellationToken token) {
        return AwaitThere(there, claims, token);
      });
}

}  // namespace

Task<void> AwaitLeaderships(Broker* broker, std::map<ShardId, std::vector<LeadershipClaim>> claims,
                            CancellationToken cancel) {
  TaskScope calls(broker->env.reactor);
  for (auto& [shard, of_shard] : claims) {
    calls.Spawn(AwaitAt(broker, shard, std::move(of_shard), cancel));
  }
  co_await calls.Join();
}

}  // namespace millrace

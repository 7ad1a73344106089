// What LeaderLink does for replicas that this broker's throttle holds back.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "replication/leader_link.h"
#include "replication/replication_shard.h"

namespace millrace {
namespace {

// A throttled replica is allowed what may come in such a part of a second before it has come.
constexpr uint64_t kAheadParts = 8;

}  // namespace

bool LeaderLink::IsHeldBack(const Partition& partition) const {
  if ((stream_->features & kReplicationAllow) == 0 || !shard_.follower_throttle().limited() ||
      !partition.throttled()) {
    return false;
  }
  return IsOutside(partition);
}

void LeaderLink::Meter(Entry& entry) {
  Followed& followed = entry.second;
  const Partition* partition = PartitionOf(entry);
  if (stream_ == nullptr || followed.phase != Phase::kFollowing || partition == nullptr) return;
  ThrottleQueue<FollowedClaim>& throttle = shard_.follower_throttle();
  if (!IsHeldBack(*partition)) {
    if (!followed.allowed.has_value()) return;
    Settle(entry);
    stream_->out.Add(StreamAllow{*followed.handle, StreamAllow::kUnbounded});
    wake_.Pulse();
    return;
  }
  if (!followed.allowed.has_value()) Allow(entry, 0);
  // More than one piece may be on its way: else a long way, not the rate, would say how fast it is.
  const auto ahead = static_cast<int64_t>(
      std::min<uint64_t>(*throttle.rate() / kAheadParts, options_.credit_bytes));
  while (!followed.claim.has_value() && *followed.allowed <= ahead) {
    if (std::optional<size_t> bytes = throttle.TryTake(); bytes.has_value()) {
      Allow(entry, *bytes);
    } else {
      followed.claim = throttle.Claim({this, entry.first});
    }
  }
}

void LeaderLink::Allow(Entry& entry, size_t bytes) {
  entry.second.allowed = entry.second.allowed.value_or(0) + static_cast<int64_t>(bytes);
  stream_->out.Add(StreamAllow{*entry.second.handle, static_cast<uint32_t>(bytes)});
  wake_.Pulse();
}

void LeaderLink::OnGrant(const TopicPartitionId& id, size_t bytes) {
  auto found = followed_.find(id);
  MR_CHECK(found != followed_.end());
  found->second.claim.reset();
  Allow(*found, bytes);
  Meter(*found);
}

void LeaderLink::Settle(Entry& entry) {
  ThrottleQueue<FollowedClaim>& throttle = shard_.follower_throttle();
  if (entry.second.claim.has_value()) throttle.Withdraw(*entry.second.claim);
  entry.second.claim.reset();
  const int64_t left = std::exchange(entry.second.allowed, std::nullopt).value_or(0);
  // More has come than was allowed where the leader knew already that commits wait for it.
  if (left < 0) throttle.Note(static_cast<size_t>(-left));
  if (left > 0) throttle.Settle(static_cast<size_t>(left), 0);
}

void LeaderLink::Account(StreamHandle handle, size_t bytes) {
  Entry* entry = Find(handle);
  const Partition* partition = entry == nullptr ? nullptr : PartitionOf(*entry);
  if (partition == nullptr || !shard_.follower_throttle().limited() || !partition->throttled()) {
    // A throttle that has ended is told to the leader when next something comes.
    if (entry != nullptr && entry->second.allowed.has_value()) Meter(*entry);
    return;
  }
  metrics_.throttled_bytes_in.Add(bytes);
  if (entry->second.allowed.has_value()) {
    *entry->second.allowed -= static_cast<int64_t>(bytes);
  } else {
    shard_.follower_throttle().Note(bytes);
  }
  Meter(*entry);
}

}  // namespace millrace

#include "replication/partition_follower.h"

#include <algorithm>

#include "common/check.h"

namespace millrace {

std::optional<PartitionFollower::Cut> PartitionFollower::OnAnswer(const LogMatch& answer,
                                                                  const LeaderEpochCache& epochs,
                                                                  const ReplicaEnds& own) {
  MR_CHECK(phase_ == Phase::kAsking);
  if (const auto* meet = std::get_if<LogsMeet>(&answer); meet != nullptr) {
    // About an end that we no longer have: nothing was agreed on.
    if (meet->from == own.log_end) phase_ = Phase::kFollowing;
    return std::nullopt;
  }
  phase_ = Phase::kCutting;
  if (const auto* diverge = std::get_if<LogsDiverge>(&answer); diverge != nullptr) {
    const Offset at = TruncationPoint(epochs, own.log_end, *diverge);
    // All that we have is from before the leader's log began: there is nothing to agree on.
    if (at < own.log_start) return Cut{own.log_start, /*whole=*/true};
    return Cut{at};
  }
  const auto& outside = std::get<OutsideLog>(answer);
  if (own.log_end > outside.end && own.log_start <= outside.end) return Cut{outside.end};
  return Cut{outside.start, /*whole=*/true};
}

void PartitionFollower::OnCut(const ReplicaEnds& own) {
  phase_ = Phase::kAsking;
  high_watermark_ = std::clamp(high_watermark_, own.log_start, own.log_end);
}

void PartitionFollower::AskAgain() {
  if (phase_ == Phase::kFollowing) phase_ = Phase::kAsking;
}

bool PartitionFollower::OnLeaderHighWatermark(Offset leader_high_watermark, Offset own_end) {
  leader_high_watermark_ = leader_high_watermark;
  return Advance(own_end);
}

bool PartitionFollower::OnAppended(Offset own_end) { return Advance(own_end); }

bool PartitionFollower::Advance(Offset own_end) {
  const Offset reached = std::min(leader_high_watermark_, own_end);
  if (phase_ != Phase::kFollowing || reached <= high_watermark_) return false;
  high_watermark_ = reached;
  return true;
}

}  // namespace millrace

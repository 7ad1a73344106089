#include "replication/partition_leader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/error_kind.h"

namespace millrace {

PartitionLeader::PartitionLeader(BrokerId self, const PartitionAssignment& assignment, Start start,
                                 Instant now, LeaderOptions options)
    : self_(self),
      leader_epoch_(assignment.leader_epoch),
      epoch_start_(start.epoch_start),
      options_(options),
      own_{.broker = self},
      partition_epoch_(assignment.partition_epoch),
      isr_min_(start.isr_min),
      recovering_(assignment.recovering),
      own_end_(start.end),
      high_watermark_(start.high_watermark),
      admit_again_after_(options.propose_again_after) {
  TakeReplicas(assignment, now);
}

const PartitionLeader::Follower* PartitionLeader::Find(BrokerId broker) const {
  for (const Follower& follower : followers_) {
    if (follower.assigned.broker == broker) return &follower;
  }
  return nullptr;
}

PartitionLeader::Follower* PartitionLeader::Find(BrokerId broker) {
  return const_cast<Follower*>(std::as_const(*this).Find(broker));
}

void PartitionLeader::TakeReplicas(const PartitionAssignment& assignment, Instant now) {
  std::vector<Follower> before = std::exchange(followers_, {});
  isr_size_ = assignment.isr_size();
  for (const AssignedReplica& replica : assignment.replicas) {
    if (replica.broker == self_) {
      own_ = replica;
      continue;
    }
    auto known = std::ranges::find(
        before, replica.broker, [](const Follower& follower) { return follower.assigned.broker; });
    Follower follower = known == before.end() ? Follower{.assigned = replica} : *known;
    follower.proposed = false;
    followers_.push_back(std::move(follower));
  }
  std::ranges::sort(followers_, {},
                    [](const Follower& follower) { return follower.assigned.broker; });
  TakeBrokers(assignment);
  for (Follower& follower : followers_) {
    SetInIsr(follower, assignment.Find(follower.assigned.broker)->in_isr, now);
  }
}

void PartitionLeader::SetInIsr(Follower& follower, bool in_isr, Instant now) {
  const bool was_in = std::exchange(follower.assigned.in_isr, in_isr);
  if (was_in && !in_isr) follower.heard = false;
  // Who has just joined gets the whole time: it was at the high watermark, not at the end. And a new
  // leader gives all in the ISR the whole time to show that they are in sync.
  if (in_isr && (!was_in || !follower.caught_up.has_value())) follower.caught_up = now;
}

void PartitionLeader::TakeBrokers(const PartitionAssignment& assignment) {
  for (const AssignedReplica& replica : assignment.replicas) {
    if (replica.broker == self_) own_.epoch = replica.epoch;
    Follower* follower = Find(replica.broker);
    if (follower == nullptr) continue;
    AssignedReplica& assigned = follower->assigned;
    const bool in_isr = assigned.in_isr;
    assigned = replica;
    assigned.in_isr = in_isr;
    // What its former incarnation had, this one may have lost.
    if (follower->epoch.has_value() && follower->epoch < assigned.epoch) {
      follower->epoch.reset();
      follower->ends.reset();
      follower->reported.reset();
      if (!in_isr) follower->caught_up.reset();
    }
  }
}

void PartitionLeader::TakeIsr(const std::vector<BrokerId>& isr, Instant now) {
  isr_size_ = isr.size();
  for (Follower& follower : followers_) {
    follower.proposed = false;
    SetInIsr(follower, std::ranges::find(isr, follower.assigned.broker) != isr.end(), now);
  }
}

PartitionLeader::Output PartitionLeader::OnAssignment(const PartitionAssignment& assignment,
                                                      size_t isr_min, Instant now) {
  isr_min_ = isr_min;
  if (assignment.partition_epoch > partition_epoch_) {
    // It answers what was proposed, one way or another.
    pending_.reset();
    partition_epoch_ = assignment.partition_epoch;
    recovering_ = assignment.recovering;
    TakeReplicas(assignment, now);
  } else {
    TakeBrokers(assignment);
  }
  propose_again_.reset();
  ForgetRefusals();
  return Conclude(now);
}

PartitionLeader::Output PartitionLeader::OnOwnEnd(Offset end, Instant now) {
  if (end <= own_end_) return {};
  for (Follower& follower : followers_) {
    if (follower.knows(own_end_)) follower.caught_up = now;  // Until now it had everything.
  }
  own_end_ = end;
  return Conclude(now);
}

absl::Status PartitionLeader::CheckFollower(BrokerId broker, BrokerEpoch epoch) const {
  const Follower* follower = Find(broker);
  if (follower == nullptr) {
    return MakeError(ErrorKind::kUnknownLeaderEpoch,
                     fmt::format("broker {} has no replica, as far as is known here", broker));
  }
  if (epoch < follower->assigned.epoch || epoch < follower->epoch) {
    return MakeError(
        ErrorKind::kStaleBrokerEpoch,
        fmt::format("broker {} says epoch {}, it has registered anew since", broker, epoch));
  }
  return absl::OkStatus();
}

absl::StatusOr<PartitionLeader::Output> PartitionLeader::OnFollowerAgreed(BrokerId broker,
                                                                          BrokerEpoch epoch,
                                                                          const ReplicaEnds& ends,
                                                                          Instant now) {
  if (absl::Status known = CheckFollower(broker, epoch); !known.ok()) return known;
  Follower& follower = *Find(broker);
  // Of another incarnation, or of one whose log was made anew: what it has may be less than before.
  if (follower.epoch != epoch || (follower.ends && ends.log_end < follower.ends->log_end)) {
    follower.reported.reset();
    if (!follower.assigned.in_isr) follower.caught_up.reset();
  }
  follower.epoch = epoch;
  follower.ends = ends;
  return OnFollowerProgress(broker, epoch, ends, now);
}

absl::StatusOr<PartitionLeader::Output> PartitionLeader::OnFollowerProgress(BrokerId broker,
                                                                            BrokerEpoch epoch,
                                                                            const ReplicaEnds& ends,
                                                                            Instant now) {
  if (absl::Status known = CheckFollower(broker, epoch); !known.ok()) return known;
  Follower& follower = *Find(broker);
  if (follower.epoch != epoch || !follower.ends.has_value()) {
    return MakeError(ErrorKind::kUnknownLeaderEpoch,
                     fmt::format("broker {} has not said hello in this epoch", broker));
  }
  follower.ends->log_start = std::max(follower.ends->log_start, ends.log_start);
  follower.ends->log_end = std::max(follower.ends->log_end, ends.log_end);
  follower.ends->durable_end = std::max(follower.ends->durable_end, ends.durable_end);
  if (follower.knows(own_end_)) {
    follower.caught_up = now;
  } else if (follower.reported && follower.knows(follower.own_end_when_reported)) {
    // What there was when it reported last it has now (rule 2.51): it keeps up with a busy leader.
    follower.caught_up =
        std::max(follower.caught_up.value_or(*follower.reported), *follower.reported);
  }
  follower.heard = true;
  follower.reported = now;
  follower.own_end_when_reported = own_end_;
  return Conclude(now);
}

PartitionLeader::Output PartitionLeader::OnFollowerGone(BrokerId broker, BrokerEpoch epoch,
                                                        Instant now) {
  Follower* follower = Find(broker);
  if (follower == nullptr || follower->epoch != epoch || follower->assigned.in_isr) return {};
  follower->heard = false;
  return Conclude(now);
}

PartitionLeader::Output PartitionLeader::OnIsrOutcome(const IsrProposal& proposal,
                                                      const IsrOutcome& outcome, Instant now) {
  if (pending_ != proposal) return {};
  if (!outcome.has_value()) {
    if (outcome.error() != IsrRefusal::kGivenUp) return {};  // The metadata will say.
    pending_.reset();
    if (std::ranges::any_of(followers_, &Follower::proposed)) {
      admit_again_ = now + admit_again_after_;
      admit_again_after_ = std::min(2 * admit_again_after_, options_.admit_again_after_max);
    } else {
      propose_again_ = now + options_.propose_again_after;
    }
    for (Follower& follower : followers_) follower.proposed = false;
    return Conclude(now);
  }
  if (outcome->leader_epoch != leader_epoch_ || outcome->partition_epoch < partition_epoch_) {
    return {};
  }
  pending_.reset();
  partition_epoch_ = outcome->partition_epoch;
  recovering_ = false;
  ForgetRefusals();
  TakeIsr(outcome->isr, now);
  return Conclude(now);
}

void PartitionLeader::ForgetRefusals() {
  admit_again_.reset();
  admit_again_after_ = options_.propose_again_after;
}

PartitionLeader::Output PartitionLeader::OnTime(Instant now) { return Conclude(now); }

PartitionLeader::Output PartitionLeader::Conclude(Instant now) {
  Output output;
  output.high_watermark_moved = Advance(now);
  output.propose = MaybePropose(now);
  return output;
}

bool PartitionLeader::Lags(const Follower& follower, Instant now) const {
  return !follower.knows(own_end_) &&
         (!follower.caught_up.has_value() || now - *follower.caught_up >= options_.lag_max);
}

bool PartitionLeader::MayJoin(const Follower& follower) const {
  return follower.assigned.active && follower.heard && follower.epoch == follower.assigned.epoch &&
         follower.knows(std::max(high_watermark_, epoch_start_));
}

bool PartitionLeader::IsAboutToJoin(const Follower& follower, Instant now) const {
  // Taken out of the ISR by the controller (its directory failed) it is waited for when it is heard
  // again, not for as long as it would take to lag.
  return follower.assigned.active && follower.heard && follower.epoch == follower.assigned.epoch &&
         follower.ends.has_value() && !Lags(follower, now);
}

bool PartitionLeader::Counts(const Follower& follower, Instant now) const {
  return follower.assigned.in_isr || follower.proposed || IsAboutToJoin(follower, now);
}

bool PartitionLeader::Awaits(BrokerId broker, Instant now) const {
  const Follower* follower = Find(broker);
  return follower != nullptr && Counts(*follower, now);
}

bool PartitionLeader::Advance(Instant now) {
  if (!has_enough_replicas()) return false;
  Offset least = own_end_;
  for (const Follower& follower : followers_) {
    if (!Counts(follower, now)) continue;
    if (!follower.ends.has_value()) return false;  // Not heard of in this epoch.
    least = std::min(least, follower.ends->durable_end);
  }
  if (least <= high_watermark_) return false;
  high_watermark_ = least;
  return true;
}

std::optional<IsrProposal> PartitionLeader::MaybePropose(Instant now) {
  if (pending_.has_value() || (propose_again_.has_value() && now < *propose_again_)) {
    return std::nullopt;
  }
  // Whoever joins may be refused for reasons that are not known here, and nobody who lags may stay
  // for that: who comes is proposed when nobody goes.
  const bool goes = std::ranges::any_of(followers_, [&](const Follower& follower) {
    return follower.assigned.in_isr && Lags(follower, now);
  });
  const bool comes = !goes && !recovering_ && (!admit_again_.has_value() || now >= *admit_again_);
  bool changes = recovering_;
  IsrProposal proposal{leader_epoch_, partition_epoch_, {{self_, own_.epoch}}};
  for (Follower& follower : followers_) {
    const bool wanted =
        follower.assigned.in_isr ? !Lags(follower, now) : comes && MayJoin(follower);
    changes = changes || wanted != follower.assigned.in_isr;
    follower.proposed = wanted && !follower.assigned.in_isr;
    if (!wanted) continue;
    const AssignedReplica& assigned = follower.assigned;
    proposal.isr.push_back({assigned.broker, follower.epoch ? follower.epoch : assigned.epoch});
  }
  if (!changes) return std::nullopt;
  std::ranges::sort(proposal.isr, {}, &IsrMember::broker);
  pending_ = proposal;
  return proposal;
}

std::optional<Instant> PartitionLeader::Due(Instant now) const {
  std::optional<Instant> first;
  const auto at = [&first](Instant when) { first = std::min(first.value_or(when), when); };
  for (const Follower& follower : followers_) {
    // A proposal that is under way brings its answer by itself.
    if (follower.assigned.in_isr && !pending_.has_value() && !follower.knows(own_end_)) {
      const Instant lags = follower.caught_up.value_or(Instant(0)) + options_.lag_max;
      at(propose_again_.has_value() ? std::max(lags, *propose_again_) : lags);
    }
    if (follower.assigned.in_isr) continue;
    // It holds the high watermark up for so long.
    if (IsAboutToJoin(follower, now) && !follower.knows(own_end_)) {
      at(*follower.caught_up + options_.lag_max);
    }
    if (!pending_.has_value() && MayJoin(follower)) {
      const std::optional<Instant> again = std::max(propose_again_, admit_again_);
      if (again.has_value()) at(*again);
    }
  }
  if (recovering_ && propose_again_.has_value() && !pending_.has_value()) at(*propose_again_);
  return first;
}

std::vector<BrokerId> PartitionLeader::isr() const {
  std::vector<BrokerId> isr{self_};
  for (const Follower& follower : followers_) {
    if (follower.assigned.in_isr) isr.push_back(follower.assigned.broker);
  }
  std::ranges::sort(isr);
  return isr;
}

size_t PartitionLeader::maximal_isr_size() const {
  return isr_size_ + static_cast<size_t>(std::ranges::count(followers_, true, &Follower::proposed));
}

std::vector<PartitionLeader::View> PartitionLeader::InSync(Instant now) const {
  std::vector<View> views;
  for (const Follower& follower : followers_) {
    if (!follower.assigned.in_isr || !follower.ends.has_value()) continue;
    const bool all = follower.knows(own_end_) || !follower.caught_up.has_value();
    views.push_back(
        {follower.assigned.broker, *follower.ends, all ? Duration(0) : now - *follower.caught_up});
  }
  return views;
}

Offset PartitionLeader::LowWatermark(Offset own_log_start) const {
  Offset low = own_log_start;
  for (const Follower& follower : followers_) {
    if (!follower.assigned.active) continue;
    low = std::min(low, follower.ends.has_value() ? follower.ends->log_start : Offset(0));
  }
  return low;
}

std::string DescribeIsr(const IsrProposal& proposal) {
  std::string text;
  for (const IsrMember& member : proposal.isr) {
    text += fmt::format("{}{}", text.empty() ? "" : ",", member.broker);
  }
  return text;
}

}  // namespace millrace

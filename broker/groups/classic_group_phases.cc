// The way of a classic group from phase to phase, and what time does to it.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "broker/groups/classic_group.h"

namespace millrace {
namespace {

using kafka::KafkaError;

// Where nobody came and nobody may be removed, the join phase begins again. A client may have said
// that its rebalances take no time: the coordinator still does other things in between.
constexpr Duration kAgainMin = seconds(1);

}  // namespace

void ClassicGroup::Enter(ClassicGroupState state, GroupTime time) {
  state_ = state;
  state_since_ = time.wall;
}

Duration ClassicGroup::RebalanceTimeout() const {
  Duration longest = Duration::zero();
  for (const auto& [id, member] : members_) longest = std::max(longest, member.rebalance_timeout);
  return longest;
}

std::string ClassicGroup::Vote() const {
  std::map<std::string_view, size_t> votes;
  for (const auto& [id, member] : members_) {
    for (const MemberProtocol& protocol : member.protocols) {
      if (supporters_.find(protocol.name)->second != members_.size()) continue;
      ++votes[protocol.name];
      break;
    }
  }
  // Of equal ones the first of the alphabet: every coordinator decides the same.
  const auto most =
      std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; });
  return most == votes.end() ? protocol_.value_or("") : std::string(most->first);
}

void ClassicGroup::Rebalance(GroupTime time, ClassicGroupOutput& out) {
  const bool first = state_ == ClassicGroupState::kEmpty;
  if (state_ == ClassicGroupState::kCompletingRebalance) {
    for (auto& [id, member] : members_) {
      if (!member.awaits_sync) continue;
      AnswerSync(member, {.error = KafkaError::kRebalanceInProgress}, out);
      Renew(member, time.now);
    }
  }
  if (owing_sync_ > 0) {
    for (auto& [id, member] : members_) SetOwesSync(member, false);
  }
  Enter(ClassicGroupState::kPreparingRebalance, time);
  if (first) {
    const Duration delay = options_.initial_rebalance_delay;
    initial_ = InitialDelay{.left = std::max(RebalanceTimeout() - delay, Duration::zero())};
    join_deadline_ = time.now + delay;
    return;
  }
  join_deadline_ = time.now + RebalanceTimeout();
  MaybeCompleteJoin(time, out);
}

void ClassicGroup::AfterLoss(GroupTime time, ClassicGroupOutput& out) {
  if (state_ == ClassicGroupState::kCompletingRebalance || state_ == ClassicGroupState::kStable) {
    return Rebalance(time, out);
  }
  MaybeCompleteJoin(time, out);
}

void ClassicGroup::MaybeCompleteJoin(GroupTime time, ClassicGroupOutput& out) {
  if (state_ != ClassicGroupState::kPreparingRebalance) return;
  if (members_.empty()) return CompleteJoin(time, out);
  if (initial_.has_value()) return;
  if (awaiting_join_ == members_.size() && pending_.empty()) CompleteJoin(time, out);
}

bool ClassicGroup::ElectOfJoined() {
  if (leader_.has_value()) {
    const auto leader = members_.find(*leader_);
    if (leader != members_.end() && leader->second.awaits_join) return true;
  }
  const ClassicMember* oldest = nullptr;
  for (const auto& [id, member] : members_) {
    if (!member.awaits_join) continue;
    if (oldest == nullptr || member.timer.order < oldest->timer.order) oldest = &member;
  }
  if (oldest == nullptr) return false;
  leader_ = oldest->id;
  return true;
}

void ClassicGroup::CompleteJoin(GroupTime time, ClassicGroupOutput& out) {
  initial_.reset();
  join_deadline_.reset();
  if (awaiting_join_ < members_.size()) {
    for (auto member = members_.begin(); member != members_.end();) {
      const bool stays = member->second.awaits_join || member->second.instance_id.has_value();
      member = stays ? std::next(member) : Remove(member, out);
    }
  }
  if (!members_.empty() && !ElectOfJoined()) {
    // Only static ones are left, and none has come back. Their sessions will end, or they come.
    join_deadline_ = time.now + std::max(RebalanceTimeout(), kAgainMin);
    return;
  }
  // What comes behind the last one is of no use to anybody; it is not reached either.
  const int32_t last = generation_.value();
  generation_ = GenerationId(last == INT32_MAX ? 1 : last + 1);
  if (members_.empty()) {
    protocol_.reset();
    leader_.reset();
    Enter(ClassicGroupState::kEmpty, time);
    out.write = true;
    return;
  }
  protocol_ = Vote();
  Enter(ClassicGroupState::kCompletingRebalance, time);
  for (auto& [id, member] : members_) {
    SetAssignment(member, "");
    SetOwesSync(member, true);
    if (!member.awaits_join) continue;
    AnswerJoin(member, Joined(member), out);
    member.is_new = false;
    Renew(member, time.now);
  }
  sync_deadline_ = time.now + RebalanceTimeout();
}

void ClassicGroup::SetAssignment(ClassicMember& member, std::string assignment) {
  member_bytes_ += assignment.size();
  member_bytes_ -= member.assignment.size();
  member.assignment = std::move(assignment);
}

void ClassicGroup::HandOut(SyncGroup& request, GroupTime time, ClassicGroupOutput& out) {
  for (SyncGroup::Assignment& part : request.assignments) {
    const auto member = members_.find(part.member_id);
    if (member != members_.end()) SetAssignment(member->second, std::move(part.assignment));
  }
  Enter(ClassicGroupState::kStable, time);
  out.write = true;
  for (auto& [id, member] : members_) {
    if (!member.awaits_sync) continue;
    AnswerSync(member, Synced(member), out);
    Renew(member, time.now);
  }
}

std::optional<Instant> ClassicGroup::deadline() const {
  std::optional<Instant> first = timers_.next();
  for (const std::optional<Instant>& phase : {join_deadline_, sync_deadline_}) {
    if (phase.has_value() && (!first.has_value() || *phase < *first)) first = phase;
  }
  return first;
}

void ClassicGroup::EndInitialDelay(GroupTime time, ClassicGroupOutput& out) {
  if (!initial_->joined || initial_->left == Duration::zero()) return CompleteJoin(time, out);
  const Duration delay = std::min(options_.initial_rebalance_delay, initial_->left);
  initial_ = InitialDelay{.left = initial_->left - delay};
  join_deadline_ = time.now + delay;
}

void ClassicGroup::RemoveUnsynced(GroupTime time, ClassicGroupOutput& out) {
  sync_deadline_.reset();
  for (auto member = members_.begin(); member != members_.end();) {
    member = member->second.owes_sync ? Remove(member, out) : std::next(member);
  }
  AfterLoss(time, out);
}

void ClassicGroup::OnTime(GroupTime time, ClassicGroupOutput& out) {
  bool member_gone = false;
  bool any_gone = false;
  for (auto next = timers_.next(); next.has_value() && *next <= time.now; next = timers_.next()) {
    const std::string id = timers_.first();
    any_gone = true;
    if (RemovePending(id)) continue;
    Remove(members_.find(id), out);
    member_gone = true;
  }
  if (member_gone) {
    AfterLoss(time, out);
  } else if (any_gone) {
    MaybeCompleteJoin(time, out);
  }
  if (join_deadline_.has_value() && *join_deadline_ <= time.now) {
    if (initial_.has_value()) return EndInitialDelay(time, out);
    return CompleteJoin(time, out);
  }
  if (sync_deadline_.has_value() && *sync_deadline_ <= time.now) RemoveUnsynced(time, out);
}

void ClassicGroup::Dismiss(KafkaError error, ClassicGroupOutput& out) {
  for (auto& [id, member] : members_) {
    JoinedGroup answer;
    answer.error = error;
    answer.member_id = id;
    AnswerJoin(member, std::move(answer), out);
    AnswerSync(member, {.error = error}, out);
  }
  members_.clear();
  static_members_.clear();
  pending_.clear();
  supporters_.clear();
  timers_ = MemberTimers();
  initial_.reset();
  join_deadline_.reset();
  sync_deadline_.reset();
  leader_.reset();
  owing_sync_ = 0;
  member_bytes_ = 0;
  pending_bytes_ = 0;
  state_ = ClassicGroupState::kDead;
}

}  // namespace millrace

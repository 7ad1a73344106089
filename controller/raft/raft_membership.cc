// RaftCore: who belongs to the quorum (thesis §3.10, §4.1, §4.2; KIP-853).
#include <algorithm>

#include "controller/raft/raft_core.h"

namespace millrace::raft {

// Why no change of voters may begin now. Two changes under way would make sets whose majorities
// need not overlap; and so would one before this leader's term has committed anything, because an
// earlier leader's uncommitted change may yet come back (Ongaro, raft-dev, 10 July 2015).
std::optional<Refusal> RaftCore::RefuseChange() const {
  if (role_ != Role::kLeader) return Refusal::kNotLeader;
  if (transfer_to_.has_value()) return Refusal::kTransferring;
  if (log_.voters_index() > log_.commit() || term_start_ > log_.commit()) {
    return Refusal::kChangeInProgress;
  }
  return std::nullopt;
}

std::expected<RaftIndex, Refusal> RaftCore::ProposeVoters(VoterSet next) {
  const RaftIndex index = AppendOwn(std::move(next));
  FollowVoters();  // In force from here on, committed or not.
  return index;
}

std::expected<RaftIndex, Refusal> RaftCore::AddVoter(const ReplicaKey& key,
                                                     std::vector<VoterEndpoint> endpoints) {
  if (const auto refusal = RefuseChange()) return std::unexpected(*refusal);
  // Also one of another directory: it has to be removed first, in a change of its own.
  if (voters().Find(key.id) != nullptr) return std::unexpected(Refusal::kDuplicateVoter);
  // All that was committed an election time ago, at most: what has come since reaches it within as
  // long (thesis §4.2.1). Of a leader that commits by itself, all the time, nobody has everything.
  const RaftIndex wanted = commit_checked_ > RaftIndex(0) ? commit_checked_ : log_.commit();
  const auto found = peers_.find(key);
  if (found == peers_.end() || found->second.match() < wanted) {
    return std::unexpected(Refusal::kNotCaughtUp);
  }
  return ProposeVoters(voters().With(key.id, {key.directory, std::move(endpoints)}));
}

std::expected<RaftIndex, Refusal> RaftCore::RemoveVoter(const ReplicaKey& key) {
  if (const auto refusal = RefuseChange()) return std::unexpected(*refusal);
  if (!voters().Contains(key)) return std::unexpected(Refusal::kUnknownVoter);
  if (voters().size() == 1) return std::unexpected(Refusal::kLastVoter);
  return ProposeVoters(voters().Without(key.id));
}

std::expected<RaftIndex, Refusal> RaftCore::UpdateVoter(const ReplicaKey& key,
                                                        std::vector<VoterEndpoint> endpoints) {
  if (const auto refusal = RefuseChange()) return std::unexpected(*refusal);
  if (!voters().Contains(key)) return std::unexpected(Refusal::kUnknownVoter);
  return ProposeVoters(voters().With(key.id, {key.directory, std::move(endpoints)}));
}

// A voter that is being removed asks for elections until its removal is committed (thesis §4.2.2):
//
//   1. Leader 1 removes itself from {1, 2} and restarts when only its own log has the entry.
//   2. 2 needs 1's vote, for it goes by {1, 2}; 1 refuses, because its log is longer.
//   3. Were 1 not to ask either, nobody would ever lead. It asks, needs the vote of {2}, and gets
//   it.
bool RaftCore::MayCampaign() const {
  if (lost_) return false;
  if (IsVoter()) return true;
  return log_.voters_index() > log_.commit() &&
         log_.VotersAt(Before(log_.voters_index())).Contains(self_);
}

// Everyone whose directory is known is told the log. Who is no voter any more stays as an observer,
// so that it learns of its removal.
void RaftCore::FollowVoters() {
  for (const auto& [id, voter] : voters().all()) {
    if (id == self_.id || !voter.directory.has_value()) continue;
    const ReplicaKey key{id, *voter.directory};
    const auto [peer, added] = peers_.try_emplace(key, Before(term_start_));
    if (added) SendAppends(key, peer->second, WithoutEntries::kHeartbeat);
  }
}

// A leader that removes itself leads until that is committed, and does not count itself meanwhile
// (thesis §4.2.2).
void RaftCore::StepDownWhenRemoved() {
  if (IsVoter() || log_.voters_index() > log_.commit()) return;
  transfer_to_.reset();
  (void)TransferLeadership(std::nullopt);  // Without a successor in sight, a time-out finds one.
  BecomeFollower(hard_state_.term, std::nullopt);
}

std::expected<void, Refusal> RaftCore::TransferLeadership(std::optional<BrokerId> to) {
  if (role_ != Role::kLeader) return std::unexpected(Refusal::kNotLeader);
  std::optional<std::pair<bool, RaftIndex>> best;  // Who answers, before who has more.
  for (const auto& [key, peer] : peers_) {
    const bool fits = voters().Contains(key) && (!to.has_value() || key.id == *to);
    const std::pair<bool, RaftIndex> worth(peer.active(), peer.match());
    if (!fits || (best.has_value() && worth <= *best)) continue;
    best = worth;
    transfer_to_ = key.id;
  }
  if (!best.has_value()) return std::unexpected(Refusal::kUnknownVoter);
  elapsed_ = 0;
  TryTransfer();
  return {};
}

void RaftCore::TryTransfer() {
  if (!transfer_to_.has_value()) return;
  for (auto& [key, peer] : peers_) {
    if (key.id != *transfer_to_ || !voters().Contains(key)) continue;
    if (peer.match() < log_.last_index()) return;
    Message message = Address(key);
    message.body = TimeoutNow{};
    Send(std::move(message), hard_state_write_);
  }
}

void RaftCore::StepTimeoutNow(const Message& message) {
  if (role_ == Role::kLeader || leader_ != message.from.id || !IsVoter() || DiskHangs()) return;
  Campaign(/*pre=*/false, /*transfer=*/true);
}

void RaftCore::StepObserve(const Message& message) {
  if (role_ != Role::kLeader) return;
  const auto [peer, added] = peers_.try_emplace(message.from, log_.last_index());
  if (!added) return;
  SendAppends(message.from, peer->second, WithoutEntries::kHeartbeat);
}

void RaftCore::AskToObserve() {
  std::set<BrokerId> asked = contacts_;
  for (const auto& [id, voter] : voters().all()) {
    if (MayCampaign()) {
      asked.erase(id);  // It is asked for its vote, and knows from that.
    } else {
      asked.insert(id);
    }
  }
  asked.erase(self_.id);
  for (BrokerId id : asked) {
    Message message{self_, id, std::nullopt, hard_state_.term, Observe{}};
    Send(std::move(message), Everything());
  }
}

}  // namespace millrace::raft

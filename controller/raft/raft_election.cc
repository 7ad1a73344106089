// RaftCore: elections (the Raft paper §5.2, §5.4.1; thesis §3.10, §4.2.3, §9.6).
#include <algorithm>

#include "common/check.h"
#include "controller/raft/raft_core.h"

namespace millrace::raft {
namespace {

// Those who saw the leader's connection break ask within so many ticks of each other.
constexpr uint32_t kBreakSpreadTicks = 3;
// Candidates that took each other's votes ask again within so many ticks: wider, for they have
// collided once.
constexpr uint32_t kSplitSpreadTicks = 5;

}  // namespace

void RaftCore::TickFollower() {
  if (elapsed_ < election_timeout_) return;
  ResetElectionTimer();
  if (DiskHangs()) {  // Its own vote would not reach the disk.
    leader_.reset();
    return;
  }
  if (MayCampaign()) {
    if (role_ == Role::kPreCandidate) AskToObserve();  // In vain so far: it may have been removed.
    Campaign(/*pre=*/true, /*transfer=*/false);
  } else {
    leader_.reset();
    AskToObserve();
  }
}

void RaftCore::ResetElectionTimer() {
  elapsed_ = 0;
  election_timeout_ =
      options_.election_ticks +
      static_cast<int>(jitter_ % static_cast<uint32_t>(std::max(options_.election_ticks, 1)));
}

bool RaftCore::HearsLeader() const {
  if (role_ == Role::kLeader) return true;  // CheckQuorum() sees to it that this is true.
  return leader_.has_value() && elapsed_ < options_.election_ticks;
}

void RaftCore::PeerLost(BrokerId peer) {
  if (role_ != Role::kFollower || leader_ != peer) return;
  leader_.reset();
  ElectWithin(kBreakSpreadTicks);
}

void RaftCore::ElectWithin(uint32_t ticks) {
  const int left = static_cast<int>(1 + jitter_ % ticks);
  elapsed_ = std::max(elapsed_, election_timeout_ - left);
}

void RaftCore::BecomeFollower(RaftTerm term, std::optional<BrokerId> leader) {
  MR_CHECK(term >= hard_state_.term);
  if (term > hard_state_.term) SetTermAndVote(term, std::nullopt);
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
  peers_.clear();
  transfer_to_.reset();
  uncommitted_bytes_ = 0;
  ResetElectionTimer();
}

void RaftCore::Campaign(bool pre, bool transfer) {
  leader_.reset();
  votes_.clear();
  ResetElectionTimer();
  if (pre) {
    role_ = Role::kPreCandidate;
  } else {
    role_ = Role::kCandidate;
    SetTermAndVote(RaftTerm(hard_state_.term.value() + 1), self_);
  }
  // Our own vote counts before it is durable: the requests below wait for the write, so no other
  // vote can join it sooner, and alone it elects only where there is nobody to tell.
  votes_.insert_or_assign(self_.id, std::pair(self_, true));
  const VoterSet asked = voters();
  const Role asking = role_;
  CountVotes();
  if (role_ != asking) return;
  for (const auto& [id, voter] : asked.all()) {
    if (id == self_.id) continue;
    Message message = AddressVoter(id, voter);
    message.body = VoteRequest{pre, transfer, log_.last_index(), log_.last_term()};
    Send(std::move(message), Everything());
  }
}

void RaftCore::CountVotes() {
  size_t granted = 0;
  for (const auto& [id, answer] : votes_) {
    if (answer.second && voters().Contains(answer.first)) ++granted;
  }
  if (granted < voters().votes_to_win()) return;
  if (role_ == Role::kPreCandidate) {
    Campaign(/*pre=*/false, /*transfer=*/false);
  } else {
    BecomeLeader();
  }
}

void RaftCore::BecomeLeader() {
  MR_CHECK(role_ == Role::kCandidate);
  role_ = Role::kLeader;
  leader_ = self_.id;
  elapsed_ = heartbeat_elapsed_ = behind_ticks_ = 0;
  uncommitted_bytes_ = 0;
  transfer_to_.reset();
  peers_.clear();
  VoterSet met = voters();
  for (const auto& [id, answer] : votes_) {
    const Voter* voter = met.Find(id);
    if (voter == nullptr || voter->directory.has_value() || !answer.second) continue;
    met = met.With(id, {answer.first.directory, voter->endpoints});
  }
  votes_.clear();
  term_start_ = AppendOwn(LeaderChange{self_.id});
  commit_checked_ = RaftIndex(0);
  // An incomplete set elects with all of its votes, so now everyone's directory is known.
  if (met != voters()) AppendOwn(met);
  FollowVoters();
}

void RaftCore::StepVoteRequest(const Message& message, const VoteRequest& request) {
  const RaftTerm election(message.term.value() + (request.pre ? 1 : 0));
  const bool log_ok = log_.IsUpToDate(request.last_index, request.last_term);
  bool granted = false;
  if (request.pre) {
    // Who was removed and does not know it: nobody else would send it the log.
    if (role_ == Role::kLeader && !voters().Contains(message.from)) StepObserve(message);
    granted = log_ok && election > hard_state_.term && !HearsLeader();
  } else if (election == hard_state_.term) {
    const bool vote_free =
        hard_state_.vote.has_value() ? *hard_state_.vote == message.from : !leader_.has_value();
    granted = log_ok && vote_free;
    if (granted && !hard_state_.vote.has_value()) {
      SetTermAndVote(hard_state_.term, message.from);
      ResetElectionTimer();
    }
  }
  Message reply = Address(message.from);
  reply.body = VoteReply{request.pre, granted, election};
  Send(std::move(reply), Everything());
}

void RaftCore::StepVoteReply(const Message& message, const VoteReply& reply) {
  const bool asked = reply.pre ? role_ == Role::kPreCandidate &&
                                     reply.election.value() == hard_state_.term.value() + 1
                               : role_ == Role::kCandidate && reply.election == hard_state_.term;
  if (!asked || !voters().Contains(message.from)) return;
  // The first answer of a voter stands: two incarnations of it are not two votes.
  if (!votes_.try_emplace(message.from.id, message.from, reply.granted).second) return;
  // A majority would have voted, and this one has voted otherwise: the vote is split, or somebody
  // has won it and is heard before the next try, which asks beforehand too.
  if (!reply.pre && !reply.granted) ElectWithin(kSplitSpreadTicks);
  CountVotes();
}

}  // namespace millrace::raft

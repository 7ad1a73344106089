#include "controller/raft/raft_core.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/check.h"

namespace millrace::raft {
namespace {

// Only who was elected sends these.
bool IsFromLeader(const Message& message) {
  return std::holds_alternative<AppendRequest>(message.body) ||
         std::holds_alternative<InstallSnapshot>(message.body);
}

}  // namespace

std::optional<std::string> WhatIsWrong(const RaftStart& start) {
  RaftIndex last = start.snapshot.index;
  RaftTerm term = start.snapshot.term;
  for (const LogEntry& entry : start.entries) {
    if (entry.index != After(last)) return fmt::format("the log has no entry {}", After(last));
    if (entry.term < term) {
      return fmt::format("entry {} is of term {}, the one before of {}", entry.index, entry.term,
                         term);
    }
    last = entry.index;
    term = entry.term;
  }
  if (last < start.hard_state.commit) {
    return fmt::format("the log ends at {}, but {} was committed", last, start.hard_state.commit);
  }
  if (term > start.hard_state.term) {
    return fmt::format("an entry is of term {}, but only {} was reached", term,
                       start.hard_state.term);
  }
  return std::nullopt;
}

RaftCore::RaftCore(const ReplicaKey& self, const RaftOptions& options, RaftStart start)
    : self_(self),
      options_(options),
      hard_state_(start.hard_state),
      log_(std::move(start.snapshot), std::move(start.entries), start.hard_state.commit),
      lost_(start.lost),
      election_timeout_(options.election_ticks) {
  contacts_.insert(start.contacts.begin(), start.contacts.end());
  log_.SetInitialVoters(std::move(start.static_voters));
  // Nobody else could lead: no silence needs to be waited for.
  if (voters().size() == 1 && IsVoter() && !lost_) Campaign(/*pre=*/true, /*transfer=*/false);
}

void RaftCore::Tick(uint32_t jitter) {
  jitter_ = jitter;
  ++elapsed_;
  if (last_write_ != persisted_) ++write_ticks_;
  if (role_ == Role::kLeader) {
    TickLeader();
  } else {
    TickFollower();
  }
}

// Whether the message is to be handled, after the rules about terms (Figure 2, "Rules for
// Servers").
bool RaftCore::CheckTerm(const Message& message) {
  if (std::holds_alternative<Observe>(message.body)) return true;
  const VoteRequest* vote = std::get_if<VoteRequest>(&message.body);
  if (message.term > hard_state_.term) {
    // A pre-vote binds nobody, and an election is refused while there is a leader: neither may
    // raise our term, or a rejoining voter would depose a leader that serves everyone else.
    if (vote != nullptr && (vote->pre || (!vote->transfer && HearsLeader()))) return vote->pre;
    BecomeFollower(message.term,
                   IsFromLeader(message) ? std::optional(message.from.id) : std::nullopt);
    return true;
  }
  if (message.term == hard_state_.term) return true;
  // From an earlier term. Requests are answered, so that their sender learns the term; a pre-vote's
  // answer comes from a voter whose term may well be behind; other answers are void.
  if (vote != nullptr) {
    Message reply = Address(message.from);
    reply.body = VoteReply{vote->pre, false, RaftTerm(message.term.value() + (vote->pre ? 1 : 0))};
    Send(std::move(reply), Everything());
    return false;
  }
  if (const AppendRequest* append = std::get_if<AppendRequest>(&message.body)) {
    Message reply = Address(message.from);
    reply.body = AppendRejected{append->prev_index, log_.commit(), *log_.TermAt(log_.commit())};
    Send(std::move(reply), Everything());
    return false;
  }
  const VoteReply* reply = std::get_if<VoteReply>(&message.body);
  return reply != nullptr && reply->pre;
}

void RaftCore::Step(Message message) {
  if (message.to != self_.id || message.from == self_) {
    ++ignored_;
    return;
  }
  if (message.to_directory.has_value() && *message.to_directory != self_.directory) {
    // For the replica that was here before its disk was lost. We cannot answer for it: it may have
    // promised what we do not know. But now we know who to ask for the log.
    if (!std::holds_alternative<Observe>(message.body)) {
      Message reply = Address(message.from);
      reply.body = Observe{};
      Send(std::move(reply), Everything());
    }
    return;
  }
  if (lost_) {
    if (!IsFromLeader(message)) return;
    lost_ = false;
  }
  if (!CheckTerm(message)) return;
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    StepVoteRequest(message, *request);
  } else if (const auto* reply = std::get_if<VoteReply>(&message.body)) {
    StepVoteReply(message, *reply);
  } else if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    StepAppend(message, *append);
  } else if (const auto* accepted = std::get_if<AppendAccepted>(&message.body)) {
    StepAccepted(message, *accepted);
  } else if (const auto* rejected = std::get_if<AppendRejected>(&message.body)) {
    StepRejected(message, *rejected);
  } else if (const auto* install = std::get_if<InstallSnapshot>(&message.body)) {
    StepInstall(message, *install);
  } else if (std::holds_alternative<TimeoutNow>(message.body)) {
    StepTimeoutNow(message);
  } else {
    StepObserve(message);
  }
}

void RaftCore::Persisted(WriteId id) {
  MR_CHECK(id == last_write_);
  MR_CHECK(id > persisted_);
  persisted_ = id;
  write_ticks_ = 0;
  log_.WriteDone();
  if (role_ == Role::kLeader) AdvanceCommit();
}

std::expected<RaftIndex, Refusal> RaftCore::Propose(Data data) {
  if (role_ != Role::kLeader) return std::unexpected(Refusal::kNotLeader);
  if (transfer_to_.has_value()) return std::unexpected(Refusal::kTransferring);
  // At least one, however large.
  if (uncommitted_bytes_ > 0 &&
      uncommitted_bytes_ + data->size() > options_.uncommitted_bytes_max) {
    return std::unexpected(Refusal::kBusy);
  }
  return AppendOwn(std::move(data));
}

void RaftCore::Compact(const SnapshotMeta& meta) {
  if (log_.Matches(meta.index, meta.term))
    log_.Compact(meta, options_.entries_kept, options_.bytes_kept);
}

std::optional<SnapshotMeta> RaftCore::DescribeApplied() const {
  if (restore_.has_value()) return std::nullopt;
  return SnapshotMeta{log_.applied(), *log_.TermAt(log_.applied()), log_.VotersAt(log_.applied())};
}

bool RaftCore::HasWrite() const {
  return hard_state_dirty_ || install_.has_value() || log_.has_unwritten();
}

WriteId RaftCore::Everything() const {
  return HasWrite() ? WriteId(last_write_.value() + 1) : last_write_;
}

void RaftCore::SetTermAndVote(RaftTerm term, std::optional<ReplicaKey> vote) {
  hard_state_.term = term;
  hard_state_.vote = vote;
  hard_state_dirty_ = true;
  hard_state_write_ = Everything();
}

Message RaftCore::Address(const ReplicaKey& to) const {
  return {self_, to.id, to.directory, hard_state_.term, {}};
}

Message RaftCore::AddressVoter(BrokerId id, const Voter& voter) const {
  return {self_, id, voter.directory, hard_state_.term, {}};
}

void RaftCore::Send(Message message, WriteId after) {
  message.term = hard_state_.term;
  held_.push_back({after, std::move(message)});
}

Output RaftCore::Take() {
  Output output;
  if (HasWrite() && last_write_ == persisted_) {
    last_write_ = WriteId(last_write_.value() + 1);
    Write& write = output.write.emplace(Write{last_write_, {}, {}, {}, {}, {}});
    hard_state_.commit = std::max(hard_state_.commit, log_.commit());
    write.hard_state = hard_state_;
    hard_state_dirty_ = false;
    write.install = std::exchange(install_, std::nullopt);
    log_.FillWrite(&write);
  }
  // What waits for a write keeps its place; what does not, goes past it.
  std::vector<Held> waiting;
  for (Held& held : held_) {
    if (held.after <= persisted_) {
      output.messages.push_back(std::move(held.message));
    } else {
      waiting.push_back(std::move(held));
    }
  }
  held_ = std::move(waiting);
  if (restore_.has_value() && restore_->after <= persisted_) {
    output.restore = std::move(restore_->snapshot);
    restore_.reset();
  }
  if (!restore_.has_value()) output.committed = log_.TakeCommitted();
  const RoleChange now{role_, hard_state_.term, leader_};
  // To be leader in a term that could be forgotten is not to be one.
  const bool may_say = role_ != Role::kLeader || hard_state_write_ <= persisted_;
  if (may_say && said_ != now) {
    said_ = now;
    output.role = now;
  }
  return output;
}

}  // namespace millrace::raft

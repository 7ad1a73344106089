// RaftCore: replication and commit (the Raft paper §5.3, §5.4.2, §7; thesis §6.2, §10.2.1).
#include <algorithm>
#include <functional>

#include "common/check.h"
#include "controller/raft/raft_core.h"

namespace millrace::raft {

void RaftCore::TickLeader() {
  if (elapsed_ >= options_.election_ticks) {
    elapsed_ = 0;
    transfer_to_.reset();  // It had its time.
    CheckQuorum();
    if (role_ != Role::kLeader) return;
  }
  CheckDisk();
  if (role_ != Role::kLeader) return;
  if (++heartbeat_elapsed_ < options_.heartbeat_ticks) return;
  heartbeat_elapsed_ = 0;
  for (auto& [key, peer] : peers_) Heartbeat(key, peer);
}

void RaftCore::CheckQuorum() {
  size_t heard = IsVoter() ? 1 : 0;
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    const bool votes = voters().Contains(peer->first);
    if (votes && peer->second.active()) ++heard;
    const bool forget = peer->second.EndOfCheck() > options_.observer_checks_max && !votes;
    peer = forget ? peers_.erase(peer) : std::next(peer);
  }
  if (heard < voters().majority()) BecomeFollower(hard_state_.term, std::nullopt);
  commit_checked_ = log_.commit();
}

// Not this leader's business while nobody else is better off: without a majority beside it, its disk
// is needed, whoever leads.
void RaftCore::CheckDisk() {
  const bool stuck = log_.commit() > log_.stable() && log_.stable() == behind_at_;
  behind_ticks_ = stuck ? behind_ticks_ + 1 : 0;
  behind_at_ = log_.stable();
  if (behind_ticks_ < options_.election_ticks) return;
  if (behind_ticks_ >= 2 * options_.election_ticks) {
    BecomeFollower(hard_state_.term, std::nullopt);  // Nobody took over: silence will make them.
  } else if (!transfer_to_.has_value()) {
    (void)TransferLeadership(std::nullopt);
  }
}

void RaftCore::Heartbeat(const ReplicaKey& key, PeerProgress& peer) {
  peer.Retry();
  if (peer.MaySend(options_.flow)) {
    SendAppends(key, peer, WithoutEntries::kHeartbeat);
    return;
  }
  // Behind what is on its way (window full), or beside a snapshot: an append that can be checked
  // without the entries that are missing there.
  const bool snapshot = peer.state() == PeerProgress::State::kSnapshot;
  const RaftIndex prev = snapshot ? RaftIndex(0) : Before(peer.next());
  const std::optional<RaftTerm> prev_term = snapshot ? RaftTerm(0) : log_.TermAt(prev);
  if (!prev_term.has_value()) {
    // A full window that was never answered, and what it follows is compacted meanwhile.
    peer.StartOver();
    SendAppends(key, peer, WithoutEntries::kHeartbeat);
    return;
  }
  Message message = Address(key);
  message.body = AppendRequest{prev, *prev_term, {}, std::min(log_.commit(), peer.match())};
  Send(std::move(message), hard_state_write_);
}

RaftCore::WithoutEntries RaftCore::NewsFor(const PeerProgress& peer) const {
  return peer.commit_sent() < log_.commit() ? WithoutEntries::kCommit : WithoutEntries::kNothing;
}

void RaftCore::SendAppends(const ReplicaKey& key, PeerProgress& peer, WithoutEntries without) {
  while (peer.MaySend(options_.flow)) {
    const RaftIndex prev = Before(peer.next());
    const std::optional<RaftTerm> prev_term = log_.TermAt(prev);
    if (!prev_term.has_value()) {
      SendSnapshot(key, peer);
      return;
    }
    AppendRequest request{prev, *prev_term,
                          log_.Entries(peer.next(), options_.flow.append_bytes_max), log_.commit()};
    if (request.entries.empty() && without == WithoutEntries::kNothing) return;
    // A probe waits for its answer; where the logs meet, the next heartbeat asks whether they still do.
    request.unanswered = request.entries.empty() && without == WithoutEntries::kCommit &&
                         peer.state() == PeerProgress::State::kReplicate;
    without = WithoutEntries::kNothing;
    peer.Sent(request.entries);
    peer.SentCommit(log_.commit());
    Message message = Address(key);
    message.body = std::move(request);
    // The leader writes the same entries at the same time (thesis §10.2.1); only its term must not
    // be forgotten.
    Send(std::move(message), hard_state_write_);
  }
}

void RaftCore::SendSnapshot(const ReplicaKey& key, PeerProgress& peer) {
  peer.SnapshotStarted(log_.snapshot().index);
  Message message = Address(key);
  message.body = InstallSnapshot{{log_.snapshot(), nullptr}};
  Send(std::move(message), hard_state_write_);
}

void RaftCore::SnapshotSent(const ReplicaKey& peer, bool sent) {
  const auto found = peers_.find(peer);
  if (found != peers_.end()) found->second.SnapshotEnded(sent);
}

void RaftCore::SendToAll() {
  for (auto& [key, peer] : peers_) {
    SendAppends(key, peer, NewsFor(peer));
  }
}

RaftIndex RaftCore::AppendOwn(std::variant<Data, LeaderChange, VoterSet> payload) {
  LogEntry entry{After(log_.last_index()), hard_state_.term, std::move(payload)};
  uncommitted_bytes_ += entry.bytes();
  log_.Append(std::move(entry));
  SendToAll();
  return log_.last_index();
}

// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and
// log[N].term == currentTerm: set commitIndex = N."
void RaftCore::AdvanceCommit() {
  std::vector<RaftIndex> matches;
  if (IsVoter()) matches.push_back(log_.stable());
  for (const auto& [key, peer] : peers_) {
    if (voters().Contains(key)) matches.push_back(peer.match());
  }
  if (matches.size() < voters().majority()) return;
  std::ranges::sort(matches, std::greater());
  const RaftIndex agreed = matches[voters().majority() - 1];
  if (agreed <= log_.commit() || !log_.Matches(agreed, hard_state_.term)) return;
  const RaftIndex before = log_.commit();
  log_.CommitTo(agreed);
  for (RaftIndex at = After(before); at <= agreed && uncommitted_bytes_ > 0; at = After(at)) {
    const size_t bytes = log_.Entries(at, 0).front().bytes();
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, bytes);
  }
  SendToAll();
  StepDownWhenRemoved();
}

void RaftCore::FollowSender(const Message& message) {
  role_ = Role::kFollower;
  leader_ = message.from.id;
  votes_.clear();
  ResetElectionTimer();
}

void RaftCore::Accept(const Message& message, RaftIndex match) {
  Message reply = Address(message.from);
  reply.body = AppendAccepted{match};
  Send(std::move(reply), Everything());
}

void RaftCore::StepAppend(const Message& message, const AppendRequest& request) {
  if (role_ == Role::kLeader) {
    ++ignored_;  // Two leaders of one term: the sender is broken, or lies.
    return;
  }
  FollowSender(message);
  // What is committed here is in the leader's log too (§5.4.3), and may be compacted here.
  const RaftIndex prev = std::max(request.prev_index, log_.commit());
  if (request.prev_index > log_.commit() && !log_.Matches(request.prev_index, request.prev_term)) {
    const auto [index, term] = log_.LastOfTerm(Before(request.prev_index), request.prev_term);
    Message reply = Address(message.from);
    reply.body = AppendRejected{request.prev_index, index, term};
    Send(std::move(reply), Everything());
    return;
  }
  const auto contradicts = [this](RaftIndex index, RaftTerm term) {
    return index >= log_.start_index() && index <= log_.commit() && !log_.Matches(index, term);
  };
  bool sound = !contradicts(request.prev_index, request.prev_term);
  RaftIndex last = request.prev_index;
  RaftTerm last_term = request.prev_term;
  for (const LogEntry& entry : request.entries) {
    sound = sound && entry.index == After(last) && entry.term >= last_term &&
            entry.term <= message.term && !contradicts(entry.index, entry.term);
    last = entry.index;
    last_term = entry.term;
  }
  if (!sound) {
    ++ignored_;
    return;
  }
  for (const LogEntry& entry : request.entries) {
    if (entry.index <= prev || log_.Matches(entry.index, entry.term)) continue;
    // "If an existing entry conflicts with a new one, delete it and all that follow."
    if (entry.index <= log_.last_index()) log_.TruncateFrom(entry.index);
    log_.Append(entry);
  }
  const RaftIndex match = std::max(last, prev);
  log_.CommitTo(std::max(log_.commit(), std::min(request.commit, match)));
  if (request.unanswered && request.entries.empty()) return;
  Accept(message, match);
}

void RaftCore::StepInstall(const Message& message, const InstallSnapshot& install) {
  if (role_ == Role::kLeader) {
    ++ignored_;
    return;
  }
  FollowSender(message);
  const SnapshotMeta& meta = install.snapshot.meta;
  if (meta.index > log_.commit()) {
    if (log_.Matches(meta.index, meta.term)) {
      // "If an existing entry has the same index and term as the snapshot's last, retain."
      log_.CommitTo(meta.index);
    } else {
      log_.Reset(meta);
      install_ = install.snapshot;
      restore_ = HeldRestore{Everything(), install.snapshot};
    }
  }
  Accept(message, log_.commit());
}

void RaftCore::StepAccepted(const Message& message, const AppendAccepted& reply) {
  const auto found = peers_.find(message.from);
  if (role_ != Role::kLeader || found == peers_.end()) return;
  if (reply.match > log_.last_index()) {
    ++ignored_;
    return;
  }
  PeerProgress& peer = found->second;
  peer.Heard();
  if (peer.Accepted(reply.match)) AdvanceCommit();
  if (role_ != Role::kLeader) return;
  // Stepping down with the commit of one's own removal forgets the peers: look again.
  if (const auto again = peers_.find(message.from); again != peers_.end()) {
    SendAppends(message.from, again->second, NewsFor(again->second));
  }
  TryTransfer();
}

void RaftCore::StepRejected(const Message& message, const AppendRejected& reply) {
  const auto found = peers_.find(message.from);
  if (role_ != Role::kLeader || found == peers_.end()) return;
  PeerProgress& peer = found->second;
  peer.Heard();
  RaftIndex meet = reply.hint_index;
  if (meet >= log_.start_index()) meet = log_.LastOfTerm(meet, reply.hint_term).first;
  if (peer.Rejected(reply.prev_index, meet))
    SendAppends(message.from, peer, WithoutEntries::kHeartbeat);
}

}  // namespace millrace::raft

// RaftCore: consensus as a pure step function. Messages, ticks, proposals and reports of finished
// writes go in; what is to be written, sent and applied comes out of Take().
//
//   core.Tick(jitter);  core.Step(message);  core.Propose(data);  core.Persisted(id);
//   Output output = core.Take();   // Whenever something went in; see raft_output.h.
//
// No clock (a tick is an input), no I/O, no randomness (Tick() brings a drawn number), no unordered
// container: the same inputs give the same outputs in every process.
//
// What it keeps to, beside Figure 2 of the Raft paper:
//   pre-vote        an election is first asked about, so that a rejoining voter disturbs nobody
//                   (thesis §9.6, KIP-996)
//   stickiness      who hears from a leader neither votes nor raises its term (thesis §4.2.3)
//   check quorum    a leader that a majority does not answer steps down (thesis §6.2)
//   transfer        TimeoutNow to a voter that has everything (thesis §3.10)
//   membership      one voter at a time (thesis §4.1), not before an entry of the leader's own term
//                   is committed (Ongaro's correction of 2015), and not before the last change is
//   directory ids   a vote or a copy counts for the incarnation that the voter set names (KIP-853,
//                   voter_set.h)
//   quorum of one   leads at once: a write of its own is a majority
//   slow disk       what a majority has, but not this leader's disk for an election time after them,
//                   it cannot apply: it hands over, and stands for nothing before that disk has
//                   written
//   lost store      neither votes nor stands before it has heard a leader (RaftStart::lost)
//
// Shard:    one; not thread-safe.
// Errors:   refusals are values. Nonsense from a peer is ignored and counted (ignored()).
// Bound:    Options::uncommitted_bytes_max; a proposal beyond it is refused (kBusy).
// Source:   the Raft paper (2014), Ongaro's thesis, KIP-595, KIP-853, KIP-996. Split by concern:
//           raft_core.cc (inputs, outputs), raft_election.cc, raft_replication.cc,
//           raft_membership.cc.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/raft/peer_progress.h"
#include "controller/raft/raft_log.h"
#include "controller/raft/raft_message.h"
#include "controller/raft/raft_output.h"
#include "controller/raft/raft_types.h"

namespace millrace::raft {

struct RaftOptions {
  // Silence after which a follower asks for an election: this and up to as much again. Smaller: a
  // silent leader is replaced sooner; larger: a slow machine is not mistaken for a dead one.
  int election_ticks = 10;
  int heartbeat_ticks = 1;
  FlowOptions flow;
  // Proposed and not committed. Larger: longer bursts; smaller: less memory while there is no
  // majority.
  size_t uncommitted_bytes_max = size_t{64} << 20;
  // Entries kept behind a snapshot, so that a follower that is a little late needs none.
  int64_t entries_kept = 1000;
  size_t bytes_kept = size_t{16} << 20;  // Fewer entries, where they are large.
  // An observer that was silent for so many checks of the quorum is forgotten.
  int observer_checks_max = 10;
};

// What a replica starts from: what its store holds.
struct RaftStart {
  HardState hard_state;
  SnapshotMeta snapshot;
  std::vector<LogEntry> entries;  // Follow the snapshot without a gap.
  // controller.quorum.voters; counts only while the log names no voters.
  VoterSet static_voters;
  // Whom to ask for the log when this replica is no voter.
  std::vector<BrokerId> contacts;
  // The store is gone, and with it what was promised under another directory id. Only a leader's word
  // shows that somebody else has the log: until then nobody is voted for and nothing is stood for,
  // or replicas that all lost theirs would agree on an empty one.
  bool lost = false;
};

// What of it cannot be, or nothing: a store that lost something, or lies.
std::optional<std::string> WhatIsWrong(const RaftStart& start);

enum class Refusal {
  kNotLeader,
  kBusy,              // Too much is uncommitted.
  kTransferring,      // Leadership is on its way to another.
  kChangeInProgress,  // A change of voters is not committed yet, or nothing of this term is.
  kNotCaughtUp,       // The new voter lacks entries that were committed an election time ago.
  kDuplicateVoter,
  kUnknownVoter,
  kLastVoter,
};

class RaftCore {
 public:
  // REQUIRES: !WhatIsWrong(start). A replica whose state is wrong starts with none, under another
  // directory id: it no longer knows what it promised.
  RaftCore(const ReplicaKey& self, const RaftOptions& options, RaftStart start);

  // Time passes. `jitter` is a fresh random number; elections take their spread from it.
  void Tick(uint32_t jitter);
  void Step(Message message);
  // The write, and every earlier one, is durable.
  void Persisted(WriteId id);

  std::expected<RaftIndex, Refusal> Propose(Data data);
  std::expected<RaftIndex, Refusal> AddVoter(const ReplicaKey& key,
                                             std::vector<VoterEndpoint> endpoints);
  std::expected<RaftIndex, Refusal> RemoveVoter(const ReplicaKey& key);
  // New endpoints of a voter.
  std::expected<RaftIndex, Refusal> UpdateVoter(const ReplicaKey& key,
                                                std::vector<VoterEndpoint> endpoints);
  // Hands the leadership to `to`, or to the voter that has most. It may come to nothing: then this
  // replica goes on leading after an election time.
  std::expected<void, Refusal> TransferLeadership(std::optional<BrokerId> to);

  // The connection to a peer broke: evidence, which silence is not. A follower of it asks for an
  // election at once.
  void PeerLost(BrokerId peer);
  // Somebody else who may know the quorum, for a replica that is no voter.
  void AddContact(BrokerId id) { contacts_.insert(id); }
  // An InstallSnapshot was handed to the peer wholly, or could not be.
  void SnapshotSent(const ReplicaKey& peer, bool sent);
  // The snapshot of this replica's own state as of `meta` is durable. Older ones are ignored.
  void Compact(const SnapshotMeta& meta);

  // What is to be done now.
  Output Take();

  // The description of a snapshot of everything that was handed out so far; nothing while a
  // received snapshot is being written and is not handed out yet.
  std::optional<SnapshotMeta> DescribeApplied() const;

  const ReplicaKey& self() const { return self_; }
  Role role() const { return role_; }
  RaftTerm term() const { return hard_state_.term; }
  std::optional<BrokerId> leader() const { return leader_; }
  const RaftLog& log() const { return log_; }
  const VoterSet& voters() const { return log_.voters(); }
  // The leader's view of the others, for people (DescribeQuorum).
  const std::map<ReplicaKey, PeerProgress>& peers() const { return peers_; }
  // The index of this leader's first entry: once that is applied, it knows all that was decided.
  RaftIndex term_start() const { return term_start_; }
  uint64_t ignored() const { return ignored_; }

 private:
  struct Held {
    WriteId after;
    Message message;
  };
  struct HeldRestore {
    WriteId after;
    Snapshot snapshot;
  };

  // raft_core.cc
  void Send(Message message, WriteId after);
  Message Address(const ReplicaKey& to) const;
  Message AddressVoter(BrokerId id, const Voter& voter) const;
  // The write that makes everything durable that is true now.
  WriteId Everything() const;
  bool HasWrite() const;
  void SetTermAndVote(RaftTerm term, std::optional<ReplicaKey> vote);
  bool IsVoter() const { return voters().Contains(self_); }
  // A write has been under way for an election time.
  bool DiskHangs() const { return write_ticks_ >= options_.election_ticks; }
  bool CheckTerm(const Message& message);

  // raft_election.cc
  void TickFollower();
  void ResetElectionTimer();
  // The next election begins so soon, unless a leader is heard.
  void ElectWithin(uint32_t ticks);
  bool HearsLeader() const;
  void BecomeFollower(RaftTerm term, std::optional<BrokerId> leader);
  void Campaign(bool pre, bool transfer);
  void CountVotes();
  void BecomeLeader();
  void StepVoteRequest(const Message& message, const VoteRequest& request);
  void StepVoteReply(const Message& message, const VoteReply& reply);

  // raft_replication.cc
  void TickLeader();
  void CheckQuorum();
  void CheckDisk();
  void Heartbeat(const ReplicaKey& key, PeerProgress& peer);
  // What is sent where there are no entries to send.
  enum class WithoutEntries { kNothing, kCommit, kHeartbeat };
  void SendAppends(const ReplicaKey& key, PeerProgress& peer, WithoutEntries without);
  WithoutEntries NewsFor(const PeerProgress& peer) const;
  void SendSnapshot(const ReplicaKey& key, PeerProgress& peer);
  void SendToAll();
  RaftIndex AppendOwn(std::variant<Data, LeaderChange, VoterSet> payload);
  void AdvanceCommit();
  void StepAppend(const Message& message, const AppendRequest& request);
  void StepInstall(const Message& message, const InstallSnapshot& install);
  void StepAccepted(const Message& message, const AppendAccepted& reply);
  void StepRejected(const Message& message, const AppendRejected& reply);
  void Accept(const Message& message, RaftIndex match);
  void FollowSender(const Message& message);

  // raft_membership.cc
  bool MayCampaign() const;
  std::optional<Refusal> RefuseChange() const;
  std::expected<RaftIndex, Refusal> ProposeVoters(VoterSet next);
  void FollowVoters();
  void StepDownWhenRemoved();
  void StepTimeoutNow(const Message& message);
  void StepObserve(const Message& message);
  void AskToObserve();
  void TryTransfer();

  // Constant after construction.
  const ReplicaKey self_;
  const RaftOptions options_;

  // State.
  std::set<BrokerId> contacts_;
  HardState hard_state_;  // Its commit is the log's at the time of a write.
  RaftLog log_;
  Role role_ = Role::kFollower;
  bool lost_;  // RaftStart::lost, and no leader was heard since.
  std::optional<BrokerId> leader_;
  uint64_t ignored_ = 0;

  // Writes.
  WriteId persisted_{0};
  WriteId last_write_{0};
  int write_ticks_ = 0;  // So long the write under way takes.
  int behind_ticks_ =
      0;  // Of a leader: so long its disk lacks what is committed, and gets no further.
  RaftIndex behind_at_{0};
  bool hard_state_dirty_ = false;
  WriteId hard_state_write_{0};  // The write with the current term and vote.
  std::optional<Snapshot> install_;
  std::optional<HeldRestore> restore_;
  std::vector<Held> held_;  // In the order of their writes.
  std::optional<RoleChange> said_;

  // Elections.
  uint32_t jitter_ = 0;
  int elapsed_ = 0;  // Ticks since the leader was heard, or the election began.
  int election_timeout_;
  std::map<BrokerId, std::pair<ReplicaKey, bool>> votes_;  // The answers by voter.

  // Leading.
  std::map<ReplicaKey, PeerProgress> peers_;  // Everyone else, observers too.
  RaftIndex term_start_{0};
  RaftIndex commit_checked_{
      0};  // What was committed at the last CheckQuorum of this term; 0: none.
  int heartbeat_elapsed_ = 0;
  size_t uncommitted_bytes_ = 0;
  std::optional<BrokerId> transfer_to_;
};

}  // namespace millrace::raft

// RaftQuorum: one replica of the metadata log: the driver around the pure core of controller/raft.
// It steps the core with ticks, messages and proposals, keeps what must be kept, sends what is to
// be sent, applies what was committed, and tells who leads.
//
//   input ──► core ──► Take() ─┬─► RaftStore: one synced batch, then Persisted()
//   (tick, message, proposal,  ├─► RaftPeers: streams to the others
//    a write's end)            ├─► CommittedEntries: in order; then proposals are answered
//                              └─► LeadershipObserver
//
// "Active" is more than leading: everything of earlier terms has been applied here too, so that a
// decision sees all that was decided before it. A quorum of one is active within its start and
// talks to nobody.
//
// Every index reaches CommittedEntries; what is the quorum's own (who leads, who votes) as an entry
// without records.
//
// Damage: a store that lost something (RaftStore), or is gone though there was one, makes this
// replica give up its identity: it takes a new directory id, forgets everything once it has heard a
// leader, and is rebuilt from the quorum as an observer that may be made a voter again. Where there
// is nobody to rebuild from, Start() says kDataLoss.
//
// A replica that was told to join (auto_join.h) and does not vote asks the leader over its stream;
// the leader makes the change as it would for an operator, but removes nobody who still answers.
//
// Static voters (controller.quorum.voters) stay what they are named: the leader replaces the lost
// incarnation of one by its present one once that has caught up and the other is silent.
//
// Shard:      shard 0.
// Lifetime:   what is lent outlives it. The door that calls Accept() is shut before destruction;
//             Stop() must have finished.
// Errors:     as MetadataLog. kResourceExhausted: too much is uncommitted, or an entry too large.
// Durability: a proposal's OK means committed: on the disks of a majority, this one among them.
// Bound:      memory: the log since the last snapshot; see RaftQuorumOptions.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task_scope.h"
#include "controller/metadata_log.h"
#include "controller/quorum/auto_join.h"
#include "controller/quorum/raft_peers.h"
#include "controller/quorum/raft_quorum_options.h"
#include "controller/quorum/raft_store.h"
#include "controller/raft/raft_core.h"

namespace millrace {

// One replica as the leader sees it; what DescribeQuorum tells.
struct QuorumReplica {
  raft::ReplicaKey key;
  RaftIndex log_end{0};                     // Up to here it is known to have the leader's log.
  std::optional<Timestamp> last_fetch;      // When it last answered. Nothing: never.
  std::optional<Timestamp> last_caught_up;  // When it last had all that the leader had.
};

struct QuorumStatus {
  std::optional<BrokerId> leader;
  RaftTerm term{0};
  RaftIndex high_watermark{0};  // Committed, as this replica knows.
  RaftIndex log_end{0};
  raft::VoterSet voters;
  // By the leader only: everybody, itself included. Who is not among the voters observes: a
  // controller without a vote, or a broker that is fed the log.
  std::vector<QuorumReplica> replicas;
};

class RaftQuorum final : public MetadataLog, private RaftPeersUser {
 public:
  // `dialer`: null where there is nobody to talk to: a quorum of one without a controller listener.
  RaftQuorum(Env& env, KvStore& kv, StreamDialer* dialer, CommittedEntries& committed,
             RaftQuorumOptions options);
  ~RaftQuorum() override;

  // Reads the store, hands the snapshot over, and takes part from then on.
  Task<absl::Status> Start();
  // Hands the leadership over where somebody can take it, then ends everything.
  Task<void> Stop();

  // Until this node is the active controller; kDeadlineExceeded, or what failed.
  Task<absl::Status> WaitUntilActive(Instant deadline);

  // MetadataLog.
  Task<absl::StatusOr<RaftIndex>> Propose(std::vector<MetadataRecord> records) override;
  std::optional<RaftTerm> leading_term() const override { return active_term_; }
  RaftIndex next_index() const override;
  // From now on; called within this object's turns.
  void ObserveLeadership(LeadershipObserver& observer) { observers_.push_back(&observer); }
  // The connection with another replica broke, or is there (again): evidence of whether its node
  // lives.
  using PeerChange = std::function<void(BrokerId peer, bool connected)>;
  void ObservePeers(PeerChange change) { peer_change_ = std::move(change); }

  // Changes of the quorum: return when they are committed. kUnavailable with kNotController;
  // kAlreadyExists: another replica of that id votes; kNotFound: no such voter;
  // kFailedPrecondition: the last voter; kDeadlineExceeded: not caught up, or another change
  // is under way, for all that time.
  Task<absl::Status> AddVoter(raft::ReplicaKey key, std::vector<raft::VoterEndpoint> endpoints,
                              Instant deadline);
  Task<absl::Status> RemoveVoter(raft::ReplicaKey key, Instant deadline);
  Task<absl::Status> UpdateVoter(raft::ReplicaKey key, std::vector<raft::VoterEndpoint> endpoints,
                                 Instant deadline);
  // To `to`, or to the voter that has most. Begins it; it may come to nothing.
  absl::Status TransferLeadership(std::optional<BrokerId> to);

  QuorumStatus Describe() const;
  // Who else follows the log, without being a replica of the quorum: Describe() tells of them too.
  using Followers = std::function<std::vector<QuorumReplica>()>;
  void AlsoDescribe(Followers followers) { followers_ = std::move(followers); }
  std::optional<BrokerId> leader() const;
  // Where a voter listens, as the log or the configuration says; empty: not known.
  std::vector<raft::VoterEndpoint> EndpointsOf(BrokerId id) const;
  const raft::ReplicaKey& self() const { return self_; }
  RaftIndex applied() const { return applied_; }
  // This node's advertised endpoints, where they are known only after Start() (port 0).
  void SetEndpoints(std::vector<raft::VoterEndpoint> endpoints);

  // The door of kind StreamKind::kRaft (HelloCheck and StreamHandler).
  absl::StatusOr<StreamWelcome> CheckHello(const StreamHello& hello) const;
  void Accept(std::unique_ptr<MessageStream> stream);

  void RegisterMetrics(MetricRegistry& registry) const;

  // For tests and checkers.
  const raft::RaftCore& core() const { return *core_; }

 private:
  // Somebody who waits for an index of this leadership.
  struct Waiting {
    explicit Waiting(Reactor& reactor) : done(reactor) {}
    absl::Status outcome = absl::OkStatus();
    Event done;
    // Then it is done also where this node steps down with it committed and not applied here yet.
    bool changes_voters = false;
    // What was proposed, as it lies in the log; `decoded` is what it says, so that it need not be
    // read from it again.
    raft::Data bytes;
    MetadataEntry decoded{RaftTerm(0), Timestamp(0), {}};
  };
  struct Seen {
    std::optional<Timestamp> fetched;
    std::optional<Timestamp> caught_up;
    Instant heard;
    RaftIndex leader_end{0};  // When it was heard.
  };
  using Change = std::function<std::expected<RaftIndex, raft::Refusal>()>;
  using Chunks = std::move_only_function<std::optional<std::string>()>;

  // RaftPeersUser.
  void OnMessage(raft::Message message) override;
  void OnPeerLost(BrokerId peer) override;
  void OnPeerBack(BrokerId peer) override;
  void OnSnapshotSent(const raft::ReplicaKey& peer, bool sent) override;
  void OnVotersHint(const raft::VoterSet& voters) override;
  bool IsOutsider(const raft::Message& message) const;
  void OnJoinRequest(JoinRequest request) override;
  void OnJoinAnswer(BrokerId peer, JoinAnswer answer) override;
  void OnContact(BrokerId peer) override;

  Task<absl::StatusOr<RaftStore::Contents>> LoadOrFormat();
  absl::StatusOr<RaftStore::Contents> BeginAnew(const absl::Status& damage);
  Task<absl::Status> RememberStore();
  Task<absl::Status> RememberAlone();
  raft::RaftStart StartFrom(RaftStore::Contents contents) const;

  Task<void> Run();
  Task<void> TickLoop();
  Task<void> Drain();
  Task<void> DoWrite(raft::Write write);
  Task<absl::Status> WriteToStore(raft::Write write);
  absl::Status Apply(const raft::LogEntry& entry);
  // What an entry says.
  absl::StatusOr<MetadataEntry> Decoded(RaftIndex index, const raft::Data& bytes);
  void OnRole(const raft::RoleChange& role);
  void UpdateActive();
  void EndWaiting(const absl::Status& why);
  // Who waits for what was proposed in `term`, in which this node led.
  void EndLeadership(RaftTerm term);
  void Fail(absl::Status why);
  void Wake() { wake_.Set(); }

  void SnapshotMaybe();
  Task<void> TakeSnapshot(raft::SnapshotMeta meta, Chunks chunks);

  // Until what `waiting` stands for is committed and applied. Borrowed: awaited in place.
  Task<absl::Status> Committed(RaftIndex index, Waiting& waiting);
  Task<absl::Status> DoChange(Change change, Instant deadline);
  void FollowVoters();
  // What a leader does of its own accord, one step at a time.
  void KeepHouse();
  void ReplaceLostVoters();
  bool HeardLately(const raft::ReplicaKey& key) const;
  void JoinMaybe();
  void TakeJoin(AutoJoin::Output output);
  Task<void> AnswerJoin(JoinRequest request);
  Task<absl::Status> DoJoin(JoinRequest request);
  void NoteAnswer(const raft::Message& message);

  // Constant after construction.
  RaftQuorumOptions options_;
  // Borrowed.
  Env& env_;
  StreamDialer* const dialer_;
  CommittedEntries& committed_;
  std::vector<LeadershipObserver*> observers_;
  PeerChange peer_change_;
  Followers followers_;
  // Owned.
  RaftStore store_;
  raft::ReplicaKey self_;
  // Who this replica is from now on, where its store does not say so yet (Damage, above).
  std::optional<DirectoryId> anew_;
  bool store_remembered_ = false;
  std::optional<bool> alone_remembered_;
  std::unique_ptr<raft::RaftCore> core_;
  std::unique_ptr<RaftPeers> peers_;
  // State.
  bool leading_ = false;  // Said by the core: its term is durable.
  RaftTerm leading_in_{0};
  std::optional<RaftTerm> active_term_;
  RaftIndex applied_{0};
  std::map<RaftIndex, Waiting*> waiting_;
  absl::Status failed_;
  raft::VoterSet known_voters_;  // The set whose addresses the peers were given.
  raft::VoterSet hinted_voters_;
  std::map<raft::ReplicaKey, Seen> seen_;
  bool snapshotting_ = false;
  int64_t bytes_since_snapshot_ = 0;
  Instant snapshot_at_;  // When the last one was taken, or this process began.
  int ticks_to_house_ = 0;
  std::optional<AutoJoin> join_;  // Of a replica that was told to.
  std::set<BrokerId> joining_;    // Whose request is being decided: one at a time of each.
  // Metrics.
  Counter elections_;
  Histogram election_time_;
  Histogram commit_time_;
  std::optional<Instant> leaderless_since_;
  int64_t snapshot_bytes_ = 0;

  Event wake_;
  Event role_changed_;
  Gate gate_;
  TaskScope scope_;
};

}  // namespace millrace

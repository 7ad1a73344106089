#include "controller/quorum/raft_quorum.h"

#include <fmt/format.h>

#include <algorithm>
#include <expected>
#include <initializer_list>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/image/same_entry.h"

namespace millrace {
namespace {

using raft::Refusal;

// Entries applied in one go before others on the shard have their turn.
constexpr int kAppliedPerTurn = 64;
// A quorum of one that nobody observes has nothing to tell anybody.
constexpr int kLonelyTicks = 25;
// Appended while a snapshot is written: then it does not take its time any more.
constexpr int64_t kHurryBytes = int64_t{64} << 20;

absl::Status NotController(std::string why) {
  return MakeError(ErrorKind::kNotController, std::move(why));
}

absl::Status ToStatus(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotLeader:
      return NotController("this node is not the active controller");
    case Refusal::kBusy:
      return absl::ResourceExhaustedError("too much metadata waits for a majority of controllers");
    case Refusal::kTransferring:
      return NotController("the active controller hands over to another");
    case Refusal::kChangeInProgress:
      return absl::DeadlineExceededError("another change of the voters is not committed yet");
    case Refusal::kNotCaughtUp:
      return absl::DeadlineExceededError("the new voter does not have the metadata log yet");
    case Refusal::kDuplicateVoter:
      return absl::AlreadyExistsError("a replica of this id is a voter already");
    case Refusal::kUnknownVoter:
      return absl::NotFoundError("no such voter");
    case Refusal::kLastVoter:
      return absl::FailedPreconditionError("the last voter cannot be removed");
  }
  return absl::InternalError("an unknown refusal");
}

// What passes by itself.
bool MayPass(Refusal refusal) {
  return refusal == Refusal::kNotCaughtUp || refusal == Refusal::kChangeInProgress;
}

raft::RaftOptions CoreOptions(const RaftQuorumOptions& options) {
  raft::RaftOptions core;
  core.election_ticks = std::max(static_cast<int>(options.election_timeout / options.tick), 2);
  core.heartbeat_ticks = std::max(static_cast<int>(options.heartbeat / options.tick), 1);
  core.uncommitted_bytes_max = options.uncommitted_bytes_max;
  core.entries_kept = options.entries_kept;
  return core;
}

}  // namespace

RaftQuorum::RaftQuorum(Env& env, KvStore& kv, StreamDialer* dialer, CommittedEntries& committed,
                       RaftQuorumOptions options)
    : options_(std::move(options)),
      env_(env),
      dialer_(dialer),
      committed_(committed),
      store_(kv),
      self_{options_.node_id, options_.directory},
      snapshot_at_(env.reactor.Now()),
      wake_(env.reactor),
      role_changed_(env.reactor),
      gate_(env.reactor),
      scope_(env.reactor) {}

RaftQuorum::~RaftQuorum() = default;

// --- Start and stop ------------------------------------------------------------------------------

Task<absl::Status> RaftQuorum::Start() {
  MR_CO_RETURN_IF_ERROR(options_.Validate());
  auto contents = co_await LoadOrFormat();
  if (!contents.ok()) co_return contents.status();
  self_.directory = contents->directory;
  if (contents->snapshot.data != nullptr) {
    MR_CO_RETURN_IF_ERROR(
        committed_.OnSnapshot(contents->snapshot.meta.index, *contents->snapshot.data));
    applied_ = contents->snapshot.meta.index;
    contents->snapshot.data.reset();
  }
  const RaftIndex snapshot = contents->snapshot.meta.index;
  const size_t entries = contents->entries.size();
  core_ = std::make_unique<raft::RaftCore>(self_, CoreOptions(options_),
                                           StartFrom(*std::move(contents)));
  env_.logger.Info("quorum: replica {} ({}) starts in term {} with a snapshot of {} and {} entries",
                   self_.id, self_.directory, core_->term(), snapshot, entries);
  if (dialer_ != nullptr) {
    RaftPeersUser& user = *this;
    peers_ = std::make_unique<RaftPeers>(env_, *dialer_, store_, user, self_, options_.cluster_id,
                                         options_.peers);
  }
  leaderless_since_ = env_.reactor.Now();
  if (options_.auto_join && peers_ != nullptr) join_.emplace(self_, AutoJoinOptions());
  FollowVoters();
  scope_.Spawn(Run());
  scope_.Spawn(TickLoop());
  Wake();
  co_return absl::OkStatus();
}

Task<void> RaftQuorum::Stop() {
  if (core_ != nullptr && leading_ && core_->voters().size() > 1 && failed_.ok() &&
      core_->TransferLeadership(std::nullopt).has_value()) {
    Wake();
    const Instant deadline = env_.reactor.Now() + options_.hand_over;
    while (leading_ && failed_.ok() &&
           co_await role_changed_.Wait(deadline) == WaitResult::kSignalled) {
    }
  }
  leading_ = false;
  UpdateActive();
  EndWaiting(absl::CancelledError("the controller is stopping"));
  if (peers_ != nullptr) co_await peers_->Stop();
  co_await scope_.Stop();
  EndWaiting(absl::CancelledError("the controller is stopping"));
  role_changed_.Pulse();
  co_await gate_.Close();
}

void RaftQuorum::Fail(absl::Status why) {
  if (!failed_.ok()) return;
  failed_ = std::move(why);
  env_.logger.Error("quorum: replica {} cannot go on: {}", self_.id,
                    std::string(failed_.message()));
  leading_ = false;
  UpdateActive();
  EndWaiting(failed_);
  role_changed_.Pulse();
  if (options_.on_failure) options_.on_failure(failed_);
}

// --- The loop ------------------------------------------------------------------------------------

Task<void> RaftQuorum::Run() {
  while (!scope_.stopping() && failed_.ok()) {
    (void)co_await wake_.Wait(std::nullopt, scope_.token());
    wake_.Reset();
    if (!scope_.stopping()) co_await Drain();
  }
}

Task<void> RaftQuorum::TickLoop() {
  int lonely = 0;
  while (!scope_.stopping() && failed_.ok()) {
    const bool alone = leading_ && core_->voters().size() == 1 && core_->peers().empty();
    lonely = alone ? lonely + 1 : 0;
    // Two ticks in company first: what just came up is dealt with at once.
    const int ticks = lonely > 2 ? kLonelyTicks : 1;
    (void)co_await Sleep(env_.reactor, ticks * options_.tick, scope_.token());
    if (scope_.stopping() || !failed_.ok()) co_return;
    core_->Tick(static_cast<uint32_t>(env_.random.Next()));
    KeepHouse();
    JoinMaybe();
    Wake();
  }
}

// One round: everything that the inputs since the last one led to.
Task<void> RaftQuorum::Drain() {
  raft::Output output = core_->Take();
  if (output.write.has_value()) scope_.Spawn(DoWrite(*std::move(output.write)));
  for (raft::Message& message : output.messages) {
    if (peers_ != nullptr) peers_->Send(std::move(message));
  }
  if (output.restore.has_value()) {
    const raft::Snapshot& snapshot = *output.restore;
    env_.logger.Info("quorum: replica {} takes the snapshot of {}", self_.id, snapshot.meta.index);
    const absl::Status restored = committed_.OnSnapshot(snapshot.meta.index, *snapshot.data);
    if (!restored.ok()) {
      Fail(restored);
      co_return;
    }
    applied_ = snapshot.meta.index;
    bytes_since_snapshot_ = 0;
    snapshot_at_ = env_.reactor.Now();
  }
  int since_yield = 0;
  for (const raft::LogEntry& entry : output.committed) {
    if (const absl::Status applied = Apply(entry); !applied.ok()) {
      Fail(absl::Status(applied.code(), fmt::format("entry {} of the metadata log: {}", entry.index,
                                                    std::string(applied.message()))));
      co_return;
    }
    if (++since_yield < kAppliedPerTurn) continue;
    since_yield = 0;
    co_await Yield(env_.reactor);
    if (scope_.stopping() || !failed_.ok()) co_return;
  }
  if (output.role.has_value()) OnRole(*output.role);
  UpdateActive();
  FollowVoters();
  SnapshotMaybe();
}

Task<void> RaftQuorum::DoWrite(raft::Write write) {
  const raft::WriteId id = write.id;
  absl::Status written;
  if (write.hard_state.term > RaftTerm(0)) written = co_await RememberStore();
  if (written.ok()) written = co_await WriteToStore(std::move(write));
  if (!failed_.ok()) co_return;
  if (!written.ok()) {
    // What reached the disk is not known: nothing may be promised any more.
    Fail(written);
    co_return;
  }
  core_->Persisted(id);
  Wake();
}

absl::StatusOr<MetadataEntry> RaftQuorum::Decoded(RaftIndex index, const raft::Data& bytes) {
  const auto proposed = waiting_.find(index);
  // Another leader's entry may have the index of one that was proposed here, but not its bytes.
  if (proposed != waiting_.end() && proposed->second->bytes == bytes) {
    return std::move(proposed->second->decoded);
  }
  return DecodeEntry(*bytes);
}

absl::Status RaftQuorum::Apply(const raft::LogEntry& entry) {
  if (const auto* data = std::get_if<raft::Data>(&entry.payload)) {
    MR_ASSIGN_OR_RETURN(const MetadataEntry decoded, Decoded(entry.index, *data));
    MR_RETURN_IF_ERROR(committed_.OnCommitted(entry.index, decoded));
    bytes_since_snapshot_ += static_cast<int64_t>((*data)->size());
  } else {
    MR_RETURN_IF_ERROR(committed_.OnCommitted(entry.index, {entry.term, Timestamp(0), {}}));
  }
  applied_ = entry.index;
  if (const auto found = waiting_.find(entry.index); found != waiting_.end()) {
    found->second->done.Set();
    waiting_.erase(found);
  }
  return absl::OkStatus();
}

void RaftQuorum::OnRole(const raft::RoleChange& role) {
  const bool leads = role.role == raft::Role::kLeader;
  if (leading_ && (!leads || role.term != leading_in_)) {
    leading_ = false;
    UpdateActive();
    EndLeadership(leading_in_);
  }
  if (role.role == raft::Role::kCandidate) elections_.Add();
  if (leads && !leading_) {
    leading_ = true;
    leading_in_ = role.term;
    seen_.clear();
    ticks_to_house_ = 0;
  }
  const Instant now = env_.reactor.Now();
  if (!role.leader.has_value()) {
    if (!leaderless_since_.has_value()) leaderless_since_ = now;
  } else if (leaderless_since_.has_value()) {
    election_time_.Observe(now - *leaderless_since_);
    leaderless_since_.reset();
    env_.logger.Info("quorum: replica {}: controller {} leads term {}", self_.id, *role.leader,
                     role.term);
  }
  role_changed_.Pulse();
}

// Active: leading, and everything that was decided in earlier terms is applied.
void RaftQuorum::UpdateActive() {
  std::optional<RaftTerm> active;
  if (leading_ && core_->role() == raft::Role::kLeader && core_->term() == leading_in_ &&
      applied_ >= core_->term_start()) {
    active = leading_in_;
  } else if (leading_ && active_term_ == leading_in_) {
    active = active_term_;  // The core steps down first and says so in its next output.
  }
  if (active == active_term_) return;
  active_term_ = active;
  if (active.has_value()) {
    env_.logger.Info("quorum: replica {} is the active controller of term {}, at index {}",
                     self_.id, *active, applied_);
  }
  for (LeadershipObserver* observer : observers_) observer->OnLeadership(active);
  role_changed_.Pulse();
}

void RaftQuorum::EndWaiting(const absl::Status& why) {
  for (const auto& [index, waiting] : std::exchange(waiting_, {})) {
    waiting->outcome = why;
    waiting->done.Set();
  }
}

// A change of voters is done when it is committed: whoever removes the active controller is told
// that it was removed, though it stepped down before its own disk had that, too. The term tells: an
// entry of another is not what was proposed.
void RaftQuorum::EndLeadership(RaftTerm term) {
  for (const auto& [index, waiting] : std::exchange(waiting_, {})) {
    const bool committed = index <= core_->log().commit() && core_->log().Matches(index, term);
    if (!waiting->changes_voters || !committed) {
      waiting->outcome =
          NotController("the leadership was lost; whether the change will be is not known");
    }
    waiting->done.Set();
  }
}

Task<absl::Status> RaftQuorum::WaitUntilActive(Instant deadline) {
  const Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the controller is stopping");
  while (!active_term_.has_value()) {
    if (!failed_.ok()) co_return failed_;
    if (scope_.stopping()) co_return absl::CancelledError("the controller is stopping");
    if (co_await role_changed_.Wait(deadline) == WaitResult::kTimedOut) {
      co_return absl::DeadlineExceededError("this node did not become the active controller");
    }
  }
  co_return absl::OkStatus();
}

// --- Proposals -----------------------------------------------------------------------------------

RaftIndex RaftQuorum::next_index() const { return raft::After(core_->log().last_index()); }

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> RaftQuorum::Committed(RaftIndex index, Waiting& waiting) {
  waiting_.emplace(index, &waiting);
  Wake();
  (void)co_await waiting.done.Wait();
  co_return waiting.outcome;
}

Task<absl::StatusOr<RaftIndex>> RaftQuorum::Propose(std::vector<MetadataRecord> records) {
  const Gate::Holder hold = gate_.TryEnter();
  if (!hold || scope_.stopping()) co_return absl::CancelledError("the controller is stopping");
  if (!failed_.ok()) co_return failed_;
  if (!active_term_.has_value()) co_return ToStatus(Refusal::kNotLeader);
  Waiting waiting(env_.reactor);
  waiting.decoded = {*active_term_, env_.clock.Now(), std::move(records)};
  waiting.bytes = std::make_shared<const std::string>(EncodeEntry(waiting.decoded));
  if (options_.rereads_proposals) {
    const auto read = DecodeEntry(*waiting.bytes);
    MR_CHECK(read.ok());
    MR_CHECK(SameEntry(*read, waiting.decoded));
  }
  if (waiting.bytes->size() > options_.entry_bytes_max) {
    co_return absl::ResourceExhaustedError(
        fmt::format("a change of {} bytes of metadata at once; at most {} are possible",
                    waiting.bytes->size(), options_.entry_bytes_max));
  }
  // Nothing was awaited yet: next_index() still is what the caller saw.
  const auto index = core_->Propose(waiting.bytes);
  if (!index.has_value()) co_return ToStatus(index.error());
  const Instant began = env_.reactor.Now();
  MR_CO_RETURN_IF_ERROR(co_await Committed(*index, waiting));
  commit_time_.Observe(env_.reactor.Now() - began);
  co_return *index;
}

Task<absl::Status> RaftQuorum::DoChange(Change change, Instant deadline) {
  const Gate::Holder hold = gate_.TryEnter();
  if (!hold || scope_.stopping()) co_return absl::CancelledError("the controller is stopping");
  for (;;) {
    if (!active_term_.has_value()) co_return ToStatus(Refusal::kNotLeader);
    const auto index = change();
    if (index.has_value()) {
      Waiting waiting(env_.reactor);
      waiting.changes_voters = true;
      co_return co_await Committed(*index, waiting);
    }
    if (!MayPass(index.error()) || env_.reactor.Now() >= deadline) {
      co_return ToStatus(index.error());
    }
    (void)co_await Sleep(env_.reactor, options_.tick, scope_.token());
    if (scope_.stopping()) co_return absl::CancelledError("the controller is stopping");
  }
}

Task<absl::Status> RaftQuorum::AddVoter(raft::ReplicaKey key,
                                        std::vector<raft::VoterEndpoint> endpoints,
                                        Instant deadline) {
  // One that has caught up and is gone would stop a small quorum, and with it the way back.
  const auto add = [this, key, endpoints]() -> std::expected<RaftIndex, raft::Refusal> {
    if (!core_->voters().Contains(key) && !HeardLately(key)) {
      return std::unexpected(raft::Refusal::kNotCaughtUp);
    }
    return core_->AddVoter(key, endpoints);
  };
  return DoChange(add, deadline);
}

Task<absl::Status> RaftQuorum::RemoveVoter(raft::ReplicaKey key, Instant deadline) {
  return DoChange([this, key] { return core_->RemoveVoter(key); }, deadline);
}

Task<absl::Status> RaftQuorum::UpdateVoter(raft::ReplicaKey key,
                                           std::vector<raft::VoterEndpoint> endpoints,
                                           Instant deadline) {
  return DoChange([this, key, endpoints] { return core_->UpdateVoter(key, endpoints); }, deadline);
}

absl::Status RaftQuorum::TransferLeadership(std::optional<BrokerId> to) {
  const auto begun = core_->TransferLeadership(to);
  Wake();
  return begun.has_value() ? absl::OkStatus() : ToStatus(begun.error());
}

// --- Snapshots -----------------------------------------------------------------------------------

void RaftQuorum::SnapshotMaybe() {
  if (snapshotting_ || core_->log().snapshot().index >= applied_) return;
  const bool large = bytes_since_snapshot_ >= options_.snapshot_bytes;
  const bool old = bytes_since_snapshot_ > 0 && options_.snapshot_interval.has_value() &&
                   env_.reactor.Now() - snapshot_at_ >= *options_.snapshot_interval;
  if (!large && !old) return;
  std::optional<raft::SnapshotMeta> meta = core_->DescribeApplied();
  // Both are of this moment: nothing that was handed out is unapplied between two rounds.
  if (!meta.has_value() || meta->index != applied_) return;
  snapshotting_ = true;
  bytes_since_snapshot_ = 0;
  scope_.Spawn(TakeSnapshot(*std::move(meta), committed_.TakeSnapshot()),
               SchedClass::kHousekeeping);
}

// What is written takes the way of the entries that are being committed: the store's queue, its log
// file, the disk, and the flushes of its tables. So it takes its time, and is encoded elsewhere.
Task<void> RaftQuorum::TakeSnapshot(raft::SnapshotMeta meta, Chunks chunks) {
  const Instant began = env_.reactor.Now();
  uint32_t pieces = 0;
  int64_t bytes = 0;
  absl::Status written;
  while (written.ok() && failed_.ok() && !scope_.stopping()) {
    std::optional<std::string> chunk =
        co_await env_.helpers.Compute<std::optional<std::string>>([&chunks] { return chunks(); });
    if (!chunk.has_value()) break;
    bytes += static_cast<int64_t>(chunk->size());
    written = co_await store_.WriteSnapshotPiece(meta.index, pieces++, *std::move(chunk));
    // The log behind it is in memory, and is cut only when this one is there.
    if (bytes_since_snapshot_ >= kHurryBytes) continue;
    const std::chrono::duration<double> share(
        static_cast<double>(bytes) / static_cast<double>(options_.snapshot_bytes_per_second));
    (void)co_await Sleep(env_.reactor, began + std::chrono::ceil<Duration>(share), scope_.token());
  }
  absl::StatusOr<bool> counts = false;
  if (!written.ok()) {
    counts = written;
  } else if (!scope_.stopping()) {
    counts = co_await store_.FinishSnapshot(meta, pieces);
  }
  snapshotting_ = false;
  if (scope_.stopping() || !failed_.ok()) co_return;
  if (!counts.ok()) {
    Fail(counts.status());
    co_return;
  }
  if (*counts) {
    core_->Compact(meta);
    snapshot_bytes_ = bytes;
    snapshot_at_ = env_.reactor.Now();
    env_.logger.Info("quorum: replica {} took a snapshot of {}: {} bytes", self_.id, meta.index,
                     bytes);
  }
  Wake();
}

// --- Peers ---------------------------------------------------------------------------------------

void RaftQuorum::NoteAnswer(const raft::Message& message) {
  const auto* accepted = std::get_if<raft::AppendAccepted>(&message.body);
  if (accepted == nullptr && !std::holds_alternative<raft::AppendRejected>(message.body)) return;
  if (core_->role() != raft::Role::kLeader || message.term != core_->term()) return;
  const Instant now = env_.reactor.Now();
  const auto [found, first] =
      seen_.try_emplace(message.from, Seen{std::nullopt, std::nullopt, now, RaftIndex(0)});
  Seen& seen = found->second;
  seen.heard = now;
  seen.fetched = env_.clock.Now();
  // All that the leader had when it answered before: it keeps up.
  if (accepted != nullptr && !first && accepted->match >= seen.leader_end) {
    seen.caught_up = seen.fetched;
  }
  seen.leader_end = core_->log().last_index();
}

// Who asks for the log, or for votes and is no voter. To be told whom to ask instead: it may go by
// voters that never came about.
//
//   1. Leader 1 of {1} adds 3 and loses power before its own log has that; 3's has.
//   2. 1 is elected by {1}, adds 2, and 2 comes to lead.
//   3. 3 goes by {1, 3} and knows no other address. It asks 1, which hears 2, for its vote, for ever.
bool RaftQuorum::IsOutsider(const raft::Message& message) const {
  if (std::holds_alternative<raft::Observe>(message.body)) return true;
  return std::holds_alternative<raft::VoteRequest>(message.body) &&
         !core_->voters().Contains(message.from);
}

void RaftQuorum::OnMessage(raft::Message message) {
  if (scope_.stopping() || !failed_.ok()) return;
  NoteAnswer(message);
  if (core_->role() != raft::Role::kLeader && !core_->voters().empty() && IsOutsider(message)) {
    peers_->SendBeside(message.from.id, VotersHint{core_->voters()});
  }
  core_->Step(std::move(message));
  Wake();
}

void RaftQuorum::OnPeerLost(BrokerId peer) {
  if (scope_.stopping() || !failed_.ok()) return;
  if (core_->leader() == peer) {
    env_.logger.Info("quorum: replica {} lost its connection to the active controller {}", self_.id,
                     peer);
  }
  core_->PeerLost(peer);
  Wake();
  if (peer_change_) peer_change_(peer, /*connected=*/false);
}

void RaftQuorum::OnPeerBack(BrokerId peer) {
  if (peer_change_) peer_change_(peer, /*connected=*/true);
}

void RaftQuorum::OnSnapshotSent(const raft::ReplicaKey& peer, bool sent) {
  if (scope_.stopping() || !failed_.ok()) return;
  core_->SnapshotSent(peer, sent);
  Wake();
}

void RaftQuorum::OnVotersHint(const raft::VoterSet& voters) {
  if (scope_.stopping() || !failed_.ok()) return;
  // It votes, and is told the log.
  if (core_->voters().Contains(self_) && core_->leader().has_value()) return;
  hinted_voters_ = voters;
  for (const auto& [id, voter] : voters.all()) core_->AddContact(id);
  known_voters_ = raft::VoterSet();
  FollowVoters();
}

void RaftQuorum::OnContact(BrokerId peer) {
  if (scope_.stopping() || !failed_.ok()) return;
  core_->AddContact(peer);
}

std::vector<raft::VoterEndpoint> RaftQuorum::EndpointsOf(BrokerId id) const {
  // What the log says counts more than what a file said when this process started.
  for (const raft::VoterSet* voters :
       {&core_->voters(), &options_.static_voters, &options_.initial_voters, &hinted_voters_}) {
    const raft::Voter* voter = voters->Find(id);
    if (voter != nullptr && !voter->endpoints.empty()) return voter->endpoints;
  }
  return {};
}

void RaftQuorum::FollowVoters() {
  if (peers_ == nullptr) return;
  const raft::VoterSet& voters = core_->voters();
  if (voters == known_voters_ && !voters.empty()) return;
  const bool first = known_voters_.empty();
  known_voters_ = voters;
  std::map<BrokerId, std::vector<SocketAddress>> addresses;
  for (const raft::VoterSet* named : std::initializer_list<const raft::VoterSet*>{
           &voters, &options_.static_voters, &options_.initial_voters, &hinted_voters_}) {
    for (const auto& [id, voter] : named->all()) {
      if (id == self_.id || addresses.contains(id)) continue;
      std::vector<SocketAddress>& at = addresses[id];
      for (const raft::VoterEndpoint& endpoint : EndpointsOf(id)) {
        const bool preferred = endpoint.listener == options_.listener;
        at.insert(preferred ? at.begin() : at.end(), SocketAddress{endpoint.host, endpoint.port});
      }
    }
  }
  if (voters.empty() && !first) return;
  peers_->SetAddresses(addresses, /*eager=*/!voters.Contains(self_));
  peers_->SetBootstrap(voters.empty() ? options_.bootstrap : std::vector<SocketAddress>());
}

absl::StatusOr<StreamWelcome> RaftQuorum::CheckHello(const StreamHello& hello) const {
  if (peers_ == nullptr || scope_.stopping() || !failed_.ok()) {
    return absl::UnavailableError("this controller takes no part in a quorum");
  }
  return peers_->Check(hello);
}

void RaftQuorum::Accept(std::unique_ptr<MessageStream> stream) {
  MR_CHECK(peers_ != nullptr);
  peers_->Accept(std::move(stream));
}

}  // namespace millrace

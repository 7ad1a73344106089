// RaftQuorum: what a leader does of its own accord to keep the voters what they should be, and how
// a replica becomes a voter by itself.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controller/quorum/raft_quorum.h"

namespace millrace {
namespace {

constexpr size_t kEndpointsMax = 32;       // Of one controller that joins.
constexpr size_t kRefusalBytesMax = 1000;  // Of what a leader says to one, for the log.

}  // namespace

void RaftQuorum::SetEndpoints(std::vector<raft::VoterEndpoint> endpoints) {
  options_.endpoints = std::move(endpoints);
}

void RaftQuorum::KeepHouse() {
  SnapshotMaybe();
  if (!active_term_.has_value() || --ticks_to_house_ > 0) return;
  ticks_to_house_ = std::max(static_cast<int>(options_.election_timeout / options_.tick), 1);
  const raft::Voter* self = core_->voters().Find(self_.id);
  if (self == nullptr) return;
  // The set enters the log, so that who joins learns it from there, and so do our own endpoints.
  const bool endpoints_changed =
      !options_.endpoints.empty() && self->endpoints != options_.endpoints;
  if (endpoints_changed || core_->log().voters_index() == RaftIndex(0)) {
    (void)core_->UpdateVoter(self_, endpoints_changed ? options_.endpoints : self->endpoints);
    return;
  }
  ReplaceLostVoters();
}

// Not peer.active(): that is of the current check of the quorum only, which may have begun a moment
// ago, and each time we look.
bool RaftQuorum::HeardLately(const raft::ReplicaKey& key) const {
  const auto seen = seen_.find(key);
  return seen != seen_.end() &&
         env_.reactor.Now() - seen->second.heard <= 2 * options_.election_timeout;
}

// A static voter that comes back without its log is another replica (its directory id differs).
// The former one is removed when it is silent and the new one is here, and the new one added when
// it has caught up: two changes, each with a majority of the set before it.
void RaftQuorum::ReplaceLostVoters() {
  for (const auto& [id, named] : options_.static_voters.all()) {
    const raft::ReplicaKey* newcomer = nullptr;
    for (const auto& [key, progress] : core_->peers()) {
      if (key.id == id && !core_->voters().Contains(key) && HeardLately(key)) newcomer = &key;
    }
    if (newcomer == nullptr) continue;
    const raft::Voter* former = core_->voters().Find(id);
    if (former == nullptr) {
      if (core_->AddVoter(*newcomer, named.endpoints).has_value()) {
        env_.logger.Info("quorum: controller {} votes again, as replica {}", id,
                         newcomer->directory);
      }
      return;
    }
    if (HeardLately({id, *former->directory})) continue;
    if (core_->RemoveVoter({id, *former->directory}).has_value()) {
      env_.logger.Info("quorum: controller {} lost its log as replica {}", id, *former->directory);
    }
    return;
  }
}

// --- Who makes itself a voter --------------------------------------------------------------------

void RaftQuorum::JoinMaybe() {
  if (!join_.has_value() || options_.endpoints.empty()) return;
  TakeJoin(join_->Next({core_->voters(), core_->leader()}, env_.reactor.Now(), env_.random.Next()));
}

void RaftQuorum::TakeJoin(AutoJoin::Output output) {
  if (!output.line.empty()) {
    env_.logger.Info("quorum: replica {} ({}) {}", self_.id, self_.directory, output.line);
  }
  if (!output.ask.has_value()) return;
  JoinRequest request{self_, output.ask->former, {}};
  if (!request.former.has_value()) request.endpoints = options_.endpoints;
  peers_->SendBeside(output.ask->leader, std::move(request));
}

void RaftQuorum::OnJoinAnswer(BrokerId peer, JoinAnswer answer) {
  if (scope_.stopping() || !failed_.ok() || !join_.has_value()) return;
  if (answer.replica != self_) return;
  answer.refusal.resize(std::min(answer.refusal.size(), kRefusalBytesMax));
  TakeJoin(join_->Answered({peer, answer.former}, answer.refusal, env_.reactor.Now(),
                           env_.random.Next()));
}

void RaftQuorum::OnJoinRequest(JoinRequest request) {
  if (scope_.stopping() || !failed_.ok()) return;
  if (!joining_.insert(request.replica.id).second) return;  // It asks again.
  scope_.Spawn(AnswerJoin(std::move(request)));
}

Task<void> RaftQuorum::AnswerJoin(JoinRequest request) {
  const absl::Status done = co_await DoJoin(request);
  joining_.erase(request.replica.id);
  if (scope_.stopping()) co_return;
  if (done.ok()) {
    env_.logger.Info(
        "quorum: controller {} has {} (auto join)", request.replica.id,
        request.former.has_value()
            ? fmt::format("removed its former replica {}", *request.former)
            : fmt::format("joined the voters as replica {}", request.replica.directory));
  }
  peers_->SendBeside(request.replica.id,
                     JoinAnswer{request.replica, request.former, std::string(done.message())});
}

Task<absl::Status> RaftQuorum::DoJoin(JoinRequest request) {
  // Well within the patience of who asks.
  const Instant deadline = env_.reactor.Now() + AutoJoinOptions().answer_max / 2;
  if (request.former.has_value()) {
    const raft::ReplicaKey former{request.replica.id, *request.former};
    // A voter that lives is not to be deposed by a second process with its id.
    if (former == request.replica || HeardLately(former)) {
      co_return absl::FailedPreconditionError(
          fmt::format("replica {} of controller {} still answers", former.directory, former.id));
    }
    const absl::Status removed = co_await RemoveVoter(former, deadline);
    // It was asked twice.
    co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }
  const bool reachable = std::ranges::any_of(request.endpoints, [this](const auto& endpoint) {
    return endpoint.listener == options_.listener && !endpoint.host.empty() && endpoint.port != 0;
  });
  if (!reachable || request.endpoints.size() > kEndpointsMax) {
    co_return absl::InvalidArgumentError(
        fmt::format("it does not say where its listener {} is reached", options_.listener));
  }
  if (core_->voters().Contains(request.replica)) co_return absl::OkStatus();
  co_return co_await AddVoter(request.replica, std::move(request.endpoints), deadline);
}

}  // namespace millrace

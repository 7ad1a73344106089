// RaftQuorum: what a leader does of its own accord to keep the voters what they should be.
#include <algorithm>
#include <utility>

#include "controller/quorum/raft_quorum.h"

namespace millrace {

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

}  // namespace millrace

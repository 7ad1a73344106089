// RaftQuorum: what people are told of it.
#include <algorithm>
#include <utility>

#include "controller/quorum/raft_quorum.h"

namespace millrace {

std::optional<BrokerId> RaftQuorum::leader() const {
  return core_ == nullptr ? std::nullopt : core_->leader();
}

QuorumStatus RaftQuorum::Describe() const {
  QuorumStatus status;
  status.leader = core_->leader();
  status.term = core_->term();
  status.high_watermark = core_->log().commit();
  status.log_end = core_->log().last_index();
  status.voters = core_->voters();
  if (!leading_) return status;
  const Timestamp now = env_.clock.Now();
  status.replicas.push_back({self_, core_->log().last_index(), now, now});
  for (const auto& [key, progress] : core_->peers()) {
    QuorumReplica replica{key, progress.match(), std::nullopt, std::nullopt};
    if (const auto seen = seen_.find(key); seen != seen_.end()) {
      replica.last_fetch = seen->second.fetched;
      replica.last_caught_up = seen->second.caught_up;
    }
    status.replicas.push_back(std::move(replica));
  }
  if (!followers_) return status;
  for (QuorumReplica& follower : followers_()) {
    // A node that has become a controller, or has been one until now, follows in two ways.
    const bool told = std::ranges::any_of(status.replicas, [&](const QuorumReplica& replica) {
      return replica.key.id == follower.key.id;
    });
    if (!told) status.replicas.push_back(std::move(follower));
  }
  return status;
}

void RaftQuorum::RegisterMetrics(MetricRegistry& registry) const {
  const auto gauge = [&](std::string name, std::string help, std::function<double()> ask) {
    registry.AddGauge({std::move(name), std::move(help)}, std::move(ask));
  };
  gauge("millrace_quorum_term", "The current term of the quorum (Kafka: current-epoch).",
        [this] { return static_cast<double>(core_->term().value()); });
  gauge("millrace_quorum_leader", "Who leads the quorum, or -1 (Kafka: current-leader).", [this] {
    return core_->leader().has_value() ? static_cast<double>(core_->leader()->value()) : -1.0;
  });
  gauge("millrace_quorum_active", "1 on the active controller (Kafka: ActiveControllerCount).",
        [this] { return active_term_.has_value() ? 1.0 : 0.0; });
  gauge("millrace_quorum_commit_index", "Committed up to here (Kafka: high-watermark).",
        [this] { return static_cast<double>(core_->log().commit().value()); });
  gauge("millrace_quorum_log_end_index", "The last entry here (Kafka: log-end-offset).",
        [this] { return static_cast<double>(core_->log().last_index().value()); });
  gauge("millrace_quorum_commit_lag", "Entries here that are not known to be committed.", [this] {
    return static_cast<double>(core_->log().last_index().value() - core_->log().commit().value());
  });
  gauge("millrace_quorum_apply_lag", "Committed entries that are not applied here yet.",
        [this] { return static_cast<double>(core_->log().commit().value() - applied_.value()); });
  gauge("millrace_quorum_voters", "Voters of the quorum (Kafka: number-of-voters).",
        [this] { return static_cast<double>(core_->voters().size()); });
  gauge("millrace_quorum_snapshot_bytes", "Size of the last snapshot of metadata taken here.",
        [this] { return static_cast<double>(snapshot_bytes_); });
  gauge(
      "millrace_quorum_snapshot_age_seconds", "Time since the last snapshot, or the start.",
      [this] { return std::chrono::duration<double>(env_.reactor.Now() - snapshot_at_).count(); });
  gauge("millrace_quorum_dropped_messages", "Messages to peers that were given up.",
        [this] { return peers_ == nullptr ? 0.0 : static_cast<double>(peers_->dropped()); });
  registry.Add({"millrace_quorum_elections_total", "Elections that this replica asked for."},
               &elections_);
  registry.Add({"millrace_quorum_election_seconds", "From losing a leader to knowing the next."},
               &election_time_);
  registry.Add({"millrace_quorum_commit_seconds", "From a proposal to its commit and application."},
               &commit_time_);
}

}  // namespace millrace

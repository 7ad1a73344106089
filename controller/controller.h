// Controller: the active controller's shell. Requests come in, pure functions decide records, the
// records are committed through the MetadataLog, and the reply is released then. What it decides on
// is the state that the log's committed entries make (metadata_state.h).
//
// Shard:    shard 0.
// Lifetime: `log` and `state` outlive it. Stop() must have finished before destruction.
// Errors:   per item in the replies; as a whole: what MetadataLog::Propose() says. kUnavailable
//           with kNotController: this node is not the active controller, or ceased to be while the
//           decision was being committed: it may or may not have been.
// Turns:    decisions are made in turns. A turn takes everybody who is waiting, decides one after
//           the other, each on what the ones before will have changed, and commits all of it as
//           one entry; whoever comes meanwhile waits for the next turn. So a decision never stands
//           on something that may not be committed, and a thousand requests cost few commits.
// Bound:    entries are bounded, by records and by bytes (turn_entries.h); a turn with more has
//           several. A decision that no entries can hold is refused with kPolicyViolation, it
//           alone. Who waits is bounded by the connections' requests in flight.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "controller/alter_partition.h"
#include "controller/broker_heartbeat.h"
#include "controller/broker_liveness.h"
#include "controller/broker_registration.h"
#include "controller/directory_assignment.h"
#include "controller/directory_grades.h"
#include "controller/feature_decisions.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_image.h"
#include "controller/leader_election.h"
#include "controller/metadata_log.h"
#include "controller/metadata_state.h"
#include "controller/reassignment.h"
#include "controller/replica_moves.h"
#include "controller/topic_decisions.h"
#include "controller/topic_settings.h"

namespace millrace {

struct ProducerIdBlock {
  int64_t first;
  int32_t size;
};

struct ControllerOptions {
  std::string cluster_id{};  // Brokers of other clusters are refused; empty: not checked.
  std::optional<BrokerId> local_broker{};  // The one in this process: it dies with the controller.
  TopicRules topics{};
  TopicSettings topic_settings{};  // Of topics without overrides.
  LivenessOptions liveness{};
  // What a new cluster begins with (KIP-584).
  int32_t metadata_version = kMetadataVersionLatest;
  FeatureLevels features{};                  // Others than the metadata version's own.
  bool balance_leaders = true;               // auto.leader.rebalance.enable.
  Duration balance_interval = seconds(300);  // leader.imbalance.check.interval.seconds.
  Duration unclean_interval = seconds(300);  // unclean.leader.election.interval.ms.
  // Of an entry's records; below what the log takes (RaftQuorumOptions::entry_bytes_max). Smaller:
  // what is very large is cut into more parts; larger: more is committed, and sent, at once.
  size_t entry_bytes_max = size_t{5} << 20;
};

// Finds out whether somebody still listens where a broker did.
class BrokerProber {
 public:
  virtual ~BrokerProber() = default;
  // Dials the broker's listener, and tells Controller::OnEvidence() the answer. May ignore a probe
  // while one of the same broker is under way.
  virtual void Probe(BrokerId id) = 0;
};

class Controller final : public LeadershipObserver, private MetadataFollower {
 public:
  Controller(Env& env, ControllerOptions options, MetadataLog& log, MetadataState& state);
  ~Controller() override;

  // Without one, nobody is dialed and only other evidence counts.
  void Attach(BrokerProber& prober) { prober_ = &prober; }

  const std::shared_ptr<const MetadataImage>& image() const { return state_.image(); }

  // Begins to do what nobody asks for: time-outs, balancing. What it is told before is kept.
  void Start();
  Task<void> Stop();
  // This node became the active controller in that term, with everything of earlier terms applied;
  // or it no longer is. Sessions and timers begin anew.
  void OnLeadership(std::optional<RaftTerm> term) override;

  // Brokers and their sessions.
  //
  // An incarnation registers when its stream to this controller opens, each time; the same one
  // again keeps its epoch and changes nothing (broker_registration.h).
  Task<absl::StatusOr<RegisteredBroker>> RegisterBroker(BrokerRegistration request);
  Task<absl::StatusOr<BrokerHeartbeatReply>> Heartbeat(BrokerHeartbeat heartbeat);
  // The stream over which that registration speaks broke.
  void OnBrokerStreamBroke(BrokerId id, BrokerEpoch epoch);
  void OnEvidence(const Evidence& evidence);
  // Forgets a broker: it leaves every ISR, and must register to come back.
  Task<absl::Status> UnregisterBroker(BrokerId id);
  // Moves all replicas away from a broker, that it may go for good; or, `undo`, lets it have new
  // ones again.
  Task<absl::StatusOr<std::vector<ReassignmentReply>>> DrainBroker(BrokerId id, bool undo);

  // What brokers ask for.
  Task<absl::StatusOr<std::vector<IsrReply>>> AlterPartition(AlterPartitionRequest request);
  Task<absl::StatusOr<std::vector<AssignDirectoryReply>>> AssignDirectories(
      AssignDirectoriesRequest request);
  // A block of producer ids that nobody else gets, across restarts too. kStaleBrokerEpoch: no
  // broker is registered so, or another incarnation of it.
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds(BrokerId broker, BrokerEpoch epoch);

  // What clients ask for.
  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only);
  Task<absl::StatusOr<std::vector<DeleteTopicReply>>> DeleteTopics(
      std::vector<DeleteTopicRequest> requests);
  Task<absl::StatusOr<std::vector<CreatePartitionsReply>>> CreatePartitions(
      std::vector<CreatePartitionsRequest> requests, bool validate_only);
  Task<absl::StatusOr<std::vector<ElectLeadersReply>>> ElectLeaders(ElectLeadersRequest request);
  Task<absl::StatusOr<std::vector<ReassignmentReply>>> AlterReassignments(
      std::vector<ReassignmentRequest> requests, bool allow_replication_factor_change);
  // As of the image of the active controller.
  absl::StatusOr<std::vector<OngoingReassignment>> ListReassignments(
      const std::optional<std::vector<ReassignmentQuery>>& query) const;
  Task<absl::Status> SetReplicationFactor(std::string topic, int32_t factor);
  Task<absl::Status> UpdateFeatures(std::vector<FeatureUpdate> updates, bool validate_only);

  // Controllers.
  Task<absl::Status> RegisterController(ControllerImage controller);
  // kNotFound when it is not registered.
  Task<absl::Status> UnregisterController(BrokerId id);

  // For decisions that are made elsewhere (configurations): `decide` looks at the image and returns
  // records; it runs in a turn, and this returns when they are committed. It keeps what it wants to
  // answer for itself, and must stay callable until then.
  using Decide = std::function<MetadataRecords(const MetadataImage&)>;
  Task<absl::Status> Commit(Decide decide);

 private:
  struct Waiting;  // A request, until its turn is over.
  // `gives_epoch`: the decision gives the entry's index away as an epoch; an entry has one such.
  Task<absl::Status> CommitInTurn(Decide decide, bool gives_epoch);
  Task<void> RunTurn();
  absl::Status CheckActive() const;

  CreateTopicDraws Draws();
  // What it says of full directories.
  void NoteGrades(const BrokerHeartbeat& heartbeat);
  Task<absl::StatusOr<BrokerHeartbeatReply>> ChangeByHeartbeat(BrokerHeartbeat heartbeat);
  SingleDecision<BrokerHeartbeatReply> Decided(const MetadataImage& image,
                                               const BrokerHeartbeat& heartbeat) const;
  // The least metadata index that a serving broker other than `id` is known to have applied.
  std::optional<RaftIndex> KnownByOthers(const MetadataImage& image, BrokerId id) const;
  void OnMetadata(std::shared_ptr<const MetadataImage> image, const MetadataDelta& delta) override;

  // A leader asks again twice a second: one line per partition and reason.
  void LogRefusals(const std::vector<IsrReply>& replies);
  // Does what `liveness_` asks for.
  void Act();
  Task<void> FenceBroker(BrokerLiveness::Fence fence);
  // What a new active controller puts in order first.
  Task<void> TakeOver(RaftTerm term);
  Task<void> KeepTime();
  // Decides every `interval`, while this node is active; `doing` is said where that fails.
  Task<void> Periodically(Duration interval, std::string_view doing, Decide decide);

  // Constant after construction.
  const ControllerOptions options_;
  // Borrowed.
  Env& env_;
  MetadataLog& log_;
  MetadataState& state_;
  BrokerProber* prober_ = nullptr;
  // State.
  BrokerLiveness liveness_;
  DirectoryGrades grades_;
  std::map<BrokerId, RaftIndex> heard_index_;     // Up to where brokers have applied the metadata.
  std::map<BrokerId, RaftIndex> shutdown_index_;  // Where those that want to go lost their leaders.
  // Why proposed ISRs were refused last, until one is not: what has been logged.
  std::map<TopicPartitionId, std::string> refused_isr_;
  std::deque<Waiting*> waiting_;
  bool deciding_ = false;
  Event turn_ended_;
  Event time_changed_;
  TaskScope scope_;
};

}  // namespace millrace

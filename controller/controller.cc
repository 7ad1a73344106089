#include "controller/controller.h"

#include <fmt/format.h>

#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/broker_changes.h"
#include "controller/turn_entries.h"

namespace millrace {
namespace {

constexpr int32_t kProducerIdBlockSize = 1000;  // Rule 1.51.
// Of so many partitions it is remembered that a refusal was logged; then they are logged again.
constexpr size_t kRefusalsMax = 10'000;

std::vector<BrokerLiveness::Known> KnownBrokers(const MetadataImage& image,
                                                std::optional<BrokerId> local) {
  std::vector<BrokerLiveness::Known> known;
  for (const auto& [id, broker] : image.brokers()) {
    known.push_back({broker.id, broker.epoch, broker.fenced, broker.id == local});
  }
  return known;
}

}  // namespace

struct Controller::Waiting {
  Decide decide;
  bool gives_epoch;
  std::optional<absl::Status> result{};
};

Controller::Controller(Env& env, ControllerOptions options, MetadataLog& log, MetadataState& state)
    : options_(std::move(options)),
      env_(env),
      log_(log),
      state_(state),
      liveness_(options_.liveness),
      turn_ended_(env.reactor),
      time_changed_(env.reactor),
      scope_(env.reactor) {
  state_.Follow(*this);
}

Controller::~Controller() { state_.Unfollow(*this); }

void Controller::Start() {
  scope_.Spawn(KeepTime());
  if (options_.balance_leaders) {
    scope_.Spawn(Periodically(options_.balance_interval, "giving leaderships back",
                              [this](const MetadataImage& image) {
                                return DecideLeaderBalance(image, options_.topic_settings, grades_);
                              }));
  }
  // For topics where unclean elections were allowed after their partitions had lost their leaders.
  scope_.Spawn(Periodically(options_.unclean_interval, "an unclean election",
                            [this](const MetadataImage& image) {
                              return DecideLeaderless(image, options_.topic_settings);
                            }));
}

Task<void> Controller::Stop() { co_await scope_.Stop(); }

absl::Status Controller::CheckActive() const {
  if (log_.leading_term().has_value()) return absl::OkStatus();
  return MakeError(ErrorKind::kNotController, "this node is not the active controller");
}

// --- Turns ---

Task<absl::Status> Controller::Commit(Decide decide) {
  return CommitInTurn(std::move(decide), /*gives_epoch=*/false);
}

Task<absl::Status> Controller::CommitInTurn(Decide decide, bool gives_epoch) {
  Waiting mine{std::move(decide), gives_epoch};
  waiting_.push_back(&mine);
  // Whoever finds no turn under way runs the next, for all who wait.
  while (!mine.result.has_value()) {
    if (deciding_) {
      co_await turn_ended_.Wait();
    } else {
      co_await RunTurn();
    }
  }
  co_return *std::move(mine.result);
}

Task<void> Controller::RunTurn() {
  deciding_ = true;
  // Nobody is told before the turn has ended: whoever has a result may be gone in the next moment.
  struct Taken {
    Waiting* waiting;
    size_t through;  // The entries that there are behind its decision.
    absl::Status refusal;
  };
  std::vector<Taken> batch;
  TurnEntries entries(options_.entry_bytes_max);
  absl::Status status = CheckActive();
  std::shared_ptr<const MetadataImage> image = state_.image();
  while (!waiting_.empty()) {
    Waiting* next = waiting_.front();
    // Who gives an index away as an epoch begins a turn: it is that of the turn's first entry.
    if (entries.full() || (next->gives_epoch && entries.count() > 0)) break;
    waiting_.pop_front();
    Taken& taken = batch.emplace_back(next, entries.count(), absl::OkStatus());
    if (!status.ok()) continue;
    MetadataRecords more = next->decide(*image);
    if (more.empty()) continue;
    auto after = waiting_.empty() ? image : ImageAfter(*image, more);
    if (absl::Status added = entries.Add(std::move(more)); !added.ok()) {
      taken.refusal = std::move(added);  // It alone: the others go on as if it had not been.
      continue;
    }
    taken.through = entries.count();
    image = std::move(after);
  }
  const bool active = status.ok();
  size_t committed = 0;
  for (MetadataRecords& records : entries.Take()) {
    status = (co_await log_.Propose(std::move(records))).status();
    if (!status.ok()) break;
    ++committed;
  }
  // What became of entries behind one's own is no matter.
  for (const Taken& taken : batch) {
    if (!taken.refusal.ok()) {
      taken.waiting->result = taken.refusal;
    } else {
      taken.waiting->result = active && taken.through <= committed ? absl::OkStatus() : status;
    }
  }
  deciding_ = false;
  turn_ended_.Pulse();
}

// --- Being the active controller ---

void Controller::OnMetadata(std::shared_ptr<const MetadataImage> image,
                            const MetadataDelta& delta) {
  for (BrokerId id : delta.changed_brokers()) {
    const BrokerImage* broker = image->FindBroker(id);
    if (broker == nullptr) {
      liveness_.OnUnregistered(id);
      grades_.Forget(id);
      heard_index_.erase(id);
    } else {
      liveness_.OnFenced(id, broker->fenced);
    }
    if (broker == nullptr || !broker->in_controlled_shutdown) {
      shutdown_index_.erase(id);
    } else {
      shutdown_index_.try_emplace(id, *image->index());
    }
  }
}

void Controller::OnLeadership(std::optional<RaftTerm> term) {
  heard_index_.clear();
  shutdown_index_.clear();
  grades_.Clear();
  refused_isr_.clear();
  if (!term.has_value()) {
    liveness_.Deactivate();
    time_changed_.Pulse();
    return;
  }
  liveness_.Activate(KnownBrokers(*image(), options_.local_broker), env_.reactor.Now());
  // When they lost their leaderships this controller does not know, but no later than now.
  for (const auto& [id, broker] : image()->brokers()) {
    if (broker.in_controlled_shutdown && image()->index().has_value()) {
      shutdown_index_.emplace(broker.id, *image()->index());
    }
  }
  scope_.Spawn(TakeOver(*term));
  Act();
}

Task<void> Controller::TakeOver(RaftTerm term) {
  absl::Status done = co_await Commit([this](const MetadataImage& image) {
    return DecideFirstFeatures(image, options_.topic_settings, options_.metadata_version,
                               options_.features);
  });
  // The controller before may have been cut off in the middle of a large change.
  if (done.ok()) {
    done = co_await Commit([this](const MetadataImage& image) {
      return DecideLeaderless(image, options_.topic_settings);
    });
  }
  if (!done.ok()) {
    env_.logger.Warning("active controller of term {}: not everything is in order: {}", term,
                        std::string(done.message()));
  }
}

void Controller::Act() {
  BrokerLiveness::Actions actions = liveness_.TakeActions();
  for (const BrokerLiveness::Probe& probe : actions.probe) {
    if (prober_ != nullptr) prober_->Probe(probe.id);
  }
  for (BrokerLiveness::Fence& fence : actions.fence) {
    env_.logger.Warning("fencing broker {} (epoch {}): {}", fence.id, fence.epoch, fence.reason);
    scope_.Spawn(FenceBroker(std::move(fence)));
  }
  time_changed_.Pulse();
}

Task<void> Controller::FenceBroker(BrokerLiveness::Fence fence) {
  absl::Status fenced = co_await Commit([this, &fence](const MetadataImage& image) {
    const BrokerImage* broker = image.FindBroker(fence.id);
    // It may have come back, as itself or as a new incarnation, while this waited for its turn.
    const bool same = broker != nullptr && broker->epoch == fence.epoch;
    if (!same || !liveness_.IsDead(fence.id, fence.epoch)) return MetadataRecords();
    return RecordsOfFencing(image, options_.topic_settings, grades_, fence.id);
  });
  if (!fenced.ok()) {
    env_.logger.Warning("broker {} could not be fenced: {}", fence.id,
                        std::string(fenced.message()));
    liveness_.OnFencingFailed(fence.id, fence.epoch, env_.reactor.Now());
    time_changed_.Pulse();
  }
}

Task<void> Controller::KeepTime() {
  while (!scope_.stopping()) {
    (void)co_await time_changed_.Wait(liveness_.next_tick(), scope_.token());
    if (scope_.stopping()) co_return;
    const Instant now = env_.reactor.Now();
    if (now < liveness_.next_tick()) continue;
    liveness_.OnTick(now);
    Act();
  }
}

Task<void> Controller::Periodically(Duration interval, std::string_view doing, Decide decide) {
  while (!scope_.stopping()) {
    (void)co_await Sleep(env_.reactor, interval, scope_.token());
    if (scope_.stopping()) co_return;
    if (!CheckActive().ok()) continue;
    const absl::Status done = co_await Commit(decide);
    if (!done.ok()) env_.logger.Warning("{} failed: {}", doing, std::string(done.message()));
  }
}

void Controller::OnBrokerStreamBroke(BrokerId id, BrokerEpoch epoch) {
  liveness_.OnStreamBroke(id, epoch, env_.reactor.Now());
  Act();
}

void Controller::OnEvidence(const Evidence& evidence) {
  liveness_.OnEvidence(evidence, env_.reactor.Now());
  Act();
}

// --- Brokers ---

Task<absl::StatusOr<RegisteredBroker>> Controller::RegisterBroker(BrokerRegistration request) {
  absl::StatusOr<RegisteredBroker> reply = absl::UnknownError("not decided");
  absl::Status committed = co_await CommitInTurn(
      [&](const MetadataImage& image) {
        SingleDecision<RegisteredBroker> decision =
            DecideRegistration(image, options_.cluster_id, options_.topic_settings, grades_,
                               request, liveness_.session(request.id, env_.reactor.Now()),
                               BrokerEpoch(log_.next_index().value()));
        reply = std::move(decision.reply);
        return std::move(decision.records);
      },
      /*gives_epoch=*/true);
  if (!committed.ok()) co_return committed;
  if (reply.ok()) {
    liveness_.OnRegistered(request.id, reply->epoch, request.id == options_.local_broker,
                           env_.reactor.Now());
    liveness_.OnFenced(request.id, reply->fenced);
    Act();
  }
  co_return reply;
}

std::optional<RaftIndex> Controller::KnownByOthers(const MetadataImage& image, BrokerId id) const {
  std::optional<RaftIndex> least;
  for (const auto& [number, broker] : image.brokers()) {
    if (broker.id == id || !broker.active()) continue;
    auto heard = heard_index_.find(broker.id);
    const RaftIndex index = heard == heard_index_.end() ? RaftIndex(0) : heard->second;
    if (!least.has_value() || index < *least) least = index;
  }
  return least;
}

SingleDecision<BrokerHeartbeatReply> Controller::Decided(const MetadataImage& image,
                                                         const BrokerHeartbeat& heartbeat) const {
  auto shutdown = shutdown_index_.find(heartbeat.id);
  return DecideHeartbeat(
      image, options_.topic_settings, grades_, heartbeat, KnownByOthers(image, heartbeat.id),
      shutdown == shutdown_index_.end() ? std::nullopt : std::optional(shutdown->second));
}

Task<absl::StatusOr<BrokerHeartbeatReply>> Controller::Heartbeat(BrokerHeartbeat heartbeat) {
  MR_CO_RETURN_IF_ERROR(CheckActive());
  liveness_.OnHeartbeat(heartbeat.id, heartbeat.epoch, env_.reactor.Now());
  NoteGrades(heartbeat);
  SingleDecision<BrokerHeartbeatReply> decision = Decided(*image(), heartbeat);
  if (decision.reply.ok()) {
    heard_index_.insert_or_assign(heartbeat.id, heartbeat.metadata_index);
  }
  // Nearly always nothing changes, and nobody waits for anything.
  if (decision.records.empty()) {
    // One that wants something else was not asked about its directories.
    const bool looked = !heartbeat.wants_fence && !heartbeat.wants_shutdown;
    if (const auto index = image()->index(); looked && decision.reply.ok() && index.has_value()) {
      grades_.Settle(heartbeat.id, *index);
    }
    co_return std::move(decision.reply);
  }
  co_return co_await ChangeByHeartbeat(std::move(heartbeat));
}

void Controller::NoteGrades(const BrokerHeartbeat& heartbeat) {
  // Of an incarnation that has been succeeded it is no news.
  if (!CheckBrokerEpoch(*image(), heartbeat.id, heartbeat.epoch).ok()) return;
  const auto known = [broker = image()->FindBroker(heartbeat.id)](DirectoryIds ids) {
    std::erase_if(ids,
                  [broker](const DirectoryId& id) { return broker->FindDirectory(id) == nullptr; });
    return ids;
  };
  const DirectoryGrades::Change change =
      grades_.Hear(heartbeat.id, known(heartbeat.full_directories),
                   known(heartbeat.slow_directories), env_.reactor.Now());
  for (const auto& [broker, directory] : change.full) {
    env_.logger.Warning(
        "broker {}: log directory {} is full: others lead what lies in it, where they have room",
        broker, directory.ToString());
  }
  for (const auto& [broker, directory] : change.room) {
    env_.logger.Info("broker {}: log directory {} has room again", broker, directory.ToString());
  }
  for (const auto& [broker, directory] : change.slow) {
    env_.logger.Warning(
        "broker {}: log directory {} is slow: others lead what lies in it, where they are in sync "
        "and theirs is not",
        broker, directory.ToString());
  }
  for (const auto& [broker, directory] : change.steady) {
    env_.logger.Info("broker {}: log directory {} is slow no longer", broker, directory.ToString());
  }
}

Task<absl::StatusOr<BrokerHeartbeatReply>> Controller::ChangeByHeartbeat(
    BrokerHeartbeat heartbeat) {
  absl::StatusOr<BrokerHeartbeatReply> reply = absl::UnknownError("not decided");
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    SingleDecision<BrokerHeartbeatReply> decision = Decided(image, heartbeat);
    reply = std::move(decision.reply);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return reply;
}

Task<absl::Status> Controller::UnregisterBroker(BrokerId id) {
  absl::Status refused;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    if (image.FindBroker(id) == nullptr) {
      refused = MakeError(ErrorKind::kBrokerIdNotRegistered,
                          fmt::format("Broker ID {} is not currently registered", id));
      return MetadataRecords();
    }
    return RecordsOfUnregistering(image, options_.topic_settings, grades_, id);
  });
  co_return committed.ok() ? refused : committed;
}

Task<absl::StatusOr<std::vector<ReassignmentReply>>> Controller::DrainBroker(BrokerId id,
                                                                             bool undo) {
  absl::StatusOr<std::vector<ReassignmentReply>> reply = absl::UnknownError("not decided");
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideDrain(image, options_.topic_settings, id, undo);
    reply = std::move(decision.reply);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return reply;
}

Task<absl::StatusOr<std::vector<IsrReply>>> Controller::AlterPartition(
    AlterPartitionRequest request) {
  absl::StatusOr<std::vector<IsrReply>> reply = absl::UnknownError("not decided");
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideAlterPartition(image, options_.topic_settings, grades_, request);
    reply = std::move(decision.reply);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  if (reply.ok()) LogRefusals(*reply);
  co_return reply;
}

void Controller::LogRefusals(const std::vector<IsrReply>& replies) {
  for (const IsrReply& reply : replies) {
    if (KindOf(reply.status) != ErrorKind::kIneligibleReplica) {
      refused_isr_.erase(reply.partition);
      continue;
    }
    std::string why(reply.status.message());
    if (refused_isr_.size() >= kRefusalsMax) refused_isr_.clear();
    std::string& before = refused_isr_[reply.partition];
    if (before == why) continue;
    MetadataImage::Topic topic = image()->FindTopic(reply.partition.topic_id);
    env_.logger.Info("the ISR of {}-{} stays as it is: {}",
                     topic == nullptr ? std::string("?") : topic->name, reply.partition.partition,
                     why);
    before = std::move(why);
  }
}

Task<absl::StatusOr<std::vector<AssignDirectoryReply>>> Controller::AssignDirectories(
    AssignDirectoriesRequest request) {
  absl::StatusOr<std::vector<AssignDirectoryReply>> reply = absl::UnknownError("not decided");
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideDirectories(image, options_.topic_settings, request);
    reply = std::move(decision.reply);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return reply;
}

Task<absl::StatusOr<ProducerIdBlock>> Controller::AllocateProducerIds(BrokerId broker,
                                                                      BrokerEpoch epoch) {
  ProducerIdBlock block{0, kProducerIdBlockSize};
  absl::Status refused;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    MetadataRecords records;
    refused = CheckBrokerEpoch(image, broker, epoch);
    // Kafka says the same of one that is not registered at all.
    if (!refused.ok()) {
      refused = MakeError(ErrorKind::kStaleBrokerEpoch, std::string(refused.message()));
      return records;
    }
    block.first = image.next_producer_id();
    records.emplace_back(ProducerIdsRecord{block.first + block.size});
    return records;
  });
  if (!committed.ok()) co_return committed;
  if (!refused.ok()) co_return refused;
  co_return block;
}

// --- Topics and partitions ---

CreateTopicDraws Controller::Draws() {
  return {[this] {
            TopicId id = env_.random.NextUuid();
            while (image()->FindTopic(id) != nullptr) id = env_.random.NextUuid();
            return id;
          },
          [this] { return env_.random.Below(1 << 20); }};
}

Task<absl::StatusOr<std::vector<CreateTopicReply>>> Controller::CreateTopics(
    std::vector<CreateTopicRequest> requests, bool validate_only) {
  std::vector<CreateTopicReply> replies;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideCreateTopics(image, options_.topics, requests, validate_only, Draws());
    replies = std::move(decision.replies);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return replies;
}

Task<absl::StatusOr<std::vector<DeleteTopicReply>>> Controller::DeleteTopics(
    std::vector<DeleteTopicRequest> requests) {
  std::vector<DeleteTopicReply> replies;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideDeleteTopics(image, options_.topics, requests);
    replies = std::move(decision.replies);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return replies;
}

Task<absl::StatusOr<std::vector<CreatePartitionsReply>>> Controller::CreatePartitions(
    std::vector<CreatePartitionsRequest> requests, bool validate_only) {
  std::vector<CreatePartitionsReply> replies;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideCreatePartitions(image, requests, validate_only,
                                           [this] { return env_.random.Below(1 << 20); });
    replies = std::move(decision.replies);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return replies;
}

Task<absl::StatusOr<std::vector<ElectLeadersReply>>> Controller::ElectLeaders(
    ElectLeadersRequest request) {
  std::vector<ElectLeadersReply> replies;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideElections(image, options_.topic_settings, grades_, request);
    replies = std::move(decision.replies);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return replies;
}

Task<absl::StatusOr<std::vector<ReassignmentReply>>> Controller::AlterReassignments(
    std::vector<ReassignmentRequest> requests, bool allow_replication_factor_change) {
  std::vector<ReassignmentReply> replies;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    auto decision = DecideReassignments(image, options_.topic_settings, requests,
                                        allow_replication_factor_change);
    replies = std::move(decision.replies);
    return std::move(decision.records);
  });
  if (!committed.ok()) co_return committed;
  co_return replies;
}

absl::StatusOr<std::vector<OngoingReassignment>> Controller::ListReassignments(
    const std::optional<std::vector<ReassignmentQuery>>& query) const {
  MR_RETURN_IF_ERROR(CheckActive());
  return millrace::ListReassignments(*image(), query);
}

Task<absl::Status> Controller::SetReplicationFactor(std::string topic, int32_t factor) {
  absl::Status refused;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    Verdict verdict = DecideReplicationFactor(image, options_.topic_settings, topic, factor);
    refused = std::move(verdict.status);
    return std::move(verdict.records);
  });
  co_return committed.ok() ? refused : committed;
}

Task<absl::Status> Controller::UpdateFeatures(std::vector<FeatureUpdate> updates,
                                              bool validate_only) {
  absl::Status refused;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    Verdict verdict = DecideFeatures(image, options_.topic_settings, updates, validate_only);
    refused = std::move(verdict.status);
    return std::move(verdict.records);
  });
  co_return committed.ok() ? refused : committed;
}

// --- Controllers ---

Task<absl::Status> Controller::RegisterController(ControllerImage controller) {
  co_return co_await Commit([&](const MetadataImage& image) {
    MetadataRecords records;
    auto known = image.controllers().find(controller.id.value());
    if (known == image.controllers().end() || known->second != controller) {
      records.emplace_back(RegisterControllerRecord{controller});
    }
    return records;
  });
}

Task<absl::Status> Controller::UnregisterController(BrokerId id) {
  absl::Status refused;
  absl::Status committed = co_await Commit([&](const MetadataImage& image) {
    MetadataRecords records;
    if (image.controllers().contains(id.value())) {
      records.emplace_back(UnregisterControllerRecord{id});
    } else {
      refused = absl::NotFoundError(fmt::format("controller {} is not registered", id));
    }
    return records;
  });
  co_return committed.ok() ? refused : committed;
}

}  // namespace millrace

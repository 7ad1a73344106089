#include "broker/metadata_applier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "broker/coordinator/group_service.h"
#include "broker/directory_reports.h"
#include "broker/replica_repair.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "replication/replication_shard.h"

namespace millrace {
namespace {

// Opening a replica waits when it has been damaged, moved, or its log could not be made before.
constexpr int64_t kOpensAtOnceMax = 64;
// Made with one synced write. Raise: fewer of those; costs about a kilobyte each meanwhile.
constexpr size_t kLogsMadeAtOnceMax = 1024;
// Applying again what is open already never waits by itself.
constexpr size_t kTopicsPerTurn = 64;

std::vector<MetadataImage::Topic> TopicsOf(const MetadataImage& image) {
  std::vector<MetadataImage::Topic> topics;
  image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    topics.push_back(topic);
    return true;
  });
  return topics;
}

// Those of `some`, or all.
std::vector<PartitionId> PartitionsIn(const TopicImage& topic, const std::set<PartitionId>* some) {
  if (some != nullptr) return {some->begin(), some->end()};
  std::vector<PartitionId> all;
  all.reserve(topic.partitions.size());
  for (size_t p = 0; p < topic.partitions.size(); ++p) {
    all.emplace_back(static_cast<int32_t>(p));
  }
  return all;
}

PartitionAssignment AssignmentOf(const MetadataImage& image, const TopicImage& topic,
                                 PartitionId id) {
  const PartitionImage& partition = *topic.Find(id);
  PartitionAssignment assignment;
  assignment.id = {topic.topic_id, id};
  assignment.topic = topic.name;
  assignment.leader = partition.leader;
  assignment.leader_epoch = partition.leader_epoch;
  assignment.partition_epoch = partition.partition_epoch;
  assignment.replicas.reserve(partition.replicas.size());
  for (BrokerId replica : partition.replicas) {
    const BrokerImage* broker = image.FindBroker(replica);
    const bool in_isr = std::ranges::find(partition.isr, replica) != partition.isr.end();
    assignment.replicas.push_back(
        {replica, broker == nullptr ? std::nullopt : std::optional(broker->epoch), in_isr,
         broker != nullptr && broker->active(), partition.DirectoryOf(replica)});
  }
  assignment.elr.assign(partition.elr.begin(), partition.elr.end());
  assignment.recovering = partition.recovery == LeaderRecovery::kRecovering;
  return assignment;
}

}  // namespace

MetadataApplier::MetadataApplier(Env& env, BrokerId self, uint32_t shards,
                                 PartitionTable& partitions, const TopicConfigSource& configs)
    : env_(env),
      self_(self),
      shards_(shards),
      partitions_(partitions),
      configs_(configs),
      image_(std::make_shared<const MetadataImage>()),
      published_(env.reactor) {}

bool MetadataApplier::IsOurs(const TopicImage& topic, PartitionId id) const {
  const SharedList<BrokerId>& replicas = topic.Find(id)->replicas;
  return ShardOf({topic.topic_id, id}, shards_) == env_.reactor.shard() &&
         std::ranges::find(replicas, self_) != replicas.end();
}

void MetadataApplier::NoteAssigned(const TopicImage& topic, PartitionId id) {
  const DirectoryId assigned = topic.Find(id)->DirectoryOf(self_);
  const bool placed = assigned != kUnassignedDirectory && assigned != kLostDirectory &&
                      assigned != kMigratingDirectory;
  if (store_ != nullptr && placed) {
    store_->NoteAssigned({topic.topic_id, id}, topic.name, assigned);
  }
}

Task<void> MetadataApplier::OpenPartition(MetadataImage::Topic topic, PartitionId id,
                                          std::shared_ptr<const PartitionRules> rules) {
  PartitionAssignment assignment = AssignmentOf(*image_, *topic, id);
  const TopicPartitionId whole = assignment.id;
  const DirectoryId assigned = topic->Find(id)->DirectoryOf(self_);
  const RepairStep repair = NextStep(assignment, *rules);
  if (repair == RepairStep::kStartAnew && !co_await ThrowAway(topic->name, whole)) {
    failed_.insert(whole);
    co_return;
  }
  NoteAssigned(*topic, id);
  absl::Status opened = co_await partitions_.Open(std::move(assignment), std::move(rules));
  if (!opened.ok()) {
    env_.logger.Error("partition {}-{} cannot be opened: {}", topic->name, id,
                      std::string(opened.message()));
    failed_.insert(whole);
    co_return;
  }
  failed_.erase(whole);
  TellCoordinator(topic->name, whole);
  if (repair == RepairStep::kGiveUp) {
    co_await GiveUp(topic->name, whole);
  } else {
    co_await TellDirectory(whole, assigned);
  }
}

RepairStep MetadataApplier::NextStep(const PartitionAssignment& replica,
                                     const PartitionRules& rules) {
  Partition* partition = partitions_.Find(replica.id);
  const bool damaged = partition != nullptr && !partition->log().damage().empty();
  return NextRepairStep(replica, self_, rules.isr_min, damaged, given_up_.contains(replica.id));
}

Task<void> MetadataApplier::Repair(TopicPartitionId id) {
  MetadataImage::Topic topic = image_->FindTopic(id.topic_id);
  if (topic == nullptr || topic->Find(id.partition) == nullptr) co_return;
  const RepairStep repair = NextStep(AssignmentOf(*image_, *topic, id.partition), *RulesOf(*topic));
  // The rest is the metadata's to begin: OpenPartition().
  if (repair == RepairStep::kGiveUp) co_await GiveUp(topic->name, id);
}

Task<void> MetadataApplier::GiveUp(std::string topic, TopicPartitionId id) {
  if (directories_ == nullptr) co_return;
  env_.logger.Warning(
      "the replica of {}-{} is damaged and is given up, to be copied anew from its leader", topic,
      id.partition);
  given_up_.insert(id);
  co_await directories_->NoteDirectory(id, kLostDirectory);
}

Task<bool> MetadataApplier::ThrowAway(std::string topic, TopicPartitionId id) {
  given_up_.erase(id);
  // Where it was there is room again, also in a directory that is full or takes no new logs.
  if (Partition* partition = partitions_.Find(id); partition != nullptr && store_ != nullptr) {
    store_->PreferDirectory(topic, id.partition, partition->log().directory());
  }
  absl::Status removed = co_await partitions_.Remove(id, /*moved=*/true);
  TellCoordinator(topic, id);
  if (removed.ok()) {
    env_.logger.Info("the damaged replica of {}-{} is deleted, and copied anew", topic,
                     id.partition);
  } else {
    env_.logger.Error("the damaged replica of {}-{} cannot be deleted: {}", topic, id.partition,
                      std::string(removed.message()));
  }
  co_return removed.ok();
}

void MetadataApplier::TellCoordinator(const std::string& topic, TopicPartitionId id) {
  if (groups_ != nullptr && topic == kGroupsTopic) groups_->coordinators().OnPartition(id);
}

Task<void> MetadataApplier::TellDirectory(TopicPartitionId id, DirectoryId assigned) {
  if (directories_ == nullptr) co_return;
  const std::optional<DirectoryId> actual = partitions_.DirectoryOf(id);
  if (!actual.has_value() || *actual == assigned) co_return;
  given_up_.erase(id);
  co_await directories_->NoteDirectory(id, *actual);
}

void MetadataApplier::ShareThrottles(const TopicImage& topic) {
  if (replication_ == nullptr) return;
  std::set<ShardId> leading;
  std::set<ShardId> following;
  // Looked up for topics with a replica here that is not in sync: the lists may be long.
  std::optional<TopicThrottles> throttled;
  for (size_t p = 0; p < topic.partitions.size(); ++p) {
    const PartitionId id(static_cast<int32_t>(p));
    const PartitionImage& partition = *topic.Find(id);
    const bool all_in_sync = partition.isr.size() == partition.replicas.size();
    if (all_in_sync || std::ranges::find(partition.replicas, self_) == partition.replicas.end()) {
      continue;
    }
    if (!throttled.has_value()) throttled = configs_.Throttled(topic);
    if (throttled->empty()) break;
    const bool in_sync = std::ranges::find(partition.isr, self_) != partition.isr.end();
    const ShardId shard = ShardOf({topic.topic_id, id}, shards_);
    if (partition.leader == self_ && throttled->leader.Contains(id)) leading.insert(shard);
    if (!in_sync && throttled->follower.Contains(id)) following.insert(shard);
  }
  replication_->SetThrottledShards(topic.topic_id, std::move(leading), std::move(following));
}

Task<void> MetadataApplier::ApplyTopic(MetadataImage::Topic topic,
                                       std::vector<PartitionId> changed) {
  ShareThrottles(*topic);
  std::shared_ptr<const PartitionRules> rules;
  TaskScope opening(env_.reactor);
  for (PartitionId id : changed) {
    if (!IsOurs(*topic, id)) {
      if (partitions_.Hosts({topic->topic_id, id})) opening.Spawn(RemoveMoved(topic, id));
      continue;
    }
    if (rules == nullptr) rules = RulesOf(*topic);
    opening.Spawn(OpenPartition(topic, id, rules));
    if (opening.running() >= kOpensAtOnceMax) co_await opening.Join();
  }
  co_await opening.Join();
}

Task<void> MetadataApplier::MakeLogs(std::shared_ptr<const std::vector<TopicChange>> changes) {
  std::vector<NewLog> logs;
  size_t turns = 0;
  for (const TopicChange& change : *changes) {
    if (++turns % kTopicsPerTurn == 0) co_await Yield(env_.reactor);
    const TopicImage& topic = *change.topic;
    std::shared_ptr<const PartitionRules> rules;
    for (PartitionId id : change.partitions) {
      const TopicPartitionId whole{topic.topic_id, id};
      if (!IsOurs(topic, id)) continue;
      NoteAssigned(topic, id);
      if (!partitions_.LacksLog(whole)) continue;
      if (rules == nullptr) rules = RulesOf(topic);
      logs.push_back({whole, topic.name, rules->log});
      if (logs.size() == kLogsMadeAtOnceMax) {
        co_await partitions_.MakeLogs(std::exchange(logs, {}));
      }
    }
  }
  co_await partitions_.MakeLogs(std::move(logs));
}

Task<void> MetadataApplier::ApplyTopics(std::vector<TopicChange> changes) {
  auto all = std::make_shared<const std::vector<TopicChange>>(std::move(changes));
  co_await MakeLogs(all);
  size_t turns = 0;
  for (const TopicChange& change : *all) {
    co_await ApplyTopic(change.topic, change.partitions);
    if (++turns % kTopicsPerTurn == 0) co_await Yield(env_.reactor);
  }
}

std::vector<PartitionId> MetadataApplier::WithFailed(const TopicImage& topic,
                                                     std::vector<PartitionId> changed) const {
  for (auto at = failed_.lower_bound({topic.topic_id, PartitionId(0)});
       at != failed_.end() && at->topic_id == topic.topic_id; ++at) {
    if (std::ranges::find(changed, at->partition) == changed.end())
      changed.push_back(at->partition);
  }
  return changed;
}

Task<void> MetadataApplier::RemoveMoved(MetadataImage::Topic topic, PartitionId id) {
  absl::Status removed = co_await partitions_.Remove({topic->topic_id, id}, /*moved=*/true);
  TellCoordinator(topic->name, {topic->topic_id, id});
  failed_.erase({topic->topic_id, id});
  if (!removed.ok()) {
    failed_.insert({topic->topic_id, id});
    env_.logger.Error("partition {}-{}, which moved to other brokers, cannot be removed: {}",
                      topic->name, id, std::string(removed.message()));
  }
}

void MetadataApplier::ApplyBrokers(const MetadataChange& change) {
  // Whoever leads has to know who may be in the ISR, and in which incarnation. Partitions that the
  // change names hear of it anyway.
  partitions_.ForEach([&](Partition& partition) {
    if (!partition.leads() || change.Concerns(partition.id())) return;
    const auto concerned = [&](const AssignedReplica& replica) {
      return change.brokers.contains(replica.broker);
    };
    if (std::ranges::none_of(partition.assignment().replicas, concerned)) return;
    MetadataImage::Topic topic = image_->FindTopic(partition.id().topic_id);
    if (topic == nullptr || topic->Find(partition.id().partition) == nullptr) return;
    partition.ApplyBrokers(AssignmentOf(*image_, *topic, partition.id().partition));
  });
  if (replication_ == nullptr) return;
  for (BrokerId broker : change.brokers) replication_->OnBrokerChange(broker);
}

Task<void> MetadataApplier::RemoveTopic(MetadataImage::Topic topic) {
  if (replication_ != nullptr) replication_->SetThrottledShards(topic->topic_id, {}, {});
  for (size_t p = 0; p < topic->partitions.size(); ++p) {
    const TopicPartitionId id{topic->topic_id, PartitionId(static_cast<int32_t>(p))};
    absl::Status removed = co_await partitions_.Remove(id);
    failed_.erase(id);
    TellCoordinator(topic->name, id);
    if (!removed.ok()) {
      env_.logger.Error("partition {}-{} cannot be removed: {}", topic->name, p,
                        std::string(removed.message()));
    }
  }
}

void MetadataApplier::Publish(std::shared_ptr<const MetadataImage> image) {
  image_ = std::move(image);
  published_.Pulse();
}

std::shared_ptr<const PartitionRules> MetadataApplier::RulesOf(const TopicImage& topic) {
  if (!topic.configs.empty()) return configs_.Rules(*image_, topic);
  if (plain_rules_ == nullptr) plain_rules_ = configs_.Rules(*image_, topic);
  return plain_rules_;
}

Task<absl::Status> MetadataApplier::SetStraysAside(std::shared_ptr<const MetadataImage> image) {
  MetadataImage::Topic topic;  // The one before was most often of the same.
  co_return co_await partitions_.SetStraysAside([&](const TopicPartitionId& id) {
    if (topic == nullptr || topic->topic_id != id.topic_id) topic = image->FindTopic(id.topic_id);
    return topic != nullptr && topic->Find(id.partition) != nullptr && IsOurs(*topic, id.partition);
  });
}

Task<void> MetadataApplier::OpenAll(std::shared_ptr<const MetadataImage> image) {
  Publish(image);
  plain_rules_ = nullptr;
  if (store_ != nullptr) store_->SetCleaner(configs_.Cleaner(*image, shards_));
  if (replication_ != nullptr) replication_->SetThrottleRates(configs_.Throttles(*image));
  std::vector<TopicChange> all;
  for (MetadataImage::Topic& topic : TopicsOf(*image)) {
    std::vector<PartitionId> partitions = PartitionsIn(*topic, nullptr);
    all.push_back({std::move(topic), std::move(partitions)});
  }
  co_await ApplyTopics(std::move(all));
  if (replication_ == nullptr) co_return;
  for (const auto& [id, broker] : image->brokers()) replication_->OnBrokerChange(BrokerId(id));
}

Task<void> MetadataApplier::Remove(std::shared_ptr<const MetadataChange> change) {
  Publish(change->image);
  std::vector<DeletedTopic> topics;
  for (const auto& [id, topic] : change->removed) {
    co_await RemoveTopic(topic);
    topics.push_back({topic->name, id});
  }
  if (groups_ != nullptr && !topics.empty()) groups_->coordinators().OnTopicsDeleted(topics);
}

Task<void> MetadataApplier::Apply(std::shared_ptr<const MetadataChange> change) {
  Publish(change->image);
  if (change->broker_defaults || change->broker_configs.contains(self_)) {
    // Any topic may fall back on what has changed. It is rare; telling which do would not be.
    co_await OpenAll(image_);
    co_return;
  }
  if (!change->brokers.empty()) ApplyBrokers(*change);
  std::vector<TopicChange> changes;
  for (const TopicId& id : change->changed) {
    MetadataImage::Topic topic = change->image->FindTopic(id);
    if (topic == nullptr) continue;
    std::vector<PartitionId> partitions =
        WithFailed(*topic, PartitionsIn(*topic, change->PartitionsOf(id)));
    changes.push_back({std::move(topic), std::move(partitions)});
  }
  co_await ApplyTopics(std::move(changes));
}

}  // namespace millrace

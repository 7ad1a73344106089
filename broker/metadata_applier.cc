#include "broker/metadata_applier.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

// Making a log waits for several syncs of folders; the file system commits those of many at once.
constexpr int64_t kOpensAtOnceMax = 64;

}  // namespace

MetadataApplier::MetadataApplier(Env& env, BrokerId self, PartitionTable& partitions,
                                 const TopicConfigSource& configs)
    : env_(env),
      self_(self),
      partitions_(partitions),
      configs_(configs),
      changed_(env.reactor),
      scope_(env.reactor) {}

Task<void> MetadataApplier::OpenPartition(MetadataImage::Topic topic, PartitionId id,
                                          std::shared_ptr<const PartitionRules> rules) {
  const PartitionImage& partition = *topic->Find(id);
  PartitionAssignment assignment{{topic->topic_id, id},
                                 topic->name,
                                 partition.leader,
                                 partition.leader_epoch,
                                 {partition.isr.begin(), partition.isr.end()},
                                 partition.replicas.size()};
  absl::Status opened = co_await partitions_.Open(std::move(assignment), std::move(rules));
  if (!opened.ok()) {
    env_.logger.Error("partition {}-{} cannot be opened: {}", topic->name, id,
                      std::string(opened.message()));
  }
}

Task<void> MetadataApplier::ApplyTopic(MetadataImage::Topic topic) {
  std::shared_ptr<const PartitionRules> rules = configs_.Rules(*topic);
  TaskScope opening(env_.reactor);
  for (size_t p = 0; p < topic->partitions.size(); ++p) {
    const PartitionImage& partition = topic->partitions[p];
    if (std::ranges::find(partition.replicas, self_) == partition.replicas.end()) continue;
    opening.Spawn(OpenPartition(topic, PartitionId(static_cast<int32_t>(p)), rules));
    if (opening.running() >= kOpensAtOnceMax) co_await opening.Join();
  }
  co_await opening.Join();
}

Task<void> MetadataApplier::RemoveTopic(MetadataImage::Topic topic) {
  for (size_t p = 0; p < topic->partitions.size(); ++p) {
    absl::Status removed =
        co_await partitions_.Remove({topic->topic_id, PartitionId(static_cast<int32_t>(p))});
    if (!removed.ok()) {
      env_.logger.Error("partition {}-{} cannot be removed: {}", topic->name, p,
                        std::string(removed.message()));
    }
  }
}

Task<absl::Status> MetadataApplier::ApplyAll(std::shared_ptr<const MetadataImage> image) {
  std::vector<MetadataImage::Topic> topics;
  image->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    topics.push_back(topic);
    return true;
  });
  std::set<TopicPartitionId> ours;
  for (const MetadataImage::Topic& topic : topics) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      const std::vector<BrokerId>& replicas = topic->partitions[p].replicas;
      if (std::ranges::find(replicas, self_) != replicas.end()) {
        ours.emplace(topic->topic_id, PartitionId(static_cast<int32_t>(p)));
      }
    }
  }
  MR_CO_RETURN_IF_ERROR(co_await partitions_.RemoveStrays(std::move(ours)));
  for (const MetadataImage::Topic& topic : topics) co_await ApplyTopic(topic);
  applied_ = image->index();
  co_return absl::OkStatus();
}

void MetadataApplier::Start() { scope_.Spawn(Run(), SchedClass::kProduce); }

Task<void> MetadataApplier::Stop() { co_await scope_.Stop(); }

void MetadataApplier::OnMetadata(std::shared_ptr<const MetadataImage> image,
                                 const MetadataDelta& delta) {
  queue_.push_back({std::move(image), delta.changed_topics(), delta.removed_topics()});
  changed_.Pulse();
}

Task<void> MetadataApplier::Run() {
  while (!scope_.stopping()) {
    if (queue_.empty()) {
      co_await changed_.Wait(std::nullopt, scope_.token());
      continue;
    }
    Change change = std::move(queue_.front());
    queue_.pop_front();
    for (const auto& [id, topic] : change.removed) co_await RemoveTopic(topic);
    for (const TopicId& id : change.changed) {
      if (MetadataImage::Topic topic = change.image->FindTopic(id); topic != nullptr)
        co_await ApplyTopic(topic);
    }
    applied_ = change.image->index();
    changed_.Pulse();
  }
}

Task<void> MetadataApplier::Applied(RaftIndex index) {
  while ((!applied_.has_value() || *applied_ < index) && !scope_.stopping()) {
    co_await changed_.Wait(std::nullopt, scope_.token());
  }
}

}  // namespace millrace

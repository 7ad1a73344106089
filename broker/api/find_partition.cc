#include "broker/api/find_partition.h"

#include "common/error_kind.h"

namespace millrace {
namespace {

absl::StatusOr<Partition*> Find(Broker& broker, const TopicImage& topic, int32_t partition) {
  if (topic.Find(PartitionId(partition)) == nullptr) {
    return MakeError(ErrorKind::kUnknownTopicOrPartition,
                     "This server does not host this topic-partition.");
  }
  Partition* found = broker.partitions.Find({topic.topic_id, PartitionId(partition)});
  if (found == nullptr) {
    const absl::Status offline =
        broker.store.OfflineCause({topic.topic_id, PartitionId(partition)});
    if (!offline.ok()) return offline;
    return MakeError(ErrorKind::kNotLeaderOrFollower,
                     "For requests intended only for the leader, this error indicates "
                     "that the broker is not the current leader.");
  }
  return found;
}

}  // namespace

absl::StatusOr<Partition*> FindPartition(Broker& broker, const std::string& topic,
                                         int32_t partition) {
  MetadataImage::Topic found = broker.image()->FindTopic(topic);
  if (found == nullptr) {
    return MakeError(ErrorKind::kUnknownTopicOrPartition,
                     "This server does not host this topic-partition.");
  }
  return Find(broker, *found, partition);
}

absl::StatusOr<Partition*> FindPartition(Broker& broker, const TopicId& topic, int32_t partition) {
  MetadataImage::Topic found = broker.image()->FindTopic(topic);
  if (found == nullptr)
    return MakeError(ErrorKind::kUnknownTopicId, "This server does not host this topic ID.");
  return Find(broker, *found, partition);
}

}  // namespace millrace

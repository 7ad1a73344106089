#include "broker/api/find_partition.h"

#include "broker/fetch/shared_name.h"
#include "common/check.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

absl::StatusOr<TopicPartitionId> Resolve(const TopicImage& topic, int32_t partition) {
  if (topic.Find(PartitionId(partition)) == nullptr) {
    return MakeError(ErrorKind::kUnknownTopicOrPartition,
                     "This server does not host this topic-partition.");
  }
  return TopicPartitionId{topic.topic_id, PartitionId(partition)};
}

}  // namespace

absl::StatusOr<TopicPartitionId> ResolvePartition(const MetadataImage& image,
                                                  const std::string& topic, int32_t partition) {
  // What no topic is called is not looked for: that would cost as much as it is long.
  MetadataImage::Topic found;
  if (topic.size() <= kTopicNameBytesMax) found = image.FindTopic(topic);
  if (found == nullptr) {
    return MakeError(ErrorKind::kUnknownTopicOrPartition,
                     "This server does not host this topic-partition.");
  }
  return Resolve(*found, partition);
}

absl::StatusOr<TopicPartitionId> ResolvePartition(const MetadataImage& image, const TopicId& topic,
                                                  int32_t partition) {
  MetadataImage::Topic found = image.FindTopic(topic);
  if (found == nullptr)
    return MakeError(ErrorKind::kUnknownTopicId, "This server does not host this topic ID.");
  return Resolve(*found, partition);
}

absl::StatusOr<Partition*> HostedPartition(Broker& broker, const TopicPartitionId& id) {
  MR_CHECK(broker.shards.Of(id) == broker.env.reactor.shard());
  Partition* found = broker.partitions.Find(id);
  if (found == nullptr) {
    const absl::Status offline = broker.store.OfflineCause(id);
    if (!offline.ok()) return offline;
    return MakeError(ErrorKind::kNotLeaderOrFollower,
                     "For requests intended only for the leader, this error indicates "
                     "that the broker is not the current leader.");
  }
  return found;
}

}  // namespace millrace

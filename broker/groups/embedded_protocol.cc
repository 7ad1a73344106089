#include "broker/groups/embedded_protocol.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/bytes/slice.h"
#include "common/check.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

using kafka::ConsumerProtocolAssignment;
using kafka::ConsumerProtocolSubscription;

template <typename Message>
std::optional<Message> Parse(std::string_view bytes) {
  kafka::Reader reader(Slice::Copy(bytes));
  const int16_t version = reader.ReadInt16();
  if (!reader.ok() || version < 0) return std::nullopt;
  Message message;
  // What a later version adds comes behind, and is not read.
  message.Decode(reader, std::min(version, Message::kMaxVersion));
  if (!reader.ok()) return std::nullopt;
  return message;
}

template <typename TopicPartition>
PartitionList Find(const std::vector<TopicPartition>& topics, const MetadataImage& image) {
  PartitionList partitions;
  for (const TopicPartition& topic : topics) {
    const MetadataImage::Topic known = image.FindTopic(topic.topic);
    if (known == nullptr) continue;
    for (int32_t partition : topic.partitions) {
      partitions.push_back({known->topic_id, PartitionId(partition)});
    }
  }
  return SortedPartitions(std::move(partitions));
}

}  // namespace

std::optional<ConsumerProtocolSubscription> ParseSubscription(std::string_view bytes) {
  return Parse<ConsumerProtocolSubscription>(bytes);
}

std::optional<ConsumerProtocolAssignment> ParseAssignment(std::string_view bytes) {
  if (bytes.empty()) return ConsumerProtocolAssignment();
  return Parse<ConsumerProtocolAssignment>(bytes);
}

PartitionList PartitionsIn(const std::vector<ConsumerProtocolSubscription::TopicPartition>& topics,
                           const MetadataImage& image) {
  return Find(topics, image);
}

PartitionList PartitionsIn(const std::vector<ConsumerProtocolAssignment::TopicPartition>& topics,
                           const MetadataImage& image) {
  return Find(topics, image);
}

std::string FormatAssignment(const PartitionList& partitions, const MetadataImage& image,
                             std::string_view subscription) {
  kafka::Reader reader(Slice::Copy(subscription));
  const int16_t theirs = reader.ReadInt16();
  const int16_t version =
      reader.ok() ? std::clamp<int16_t>(theirs, 0, ConsumerProtocolAssignment::kMaxVersion)
                  : int16_t{0};
  ConsumerProtocolAssignment assignment;
  std::optional<TopicId> last;
  for (const TopicPartitionId& partition : partitions) {
    if (last != partition.topic_id) {
      last.reset();
      const MetadataImage::Topic topic = image.FindTopic(partition.topic_id);
      if (topic == nullptr) continue;
      assignment.assigned_partitions.emplace_back().topic = topic->name;
      last = partition.topic_id;
    }
    assignment.assigned_partitions.back().partitions.push_back(partition.partition.value());
  }
  kafka::Writer writer;
  writer.WriteInt16(version);
  assignment.Encode(writer, version);
  absl::StatusOr<Chain> bytes = std::move(writer).Finish();
  MR_CHECK(bytes.ok());  // Names of topics that exist are short enough.
  const Slice flat = bytes->Flatten();
  return std::string(reinterpret_cast<const char*>(flat.data()), flat.size());
}

}  // namespace millrace

#include "controller/image/image_snapshot.h"

#include <fmt/format.h>

#include <utility>

#include "common/status_macros.h"
#include "controller/image/metadata_delta.h"

namespace millrace {
namespace {

// What belongs to no topic.
std::deque<MetadataRecord> ClusterRecords(const MetadataImage& image) {
  std::deque<MetadataRecord> records;
  for (const auto& [name, level] : image.features()) {
    records.emplace_back(FeatureLevelRecord{name, level});
  }
  for (const auto& [id, controller] : image.controllers()) {
    records.emplace_back(RegisterControllerRecord{controller});
  }
  for (const auto& [id, broker] : image.brokers()) {
    records.emplace_back(RegisterBrokerRecord{broker});
  }
  for (const auto& [key, value] : image.broker_defaults()) {
    records.emplace_back(ConfigRecord{ConfigResource::kBroker, "", key, value});
  }
  for (const auto& [id, configs] : image.all_broker_configs()) {
    for (const auto& [key, value] : configs) {
      records.emplace_back(
          ConfigRecord{ConfigResource::kBroker, fmt::format("{}", id), key, value});
    }
  }
  for (const auto& [group_id, configs] : image.all_group_configs()) {
    for (const auto& [key, value] : configs) {
      records.emplace_back(ConfigRecord{ConfigResource::kGroup, group_id, key, value});
    }
  }
  if (image.next_producer_id() > 0) {
    records.emplace_back(ProducerIdsRecord{image.next_producer_id()});
  }
  return records;
}

}  // namespace

ImageSnapshotWriter::ImageSnapshotWriter(std::shared_ptr<const MetadataImage> image,
                                         size_t chunk_bytes_max)
    : image_(std::move(image)),
      chunk_bytes_max_(chunk_bytes_max),
      waiting_(ClusterRecords(*image_)) {}

bool ImageSnapshotWriter::TakeTopic() {
  MetadataImage::Topic next;
  const auto visit = [&](const std::string& name, const MetadataImage::Topic& topic) {
    if (name == last_topic_) return true;
    next = topic;
    return false;
  };
  image_->topics().ForEachFrom(last_topic_.value_or(std::string()), visit);
  if (next == nullptr) return false;
  last_topic_ = next->name;
  waiting_.emplace_back(TopicRecord{next->name, next->topic_id});
  for (const auto& [key, value] : next->configs) {
    waiting_.emplace_back(ConfigRecord{ConfigResource::kTopic, next->name, key, value});
  }
  for (size_t p = 0; p < next->partitions.size(); ++p) {
    waiting_.emplace_back(
        PartitionRecord{next->topic_id, PartitionId(static_cast<int32_t>(p)), next->partitions[p]});
  }
  return true;
}

std::optional<std::string> ImageSnapshotWriter::Next() {
  MetadataEntry chunk{RaftTerm(0), Timestamp(0), {}};
  size_t bytes = 0;
  while (!waiting_.empty() || TakeTopic()) {
    bytes += EncodedBytesMax(waiting_.front());
    if (!chunk.records.empty() && bytes > chunk_bytes_max_) break;
    chunk.records.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (chunk.records.empty()) return std::nullopt;
  return EncodeEntry(chunk);
}

absl::StatusOr<std::shared_ptr<const MetadataImage>> ReadImageSnapshot(
    RaftIndex index, const std::vector<std::string>& chunks) {
  MetadataDelta delta(std::make_shared<const MetadataImage>());
  for (const std::string& chunk : chunks) {
    MR_ASSIGN_OR_RETURN(const MetadataEntry entry, DecodeEntry(chunk));
    for (const MetadataRecord& record : entry.records) MR_RETURN_IF_ERROR(delta.Apply(record));
  }
  return delta.Build(index);
}

}  // namespace millrace

#include "controller/image/metadata_delta.h"

#include <fmt/format.h>

#include <utility>

namespace millrace {

MetadataDelta::MetadataDelta(std::shared_ptr<const MetadataImage> base)
    : base_(std::move(base)), next_(*base_) {}

absl::Status MetadataDelta::Apply(const MetadataRecord& record) {
  return std::visit([this](const auto& one) { return ApplyOne(one); }, record);
}

TopicImage* MetadataDelta::Touch(const TopicId& id) {
  auto found = touched_.find(id);
  if (found != touched_.end()) return found->second.get();
  MetadataImage::Topic topic = next_.FindTopic(id);
  if (topic == nullptr) return nullptr;
  changed_topics_.insert(id);
  return touched_.emplace(id, std::make_shared<TopicImage>(*topic)).first->second.get();
}

absl::Status MetadataDelta::ApplyOne(const TopicRecord& record) {
  if (next_.FindTopic(record.name) != nullptr || Touch(record.topic_id) != nullptr) {
    return absl::DataLossError(
        fmt::format("topic {} ({}) is created twice", record.name, record.topic_id));
  }
  auto topic = std::make_shared<TopicImage>();
  topic->name = record.name;
  topic->topic_id = record.topic_id;
  touched_.emplace(record.topic_id, topic);
  changed_topics_.insert(record.topic_id);
  // Registered empty at once, so that later records of this delta find the name; Build() puts the
  // final state.
  next_.topics_ = next_.topics_.With(record.name, topic);
  next_.topics_by_id_ = next_.topics_by_id_.With(record.topic_id, topic);
  next_.names_by_metric_ = next_.names_by_metric_.With(MetricName(record.name), record.name);
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const RemoveTopicRecord& record) {
  TopicImage* topic = Touch(record.topic_id);
  if (topic == nullptr) {
    return absl::DataLossError(fmt::format("topic {} is removed but not known", record.topic_id));
  }
  if (MetadataImage::Topic before = base_->FindTopic(record.topic_id); before != nullptr) {
    removed_topics_.emplace(record.topic_id, std::move(before));
  }
  next_.partition_count_ -= topic->partitions.size();
  next_.topics_ = next_.topics_.Without(topic->name);
  next_.topics_by_id_ = next_.topics_by_id_.Without(record.topic_id);
  next_.names_by_metric_ = next_.names_by_metric_.Without(MetricName(topic->name));
  touched_.erase(record.topic_id);
  changed_topics_.erase(record.topic_id);
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const PartitionRecord& record) {
  TopicImage* topic = Touch(record.topic_id);
  size_t index = static_cast<size_t>(record.partition.value());
  // New partitions come in order: index == size() appends, anything beyond would leave a hole.
  if (topic == nullptr || record.partition.value() < 0 || index > topic->partitions.size()) {
    return absl::DataLossError(fmt::format("partition {} of topic {} does not fit what is known",
                                           record.partition, record.topic_id));
  }
  if (index == topic->partitions.size()) {
    topic->partitions.push_back(record.state);
    ++next_.partition_count_;
  } else {
    topic->partitions[index] = record.state;
  }
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const ConfigRecord& record) {
  ConfigOverrides* configs = nullptr;
  if (record.resource == ConfigResource::kTopic) {
    MetadataImage::Topic topic = next_.FindTopic(record.name);
    if (topic == nullptr) {
      return absl::DataLossError(
          fmt::format("config {} of unknown topic {}", record.key, record.name));
    }
    configs = &Touch(topic->topic_id)->configs;
  } else if (!record.name.empty()) {
    return absl::DataLossError(
        fmt::format("config {} of the single broker {}, which this version does not serve",
                    record.key, record.name));
  } else {
    if (broker_defaults_ == nullptr) {
      broker_defaults_ = std::make_shared<ConfigOverrides>(next_.broker_defaults());
    }
    configs = broker_defaults_.get();
  }
  if (record.value.has_value()) {
    (*configs)[record.key] = *record.value;
  } else {
    configs->erase(record.key);
  }
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const RegisterBrokerRecord& record) {
  if (brokers_ == nullptr) {
    brokers_ = std::make_shared<std::map<int32_t, BrokerImage>>(next_.brokers());
  }
  (*brokers_)[record.broker.id.value()] = record.broker;
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const ProducerIdsRecord& record) {
  if (record.next_producer_id < next_.next_producer_id_) {
    return absl::DataLossError(fmt::format("producer ids go back from {} to {}",
                                           next_.next_producer_id_, record.next_producer_id));
  }
  next_.next_producer_id_ = record.next_producer_id;
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const FeatureLevelRecord& record) {
  // Every finalised feature stays 0 until it is served; a log that says otherwise was written by a
  // later version.
  if (record.level == 0) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("feature {} is finalised at level {}, which this version does not serve",
                  record.name, record.level));
}

std::shared_ptr<const MetadataImage> MetadataDelta::Build(RaftIndex index) {
  for (const auto& [id, topic] : touched_) {
    next_.topics_ = next_.topics_.With(topic->name, topic);
    next_.topics_by_id_ = next_.topics_by_id_.With(id, topic);
  }
  if (brokers_ != nullptr) next_.brokers_ = brokers_;
  if (broker_defaults_ != nullptr) next_.broker_defaults_ = broker_defaults_;
  next_.index_ = index;
  return std::make_shared<const MetadataImage>(next_);
}

}  // namespace millrace

#include "controller/image/metadata_image.h"

#include <algorithm>

namespace millrace {

const BrokerEndpoint* BrokerImage::FindEndpoint(std::string_view listener) const {
  auto found = std::ranges::find(endpoints, listener, &BrokerEndpoint::listener);
  return found == endpoints.end() ? nullptr : &*found;
}

const LogDirectoryImage* BrokerImage::FindDirectory(const DirectoryId& directory) const {
  auto found = std::ranges::find(log_directories, directory, &LogDirectoryImage::id);
  return found == log_directories.end() ? nullptr : &*found;
}

DirectoryId PartitionImage::DirectoryOf(BrokerId broker) const {
  for (size_t i = 0; i < replicas.size() && i < directories.size(); ++i) {
    if (replicas[i] == broker) return directories[i];
  }
  return kUnassignedDirectory;
}

MetadataImage::Topic MetadataImage::FindTopic(const std::string& name) const {
  const Topic* found = topics_.Find(name);
  return found == nullptr ? nullptr : *found;
}

MetadataImage::Topic MetadataImage::FindTopic(const TopicId& id) const {
  const Topic* found = topics_by_id_.Find(id);
  return found == nullptr ? nullptr : *found;
}

MetadataImage::Topic MetadataImage::FindCollision(const std::string& name) const {
  const TopicId* found = topics_by_metric_.Find(MetricName(name));
  return found == nullptr ? nullptr : FindTopic(*found);
}

const BrokerImage* MetadataImage::FindBroker(BrokerId id) const {
  auto found = brokers_->find(id.value());
  return found == brokers_->end() ? nullptr : &found->second;
}

const ConfigOverrides& MetadataImage::broker_configs(BrokerId id) const {
  static const ConfigOverrides kNone;
  auto found = broker_configs_->find(id.value());
  return found == broker_configs_->end() ? kNone : found->second;
}

const ConfigOverrides& MetadataImage::group_configs(const std::string& group_id) const {
  static const ConfigOverrides kNone;
  auto found = group_configs_->find(group_id);
  return found == group_configs_->end() ? kNone : found->second;
}

int32_t MetadataImage::feature_level(std::string_view name) const {
  auto found = features_->find(name);
  return found == features_->end() ? 0 : found->second;
}

bool MetadataImage::SameAs(const MetadataImage& other) const {
  bool same = topics_.size() == other.topics_.size() && brokers() == other.brokers() &&
              broker_defaults() == other.broker_defaults() &&
              all_broker_configs() == other.all_broker_configs() &&
              all_group_configs() == other.all_group_configs() &&
              controllers() == other.controllers() && features() == other.features() &&
              next_producer_id_ == other.next_producer_id_ &&
              partition_count_ == other.partition_count_;
  topics_.ForEach([&](const std::string& name, const Topic& topic) {
    const Topic match = other.FindTopic(name);
    same = same && match != nullptr && (match == topic || *match == *topic);
    return same;
  });
  return same;
}

std::string MetricName(std::string_view topic) {
  std::string name(topic);
  std::ranges::replace(name, '.', '_');
  return name;
}

}  // namespace millrace

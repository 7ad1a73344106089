#include "controller/image/metadata_image.h"

#include <algorithm>

namespace millrace {

const BrokerEndpoint* BrokerImage::FindEndpoint(std::string_view listener) const {
  auto found = std::ranges::find(endpoints, listener, &BrokerEndpoint::listener);
  return found == endpoints.end() ? nullptr : &*found;
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
  const std::string* found = names_by_metric_.Find(MetricName(name));
  return found == nullptr ? nullptr : FindTopic(*found);
}

const BrokerImage* MetadataImage::FindBroker(BrokerId id) const {
  auto found = brokers_->find(id.value());
  return found == brokers_->end() ? nullptr : &found->second;
}

std::string MetricName(std::string_view topic) {
  std::string name(topic);
  std::ranges::replace(name, '.', '_');
  return name;
}

}  // namespace millrace

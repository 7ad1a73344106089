#include "controller/image/metadata_delta.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "controller/image/feature_levels.h"
#include "controller/image/list_pool.h"

namespace millrace {
namespace {

// The part of the next image that `mine` holds, copied from the base on first touch.
template <typename T>
T* Mutable(std::shared_ptr<T>& mine, const T& base) {
  if (mine == nullptr) mine = std::make_shared<T>(base);
  return mine.get();
}

// The keys of what only one of them has, or both have otherwise.
template <typename T>
std::set<int32_t> Differences(const std::map<int32_t, T>& a, const std::map<int32_t, T>& b) {
  std::set<int32_t> keys;
  const auto add = [&keys](const std::map<int32_t, T>& from, const std::map<int32_t, T>& other) {
    for (const auto& [key, value] : from) {
      const auto found = other.find(key);
      if (found == other.end() || found->second != value) keys.insert(key);
    }
  };
  add(a, b);
  add(b, a);
  return keys;
}

void SetOrErase(ConfigOverrides& configs, const ConfigRecord& record) {
  if (record.value.has_value()) {
    configs.insert_or_assign(record.key, *record.value);
  } else {
    configs.erase(record.key);
  }
}

}  // namespace

MetadataDelta::MetadataDelta(std::shared_ptr<const MetadataImage> base, bool keeps_lists)
    : base_(std::move(base)), keeps_lists_(keeps_lists), next_(*base_) {}

MetadataDelta MetadataDelta::Between(std::shared_ptr<const MetadataImage> base,
                                     const MetadataImage& next) {
  MetadataDelta delta(std::move(base));
  delta.next_ = next;
  next.topics_.ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    const MetadataImage::Topic before = delta.base_->FindTopic(topic->topic_id);
    if (before == nullptr || *before != *topic) delta.changed_topics_.insert(topic->topic_id);
    return true;
  });
  delta.base_->topics_.ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    if (next.FindTopic(topic->topic_id) == nullptr) {
      delta.removed_topics_.emplace(topic->topic_id, topic);
    }
    return true;
  });
  const MetadataImage& before = *delta.base_;
  for (int32_t id : Differences(before.brokers(), next.brokers())) {
    Mutable(delta.brokers_, next.brokers());
    delta.changed_brokers_.emplace(id);
  }
  for (int32_t id : Differences(before.all_broker_configs(), next.all_broker_configs())) {
    Mutable(delta.broker_configs_, next.all_broker_configs());
    delta.changed_broker_configs_.emplace(id);
  }
  if (next.broker_defaults() != before.broker_defaults()) {
    Mutable(delta.broker_defaults_, next.broker_defaults());
  }
  if (next.all_group_configs() != before.all_group_configs()) {
    Mutable(delta.group_configs_, next.all_group_configs());
  }
  if (next.controllers() != before.controllers()) {
    Mutable(delta.controllers_, next.controllers());
  }
  if (next.features() != before.features()) Mutable(delta.features_, next.features());
  return delta;
}

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

bool MetadataDelta::TouchPartitionsOf(const TopicId& id) {
  if (last_.has_value() && last_->id == id) return true;
  TopicImage* topic = Touch(id);
  if (topic == nullptr) return false;
  const bool whole = whole_topics_.contains(id);
  last_ = {id, topic, moved_topics_.contains(id), whole ? nullptr : &changed_partitions_[id]};
  return true;
}

void MetadataDelta::NoteWhole(const TopicId& id) {
  last_.reset();
  whole_topics_.insert(id);
  changed_partitions_.erase(id);
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
  NoteWhole(record.topic_id);
  // Registered empty at once, so that later records of this delta find the name; Build() puts the
  // final state.
  next_.topics_ = next_.topics_.With(record.name, topic);
  next_.topics_by_id_ = next_.topics_by_id_.With(record.topic_id, topic);
  next_.topics_by_metric_ = next_.topics_by_metric_.With(MetricName(record.name), record.topic_id);
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const RemoveTopicRecord& record) {
  TopicImage* topic = Touch(record.topic_id);
  if (topic == nullptr) {
    return absl::DataLossError(fmt::format("topic {} is removed but not known", record.topic_id));
  }
  if (MetadataImage::Topic before = base_->FindTopic(record.topic_id); before != nullptr) {
    IndexReplicas(record.topic_id, before.get(), nullptr);
    removed_topics_.emplace(record.topic_id, std::move(before));
  }
  next_.partition_count_ -= topic->partitions.size();
  next_.topics_ = next_.topics_.Without(topic->name);
  next_.topics_by_id_ = next_.topics_by_id_.Without(record.topic_id);
  next_.topics_by_metric_ = next_.topics_by_metric_.Without(MetricName(topic->name));
  last_.reset();
  touched_.erase(record.topic_id);
  moved_topics_.erase(record.topic_id);
  changed_topics_.erase(record.topic_id);
  changed_partitions_.erase(record.topic_id);
  return absl::OkStatus();
}

template <typename T>
void MetadataDelta::Share(SharedList<T>& list) {
  if (list.empty() || list.size() > ListPool::kLengthMax) return;
  const ListPool* known = lists_ != nullptr ? lists_.get() : next_.lists_.get();
  if (known != nullptr) {
    if (const SharedList<T>* same = known->Find(list); same != nullptr) {
      list = *same;
      return;
    }
  }
  if (!keeps_lists_) return;
  if (lists_ == nullptr) {
    lists_ = known == nullptr ? std::make_shared<ListPool>() : std::make_shared<ListPool>(*known);
  }
  lists_->Keep(list);
}

absl::Status MetadataDelta::ApplyOne(const PartitionRecord& record) {
  const bool known = TouchPartitionsOf(record.topic_id);
  const size_t index = static_cast<size_t>(record.partition.value());
  // New partitions come in order: index == size() appends, anything beyond would leave a hole.
  if (!known || record.partition.value() < 0 || index > last_->topic->partitions.size()) {
    return absl::DataLossError(fmt::format("partition {} of topic {} does not fit what is known",
                                           record.partition, record.topic_id));
  }
  std::vector<PartitionImage>& partitions = last_->topic->partitions;
  PartitionImage state = record.state;
  for (auto* list : {&state.replicas, &state.isr, &state.adding, &state.removing, &state.elr,
                     &state.last_known_elr}) {
    Share(*list);
  }
  Share(state.directories);
  const bool is_new = index == partitions.size();
  if (!last_->moved && (is_new || partitions[index].replicas != state.replicas)) {
    moved_topics_.insert(record.topic_id);
    last_->moved = true;
  }
  if (is_new) {
    partitions.push_back(std::move(state));
    ++next_.partition_count_;
  } else {
    partitions[index] = std::move(state);
  }
  // They come in order.
  if (last_->partitions != nullptr) {
    last_->partitions->insert(last_->partitions->end(), record.partition);
  }
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const ConfigRecord& record) {
  if (record.resource == ConfigResource::kBroker) return ApplyBrokerConfig(record);
  if (record.resource == ConfigResource::kGroup) {
    auto& all = *Mutable(group_configs_, next_.all_group_configs());
    SetOrErase(all[record.name], record);
    if (all[record.name].empty()) all.erase(record.name);
    return absl::OkStatus();
  }
  MetadataImage::Topic topic = next_.FindTopic(record.name);
  if (topic == nullptr) {
    return absl::DataLossError(
        fmt::format("config {} of unknown topic {}", record.key, record.name));
  }
  SetOrErase(Touch(topic->topic_id)->configs, record);
  NoteWhole(topic->topic_id);
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyBrokerConfig(const ConfigRecord& record) {
  if (record.name.empty()) {
    SetOrErase(*Mutable(broker_defaults_, next_.broker_defaults()), record);
    return absl::OkStatus();
  }
  int32_t id = 0;
  const char* end = record.name.data() + record.name.size();
  auto [stop, error] = std::from_chars(record.name.data(), end, id);
  if (error != std::errc() || stop != end || id < 0) {
    return absl::DataLossError(
        fmt::format("config {} of broker '{}', which is no broker id", record.key, record.name));
  }
  std::map<int32_t, ConfigOverrides>& all = *Mutable(broker_configs_, next_.all_broker_configs());
  SetOrErase(all[id], record);
  if (all[id].empty()) all.erase(id);
  changed_broker_configs_.insert(BrokerId(id));
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const RegisterBrokerRecord& record) {
  Mutable(brokers_, next_.brokers())->insert_or_assign(record.broker.id.value(), record.broker);
  changed_brokers_.insert(record.broker.id);
  return absl::OkStatus();
}

absl::StatusOr<BrokerImage*> MetadataDelta::TouchBroker(BrokerId id, BrokerEpoch epoch) {
  std::map<int32_t, BrokerImage>& brokers = *Mutable(brokers_, next_.brokers());
  auto found = brokers.find(id.value());
  if (found == brokers.end() || found->second.epoch != epoch) {
    return absl::DataLossError(
        fmt::format("broker {} with epoch {} changes but is not registered", id, epoch));
  }
  changed_brokers_.insert(id);
  return &found->second;
}

absl::Status MetadataDelta::ApplyOne(const UnregisterBrokerRecord& record) {
  absl::StatusOr<BrokerImage*> broker = TouchBroker(record.id, record.epoch);
  if (!broker.ok()) return broker.status();
  brokers_->erase(record.id.value());
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const BrokerChangeRecord& record) {
  absl::StatusOr<BrokerImage*> broker = TouchBroker(record.id, record.epoch);
  if (!broker.ok()) return broker.status();
  BrokerImage& image = **broker;
  image.fenced = record.fenced.value_or(image.fenced);
  image.in_controlled_shutdown =
      record.in_controlled_shutdown.value_or(image.in_controlled_shutdown);
  image.draining = record.draining.value_or(image.draining);
  for (LogDirectoryImage& directory : image.log_directories) {
    if (std::ranges::find(record.offline_directories, directory.id) !=
        record.offline_directories.end()) {
      directory.online = false;
    }
  }
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const RegisterControllerRecord& record) {
  Mutable(controllers_, next_.controllers())
      ->insert_or_assign(record.controller.id.value(), record.controller);
  return absl::OkStatus();
}

absl::Status MetadataDelta::ApplyOne(const UnregisterControllerRecord& record) {
  if (Mutable(controllers_, next_.controllers())->erase(record.id.value()) == 0) {
    return absl::DataLossError(
        fmt::format("controller {} is unregistered but not known", record.id));
  }
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
  // A level beyond what this version serves was written by a later one: going on would let this
  // node's state differ from its peers'.
  if (!ServesFeatureLevel(record.name, record.level)) {
    return absl::DataLossError(
        fmt::format("feature {} is finalised at level {}, which this version does not serve",
                    record.name, record.level));
  }
  FeatureLevels& levels = *Mutable(features_, next_.features());
  if (record.level == 0) {
    levels.erase(record.name);
  } else {
    levels.insert_or_assign(record.name, record.level);
  }
  return absl::OkStatus();
}

void MetadataDelta::IndexReplicas(const TopicId& id, const TopicImage* before,
                                  const TopicImage* after) {
  auto brokers_of = [](const TopicImage* topic) {
    std::set<BrokerId> brokers;
    if (topic == nullptr) return brokers;
    for (const PartitionImage& partition : topic->partitions) {
      brokers.insert(partition.replicas.begin(), partition.replicas.end());
    }
    return brokers;
  };
  const std::set<BrokerId> old_brokers = brokers_of(before);
  const std::set<BrokerId> new_brokers = brokers_of(after);
  for (BrokerId broker : old_brokers) {
    if (!new_brokers.contains(broker)) IndexReplica(broker, id, false);
  }
  for (BrokerId broker : new_brokers) {
    if (!old_brokers.contains(broker)) IndexReplica(broker, id, true);
  }
}

void MetadataDelta::IndexReplica(BrokerId broker, const TopicId& id, bool has_replica) {
  auto& index = next_.topics_by_broker_;
  const BrokerTopics key = BrokerTopics::With(broker, id);
  std::vector<TopicId> topics;
  if (const SharedList<TopicId>* before = index.Find(key); before != nullptr) {
    topics.assign(before->begin(), before->end());
  }
  const auto place = std::ranges::lower_bound(topics, id);
  const bool known = place != topics.end() && *place == id;
  if (known == has_replica) return;
  if (has_replica) {
    topics.insert(place, id);
  } else {
    topics.erase(place);
  }
  index = topics.empty() ? index.Without(key) : index.With(key, SharedList<TopicId>(topics));
}

std::shared_ptr<const MetadataImage> MetadataDelta::Build(RaftIndex index) {
  for (const TopicId& id : moved_topics_) {
    IndexReplicas(id, base_->FindTopic(id).get(), touched_.at(id).get());
  }
  for (const auto& [id, topic] : touched_) {
    topic->partitions.shrink_to_fit();           // It grew one by one, and stays for long.
    if (next_.FindTopic(id) == topic) continue;  // It was created by this delta.
    next_.topics_ = next_.topics_.With(topic->name, topic);
    next_.topics_by_id_ = next_.topics_by_id_.With(id, topic);
  }
  if (brokers_ != nullptr) next_.brokers_ = brokers_;
  if (broker_defaults_ != nullptr) next_.broker_defaults_ = broker_defaults_;
  if (broker_configs_ != nullptr) next_.broker_configs_ = broker_configs_;
  if (group_configs_ != nullptr) next_.group_configs_ = group_configs_;
  if (controllers_ != nullptr) next_.controllers_ = controllers_;
  if (features_ != nullptr) next_.features_ = features_;
  if (lists_ != nullptr) next_.lists_ = lists_;
  next_.index_ = index;
  return std::make_shared<const MetadataImage>(next_);
}

}  // namespace millrace

// The one place where metadata records meet protobuf.
#include <fmt/format.h>
#include <google/protobuf/arena.h>

#include <optional>

#include "controller/image/metadata_record.h"
#include "proto/control/metadata.pb.h"

namespace millrace {
namespace {

void Put(const Uuid& id, control::UuidValue* to) {
  to->set_high(id.high());
  to->set_low(id.low());
}
Uuid Get(const control::UuidValue& from) { return Uuid(from.high(), from.low()); }

void PutEndpoint(const BrokerEndpoint& endpoint, control::EndpointValue* to) {
  to->set_listener(endpoint.listener);
  to->set_host(endpoint.host);
  to->set_port(endpoint.port);
  to->set_security_protocol(endpoint.security_protocol);
}
BrokerEndpoint Get(const control::EndpointValue& from) {
  return {from.listener(), from.host(), static_cast<uint16_t>(from.port()),
          from.security_protocol()};
}

void PutFeature(const FeatureRange& range, control::FeatureRangeValue* to) {
  to->set_name(range.name);
  to->set_min_level(range.min_level);
  to->set_max_level(range.max_level);
}
FeatureRange Get(const control::FeatureRangeValue& from) {
  return {from.name(), from.min_level(), from.max_level()};
}

control::ConfigRecord::ResourceType Number(ConfigResource resource) {
  switch (resource) {
    case ConfigResource::kTopic:
      return control::ConfigRecord::TOPIC;
    case ConfigResource::kBroker:
      return control::ConfigRecord::BROKER;
    case ConfigResource::kGroup:
      return control::ConfigRecord::GROUP;
  }
  return control::ConfigRecord::UNKNOWN;
}
// Nothing: a resource of a kind added later.
std::optional<ConfigResource> Get(control::ConfigRecord::ResourceType from) {
  switch (from) {
    case control::ConfigRecord::TOPIC:
      return ConfigResource::kTopic;
    case control::ConfigRecord::BROKER:
      return ConfigResource::kBroker;
    case control::ConfigRecord::GROUP:
      return ConfigResource::kGroup;
    default:  // The wire may have any number.
      return std::nullopt;
  }
}

struct ToProto {
  control::MetadataRecord* to;

  void operator()(const TopicRecord& record) const {
    to->mutable_topic()->set_name(record.name);
    Put(record.topic_id, to->mutable_topic()->mutable_topic_id());
  }
  void operator()(const RemoveTopicRecord& record) const {
    Put(record.topic_id, to->mutable_remove_topic()->mutable_topic_id());
  }
  void operator()(const PartitionRecord& record) const {
    control::PartitionRecord* partition = to->mutable_partition();
    Put(record.topic_id, partition->mutable_topic_id());
    partition->set_partition(record.partition.value());
    for (BrokerId id : record.state.replicas) partition->add_replicas(id.value());
    for (BrokerId id : record.state.isr) partition->add_isr(id.value());
    partition->set_leader(record.state.leader.has_value() ? record.state.leader->value() : -1);
    partition->set_leader_epoch(record.state.leader_epoch.value());
    partition->set_partition_epoch(record.state.partition_epoch.value());
    for (const DirectoryId& id : record.state.directories) Put(id, partition->add_directories());
    for (BrokerId id : record.state.adding) partition->add_adding_replicas(id.value());
    for (BrokerId id : record.state.removing) partition->add_removing_replicas(id.value());
    for (BrokerId id : record.state.elr) partition->add_eligible_leader_replicas(id.value());
    for (BrokerId id : record.state.last_known_elr) partition->add_last_known_elr(id.value());
    partition->set_leader_recovery(record.state.recovery == LeaderRecovery::kRecovering
                                       ? control::PartitionRecord::RECOVERING
                                       : control::PartitionRecord::RECOVERED);
  }
  void operator()(const ConfigRecord& record) const {
    control::ConfigRecord* config = to->mutable_config();
    config->set_resource_type(Number(record.resource));
    config->set_resource_name(record.name);
    config->set_key(record.key);
    if (record.value.has_value()) config->set_value(*record.value);
  }
  void operator()(const RegisterBrokerRecord& record) const {
    control::RegisterBrokerRecord* broker = to->mutable_register_broker();
    broker->set_broker_id(record.broker.id.value());
    broker->set_broker_epoch(record.broker.epoch.value());
    Put(record.broker.incarnation, broker->mutable_incarnation_id());
    for (const BrokerEndpoint& endpoint : record.broker.endpoints) {
      PutEndpoint(endpoint, broker->add_endpoints());
    }
    if (record.broker.rack.has_value()) broker->set_rack(*record.broker.rack);
    for (const LogDirectoryImage& directory : record.broker.log_directories) {
      control::LogDirectoryValue* value = broker->add_directories();
      Put(directory.id, value->mutable_id());
      value->set_offline(!directory.online);
      value->set_replayed(directory.replayed);
    }
    for (const FeatureRange& range : record.broker.features) {
      PutFeature(range, broker->add_features());
    }
    broker->set_fenced(record.broker.fenced);
    broker->set_in_controlled_shutdown(record.broker.in_controlled_shutdown);
    broker->set_draining(record.broker.draining);
  }
  void operator()(const ProducerIdsRecord& record) const {
    to->mutable_producer_ids()->set_next_producer_id(record.next_producer_id);
  }
  void operator()(const FeatureLevelRecord& record) const {
    to->mutable_feature_level()->set_name(record.name);
    to->mutable_feature_level()->set_level(record.level);
  }
  void operator()(const UnregisterBrokerRecord& record) const {
    to->mutable_unregister_broker()->set_broker_id(record.id.value());
    to->mutable_unregister_broker()->set_broker_epoch(record.epoch.value());
  }
  void operator()(const BrokerChangeRecord& record) const {
    control::BrokerChangeRecord* change = to->mutable_broker_change();
    change->set_broker_id(record.id.value());
    change->set_broker_epoch(record.epoch.value());
    if (record.fenced.has_value()) change->set_fenced(*record.fenced);
    if (record.in_controlled_shutdown.has_value()) {
      change->set_in_controlled_shutdown(*record.in_controlled_shutdown);
    }
    if (record.draining.has_value()) change->set_draining(*record.draining);
    for (const DirectoryId& id : record.offline_directories) {
      Put(id, change->add_offline_directories());
    }
  }
  void operator()(const RegisterControllerRecord& record) const {
    control::RegisterControllerRecord* controller = to->mutable_register_controller();
    controller->set_controller_id(record.controller.id.value());
    Put(record.controller.incarnation, controller->mutable_incarnation_id());
    Put(record.controller.directory, controller->mutable_directory_id());
    for (const BrokerEndpoint& endpoint : record.controller.endpoints) {
      PutEndpoint(endpoint, controller->add_endpoints());
    }
    for (const FeatureRange& range : record.controller.features) {
      PutFeature(range, controller->add_features());
    }
  }
  void operator()(const UnregisterControllerRecord& record) const {
    to->mutable_unregister_controller()->set_controller_id(record.id.value());
  }
  void operator()(const NoOpRecord&) const { to->mutable_no_op(); }
};

// The most that each kind of record takes.
struct SizeMax {
  // Keys of fields take two bytes at most; lengths and small numbers five, other numbers ten.
  static constexpr size_t kSmall = 2 + 5;
  static constexpr size_t kNumber = 2 + 10;
  static constexpr size_t kUuid = 2 + 1 + 18;
  static constexpr size_t kRecord = 2 * kSmall;  // As a member of the entry, and of its kind.

  static size_t Text(const std::string& text) { return kSmall + text.size(); }
  static size_t Text(const std::optional<std::string>& text) {
    return text.has_value() ? Text(*text) : 0;
  }
  static size_t Of(std::span<const BrokerId> ids) { return kSmall + 10 * ids.size(); }
  static size_t Of(const std::vector<BrokerEndpoint>& endpoints) {
    size_t bytes = 0;
    for (const BrokerEndpoint& endpoint : endpoints) {
      bytes += 2 * kSmall + Text(endpoint.listener) + Text(endpoint.host) +
               Text(endpoint.security_protocol);
    }
    return bytes;
  }
  static size_t Of(const std::vector<FeatureRange>& features) {
    size_t bytes = 0;
    for (const FeatureRange& range : features) {
      bytes += kSmall + Text(range.name) + 2 * kNumber;
    }
    return bytes;
  }

  size_t operator()(const TopicRecord& record) const { return Text(record.name) + kUuid; }
  size_t operator()(const RemoveTopicRecord&) const { return kUuid; }
  size_t operator()(const PartitionRecord& record) const {
    const PartitionImage& state = record.state;
    return kUuid + 5 * kNumber + Of(state.replicas) + Of(state.isr) + Of(state.adding) +
           Of(state.removing) + Of(state.elr) + Of(state.last_known_elr) +
           kUuid * state.directories.size();
  }
  size_t operator()(const ConfigRecord& record) const {
    return kSmall + Text(record.name) + Text(record.key) + Text(record.value);
  }
  size_t operator()(const RegisterBrokerRecord& record) const {
    const BrokerImage& broker = record.broker;
    return 2 * kNumber + kUuid + Of(broker.endpoints) + Text(broker.rack) +
           (3 * kSmall + kUuid) * broker.log_directories.size() + Of(broker.features) + 3 * kSmall;
  }
  size_t operator()(const ProducerIdsRecord&) const { return kNumber; }
  size_t operator()(const FeatureLevelRecord& record) const { return Text(record.name) + kNumber; }
  size_t operator()(const UnregisterBrokerRecord&) const { return 2 * kNumber; }
  size_t operator()(const BrokerChangeRecord& record) const {
    return 2 * kNumber + 3 * kSmall + kUuid * record.offline_directories.size();
  }
  size_t operator()(const RegisterControllerRecord& record) const {
    const ControllerImage& controller = record.controller;
    return kNumber + 2 * kUuid + Of(controller.endpoints) + Of(controller.features);
  }
  size_t operator()(const UnregisterControllerRecord&) const { return kNumber; }
  size_t operator()(const NoOpRecord&) const { return 0; }
};

BrokerIds Get(const google::protobuf::RepeatedField<int32_t>& from) {
  BrokerIds ids;
  ids.reserve(static_cast<size_t>(from.size()));
  for (int32_t id : from) ids.emplace_back(id);
  return ids;
}

PartitionRecord FromProto(const control::PartitionRecord& from) {
  PartitionImage state;
  state.replicas = Get(from.replicas());
  state.isr = Get(from.isr());
  if (from.leader() >= 0) state.leader = BrokerId(from.leader());
  state.leader_epoch = LeaderEpoch(from.leader_epoch());
  state.partition_epoch = PartitionEpoch(from.partition_epoch());
  DirectoryIds directories;
  for (const control::UuidValue& id : from.directories()) directories.push_back(Get(id));
  state.directories = directories;
  state.adding = Get(from.adding_replicas());
  state.removing = Get(from.removing_replicas());
  state.elr = Get(from.eligible_leader_replicas());
  state.last_known_elr = Get(from.last_known_elr());
  if (from.leader_recovery() == control::PartitionRecord::RECOVERING) {
    state.recovery = LeaderRecovery::kRecovering;
  }
  return {Get(from.topic_id()), PartitionId(from.partition()), std::move(state)};
}

RegisterBrokerRecord FromProto(const control::RegisterBrokerRecord& from) {
  BrokerImage broker;
  broker.id = BrokerId(from.broker_id());
  broker.epoch = BrokerEpoch(from.broker_epoch());
  broker.incarnation = Get(from.incarnation_id());
  for (const control::EndpointValue& value : from.endpoints()) {
    broker.endpoints.push_back(Get(value));
  }
  if (from.has_rack()) broker.rack = from.rack();
  for (const control::LogDirectoryValue& value : from.directories()) {
    broker.log_directories.push_back({Get(value.id()), !value.offline(), value.replayed()});
  }
  for (const control::FeatureRangeValue& value : from.features()) {
    broker.features.push_back(Get(value));
  }
  broker.fenced = from.fenced();
  broker.in_controlled_shutdown = from.in_controlled_shutdown();
  broker.draining = from.draining();
  return {std::move(broker)};
}

BrokerChangeRecord FromProto(const control::BrokerChangeRecord& from) {
  BrokerChangeRecord change{BrokerId(from.broker_id()), BrokerEpoch(from.broker_epoch())};
  if (from.has_fenced()) change.fenced = from.fenced();
  if (from.has_in_controlled_shutdown()) {
    change.in_controlled_shutdown = from.in_controlled_shutdown();
  }
  if (from.has_draining()) change.draining = from.draining();
  for (const control::UuidValue& id : from.offline_directories()) {
    change.offline_directories.push_back(Get(id));
  }
  return change;
}

RegisterControllerRecord FromProto(const control::RegisterControllerRecord& from) {
  ControllerImage controller;
  controller.id = BrokerId(from.controller_id());
  controller.incarnation = Get(from.incarnation_id());
  controller.directory = Get(from.directory_id());
  for (const control::EndpointValue& value : from.endpoints()) {
    controller.endpoints.push_back(Get(value));
  }
  for (const control::FeatureRangeValue& value : from.features()) {
    controller.features.push_back(Get(value));
  }
  return {std::move(controller)};
}

absl::StatusOr<MetadataRecord> FromProto(const control::MetadataRecord& from) {
  switch (from.kind_case()) {
    case control::MetadataRecord::kTopic:
      return TopicRecord{from.topic().name(), Get(from.topic().topic_id())};
    case control::MetadataRecord::kRemoveTopic:
      return RemoveTopicRecord{Get(from.remove_topic().topic_id())};
    case control::MetadataRecord::kPartition:
      return FromProto(from.partition());
    case control::MetadataRecord::kConfig: {
      const control::ConfigRecord& config = from.config();
      const std::optional<ConfigResource> resource = Get(config.resource_type());
      if (!resource.has_value()) {
        return absl::DataLossError(
            fmt::format("settings of a resource of type {}, which this version does not know",
                        static_cast<int>(config.resource_type())));
      }
      std::optional<std::string> value;
      if (config.has_value()) value = config.value();
      return ConfigRecord{*resource, config.resource_name(), config.key(), std::move(value)};
    }
    case control::MetadataRecord::kRegisterBroker:
      return FromProto(from.register_broker());
    case control::MetadataRecord::kProducerIds:
      return ProducerIdsRecord{from.producer_ids().next_producer_id()};
    case control::MetadataRecord::kFeatureLevel:
      return FeatureLevelRecord{from.feature_level().name(), from.feature_level().level()};
    case control::MetadataRecord::kUnregisterBroker:
      return UnregisterBrokerRecord{BrokerId(from.unregister_broker().broker_id()),
                                    BrokerEpoch(from.unregister_broker().broker_epoch())};
    case control::MetadataRecord::kBrokerChange:
      return FromProto(from.broker_change());
    case control::MetadataRecord::kRegisterController:
      return FromProto(from.register_controller());
    case control::MetadataRecord::kUnregisterController:
      return UnregisterControllerRecord{BrokerId(from.unregister_controller().controller_id())};
    case control::MetadataRecord::kNoOp:
      return NoOpRecord{};
    case control::MetadataRecord::KIND_NOT_SET:
      break;
  }
  // A record of a kind added later: guessing would let this node's state differ from its peers'.
  return absl::DataLossError("a metadata record of a kind this version does not know");
}

}  // namespace

std::string EncodeEntry(const MetadataEntry& entry) {
  // All that one entry takes is freed at once: it may have a hundred thousand records.
  google::protobuf::Arena arena;
  auto& proto = *google::protobuf::Arena::CreateMessage<control::MetadataEntry>(&arena);
  proto.set_term(entry.term.value());
  proto.set_append_time_ms(entry.append_time.ms());
  for (const MetadataRecord& record : entry.records)
    std::visit(ToProto{proto.add_records()}, record);
  return proto.SerializeAsString();
}

size_t EncodedBytesMax(const MetadataRecord& record) {
  return SizeMax::kRecord + std::visit(SizeMax{}, record);
}

absl::StatusOr<MetadataEntry> DecodeEntry(std::string_view bytes) {
  google::protobuf::Arena arena;  // As in EncodeEntry().
  auto& proto = *google::protobuf::Arena::CreateMessage<control::MetadataEntry>(&arena);
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("a metadata entry that does not parse");
  }
  if (proto.format() != 0) {
    return absl::DataLossError(
        fmt::format("a metadata entry of format {}; this version reads 0", proto.format()));
  }
  MetadataEntry entry{RaftTerm(proto.term()), Timestamp(proto.append_time_ms()), {}};
  entry.records.reserve(static_cast<size_t>(proto.records_size()));
  for (const control::MetadataRecord& record : proto.records()) {
    absl::StatusOr<MetadataRecord> decoded = FromProto(record);
    if (!decoded.ok()) return decoded.status();
    entry.records.push_back(*std::move(decoded));
  }
  return entry;
}

}  // namespace millrace

#include "controller/image/same_entry.h"

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <variant>

namespace millrace {
namespace {

// By structured bindings: a field that is added to a record does not compile before it is here.
auto Fields(const TopicRecord& record) {
  const auto& [name, topic] = record;
  return std::tie(name, topic);
}
auto Fields(const RemoveTopicRecord& record) {
  const auto& [topic] = record;
  return std::tie(topic);
}
auto Fields(const PartitionRecord& record) {
  const auto& [topic, partition, state] = record;
  return std::tie(topic, partition, state);
}
auto Fields(const ConfigRecord& record) {
  const auto& [resource, name, key, value] = record;
  return std::tie(resource, name, key, value);
}
auto Fields(const RegisterBrokerRecord& record) {
  const auto& [broker] = record;
  return std::tie(broker);
}
auto Fields(const ProducerIdsRecord& record) {
  const auto& [next] = record;
  return std::tie(next);
}
auto Fields(const FeatureLevelRecord& record) {
  const auto& [name, level] = record;
  return std::tie(name, level);
}
auto Fields(const UnregisterBrokerRecord& record) {
  const auto& [id, epoch] = record;
  return std::tie(id, epoch);
}
auto Fields(const BrokerChangeRecord& record) {
  const auto& [id, epoch, fenced, in_controlled_shutdown, draining, offline_directories] = record;
  return std::tie(id, epoch, fenced, in_controlled_shutdown, draining, offline_directories);
}
auto Fields(const RegisterControllerRecord& record) {
  const auto& [controller] = record;
  return std::tie(controller);
}
auto Fields(const UnregisterControllerRecord& record) {
  const auto& [id] = record;
  return std::tie(id);
}
auto Fields(const NoOpRecord&) { return std::tuple<>(); }

bool SameRecord(const MetadataRecord& a, const MetadataRecord& b) {
  if (a.index() != b.index()) return false;
  const MetadataRecordVariant& other = b;
  return std::visit(
      [&other](const auto& record) {
        return Fields(record) == Fields(std::get<std::decay_t<decltype(record)>>(other));
      },
      static_cast<const MetadataRecordVariant&>(a));
}

}  // namespace

bool SameEntry(const MetadataEntry& a, const MetadataEntry& b) {
  return a.term == b.term && a.append_time == b.append_time &&
         std::ranges::equal(a.records, b.records, SameRecord);
}

}  // namespace millrace

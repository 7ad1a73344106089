// How the image looks to a client: brokers with the address of the listener it came in by,
// partitions with Kafka's error codes. Shared by Metadata, DescribeTopicPartitions and
// DescribeCluster.
#pragma once

#include <string>
#include <vector>

#include "broker/kafka_error.h"
#include "controller/image/metadata_image.h"

namespace millrace {

struct BrokerView {
  const BrokerImage* broker;
  const BrokerEndpoint* endpoint;
};

// The brokers that advertise an address on `listener`, by id; fenced ones only when asked for.
inline std::vector<BrokerView> BrokersOn(const MetadataImage& image, const std::string& listener,
                                         bool with_fenced) {
  std::vector<BrokerView> views;
  for (const auto& [id, broker] : image.brokers()) {
    const BrokerEndpoint* endpoint = broker.FindEndpoint(listener);
    if (endpoint != nullptr && (with_fenced || !broker.fenced))
      views.push_back({&broker, endpoint});
  }
  return views;
}

inline bool IsAlive(const MetadataImage& image, BrokerId id) {
  const BrokerImage* broker = image.FindBroker(id);
  return broker != nullptr && !broker->fenced;
}

// A broker that lives, `self` if it does; -1 when there is none. What brokers tell clients to be the
// controller: what it is asked goes to the active one (rule 19.6).
inline int32_t AnyBroker(const MetadataImage& image, BrokerId self) {
  if (IsAlive(image, self)) return self.value();
  for (const auto& [id, broker] : image.brokers()) {
    if (!broker.fenced) return id;
  }
  return -1;
}

// Whether the broker can serve its replica: it is alive, and the replica's directory is online.
inline bool IsOnline(const MetadataImage& image, const PartitionImage& partition, BrokerId id) {
  if (!IsAlive(image, id)) return false;
  const DirectoryId directory = partition.DirectoryOf(id);
  if (directory == kLostDirectory) return false;
  const LogDirectoryImage* known = image.FindBroker(id)->FindDirectory(directory);
  return known == nullptr || known->online;
}

struct PartitionView {
  kafka::KafkaError error;
  int32_t leader;
  std::vector<int32_t> replicas;
  std::vector<int32_t> isr;
  std::vector<int32_t> offline;
};

// LEADER_NOT_AVAILABLE while nobody leads; LISTENER_NOT_FOUND when the leader has no address on
// this listener.
inline PartitionView ViewPartition(const MetadataImage& image, const PartitionImage& partition,
                                   const std::string& listener) {
  PartitionView view{kafka::KafkaError::kNone, -1, {}, {}, {}};
  for (BrokerId id : partition.replicas) {
    view.replicas.push_back(id.value());
    if (!IsOnline(image, partition, id)) view.offline.push_back(id.value());
  }
  for (BrokerId id : partition.isr) view.isr.push_back(id.value());
  if (!partition.leader.has_value() || !IsAlive(image, *partition.leader)) {
    view.error = kafka::KafkaError::kLeaderNotAvailable;
  } else if (image.FindBroker(*partition.leader)->FindEndpoint(listener) == nullptr) {
    view.error = kafka::KafkaError::kListenerNotFound;
  } else {
    view.leader = partition.leader->value();
  }
  return view;
}

}  // namespace millrace

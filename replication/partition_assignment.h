// PartitionAssignment: what the metadata says about one partition of which this broker has a
// replica.
//
// A value; made from the image by broker/metadata_applier, for PartitionTable::Open().
// Source: KIP-841 (fenced, shutting down), KIP-858 (directories), KIP-903 (broker epochs), KIP-966
// (ELR, recovery).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"

namespace millrace {

// One replica, as the metadata has it.
struct AssignedReplica {
  BrokerId broker;
  std::optional<BrokerEpoch> epoch = std::nullopt;  // Of its registration; nothing: it has none.
  bool in_isr = false;
  bool active = false;          // Registered, not fenced, not shutting down: may join the ISR.
  DirectoryId directory{0, 0};  // Zero: not said yet.
  friend bool operator==(const AssignedReplica&, const AssignedReplica&) = default;
};

struct PartitionAssignment {
  TopicPartitionId id{TopicId(0, 0), PartitionId(0)};
  std::string topic;
  std::optional<BrokerId> leader;
  LeaderEpoch leader_epoch{0};
  PartitionEpoch partition_epoch{0};
  std::vector<AssignedReplica> replicas;  // The preferred leader first; this broker is one of them.
  std::vector<BrokerId> elr;              // Eligible leader replicas (KIP-966).
  // The leader was elected uncleanly and has not said yet that it is whole (KIP-966).
  bool recovering = false;

  const AssignedReplica* Find(BrokerId broker) const {
    for (const AssignedReplica& replica : replicas) {
      if (replica.broker == broker) return &replica;
    }
    return nullptr;
  }
  size_t isr_size() const {
    size_t size = 0;
    for (const AssignedReplica& replica : replicas) size += replica.in_isr ? 1 : 0;
    return size;
  }
  friend bool operator==(const PartitionAssignment&, const PartitionAssignment&) = default;
};

}  // namespace millrace

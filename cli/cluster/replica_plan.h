// Which brokers are to hold the replicas of partitions, when a broker is to go, or when there are to
// be more or fewer replicas. What need not move stays where it is.
//
// Pure; deterministic.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct PlanBroker {
  BrokerId id;
  std::optional<std::string> rack;
  bool alive = true;  // Only these get replicas.
};

struct PlanPartition {
  std::string topic;
  PartitionId partition;
  std::vector<BrokerId> replicas;  // Preferred leader first.
  friend bool operator==(const PlanPartition&, const PlanPartition&) = default;
};

class ReplicaPlan {
 public:
  // `partitions`: all there are, so that the new replicas come to brokers that have few.
  ReplicaPlan(std::vector<PlanBroker> brokers, const std::vector<PlanPartition>& partitions);

  // The partitions of the cluster that have a replica on `leaving`, without it: another broker takes
  // its place in the list. kFailedPrecondition: there is none that could, and for which partition.
  absl::StatusOr<std::vector<PlanPartition>> Without(BrokerId leaving);

  // `partition` with `factor` replicas: more are added at the end, the last ones dropped.
  // kInvalidArgument: fewer than one; kFailedPrecondition: more than there are brokers.
  absl::StatusOr<PlanPartition> WithFactor(PlanPartition partition, int32_t factor);

 private:
  // The one with the fewest replicas of those that hold none of `taken`, in a rack of its own where
  // that is possible; null if there is none.
  PlanBroker* Choose(const std::vector<BrokerId>& taken, std::optional<BrokerId> leaving);

  std::vector<PlanBroker> brokers_;  // By id.
  std::vector<PlanPartition> partitions_;
  std::map<BrokerId, int64_t> load_;  // Replicas.
};

}  // namespace millrace

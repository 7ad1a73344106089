#include "cli/cluster/replica_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace millrace {

ReplicaPlan::ReplicaPlan(std::vector<PlanBroker> brokers,
                         const std::vector<PlanPartition>& partitions)
    : brokers_(std::move(brokers)), partitions_(partitions) {
  std::ranges::sort(brokers_, {}, &PlanBroker::id);
  for (const PlanPartition& partition : partitions_) {
    for (BrokerId id : partition.replicas) ++load_[id];
  }
}

PlanBroker* ReplicaPlan::Choose(const std::vector<BrokerId>& taken,
                                std::optional<BrokerId> leaving) {
  std::set<std::string> racks;  // With a replica.
  for (const PlanBroker& broker : brokers_) {
    if (std::ranges::find(taken, broker.id) != taken.end()) racks.insert(broker.rack.value_or(""));
  }
  PlanBroker* best = nullptr;
  std::tuple<bool, int64_t> best_cost;
  for (PlanBroker& broker : brokers_) {
    if (!broker.alive || broker.id == leaving) continue;
    if (std::ranges::find(taken, broker.id) != taken.end()) continue;
    const std::tuple<bool, int64_t> cost{racks.contains(broker.rack.value_or("")),
                                         load_[broker.id]};
    if (best != nullptr && cost >= best_cost) continue;
    best = &broker;
    best_cost = cost;
  }
  return best;
}

absl::StatusOr<std::vector<PlanPartition>> ReplicaPlan::Without(BrokerId leaving) {
  std::vector<PlanPartition> moved;
  for (PlanPartition& partition : partitions_) {
    auto found = std::ranges::find(partition.replicas, leaving);
    if (found == partition.replicas.end()) continue;
    std::vector<BrokerId> others = partition.replicas;
    std::erase(others, leaving);
    const PlanBroker* next = Choose(others, leaving);
    if (next == nullptr) {
      return absl::FailedPreconditionError(
          fmt::format("no broker can take over {}-{}: its {} replicas need as many other live "
                      "brokers",
                      partition.topic, partition.partition, partition.replicas.size()));
    }
    *found = next->id;
    --load_[leaving];
    ++load_[next->id];
    moved.push_back(partition);
  }
  return moved;
}

absl::StatusOr<PlanPartition> ReplicaPlan::WithFactor(PlanPartition partition, int32_t factor) {
  if (factor < 1) return absl::InvalidArgumentError("a partition has at least one replica");
  const auto wanted = static_cast<size_t>(factor);
  while (partition.replicas.size() > wanted) {
    --load_[partition.replicas.back()];
    partition.replicas.pop_back();
  }
  while (partition.replicas.size() < wanted) {
    const PlanBroker* next = Choose(partition.replicas, std::nullopt);
    if (next == nullptr) {
      return absl::FailedPreconditionError(
          fmt::format("{} replicas of {}-{} need as many live brokers", factor, partition.topic,
                      partition.partition));
    }
    ++load_[next->id];
    partition.replicas.push_back(next->id);
  }
  return partition;
}

}  // namespace millrace

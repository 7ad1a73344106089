#include "controller/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/error_kind.h"

namespace millrace {
namespace {

// The brokers of one rack: unfenced ones first, each kind by id.
struct Rack {
  std::vector<BrokerId> brokers;
  size_t unfenced = 0;

  // The `turn`-th choice of this rack for a partition: rotates over the unfenced, then over the
  // fenced.
  BrokerId Choose(uint64_t turn, size_t depth) const {
    if (depth < unfenced) return brokers[(turn + depth) % unfenced];
    size_t fenced = brokers.size() - unfenced;
    return brokers[unfenced + (turn + depth - unfenced) % fenced];
  }
};

std::vector<Rack> GroupByRack(const std::vector<PlacementCandidate>& candidates) {
  std::map<std::string, std::vector<PlacementCandidate>> by_rack;
  for (const PlacementCandidate& candidate : candidates) {
    by_rack[candidate.rack.value_or("")].push_back(candidate);
  }
  std::vector<Rack> racks;
  for (auto& [name, members] : by_rack) {
    std::ranges::sort(members, [](const auto& a, const auto& b) {
      return std::pair(a.fenced, a.id) < std::pair(b.fenced, b.id);
    });
    Rack rack;
    for (const PlacementCandidate& member : members) {
      rack.brokers.push_back(member.id);
      if (!member.fenced) ++rack.unfenced;
    }
    racks.push_back(std::move(rack));
  }
  // Racks that can lead first; the order is otherwise by name, the same everywhere.
  std::vector<Rack> ordered;
  for (bool leads : {true, false}) {
    for (const Rack& rack : racks) {
      if ((rack.unfenced > 0) == leads) ordered.push_back(rack);
    }
  }
  return ordered;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<BrokerId>>> PlaceReplicas(
    const std::vector<PlacementCandidate>& candidates, int32_t partition_count,
    int32_t replication_factor, uint64_t random_start) {
  if (replication_factor <= 0) {
    return MakeError(ErrorKind::kInvalidReplicationFactor,
                     "Replication factor must be larger than 0, or -1 to use the default value.");
  }
  if (static_cast<size_t>(replication_factor) > candidates.size()) {
    return MakeError(
        ErrorKind::kInvalidReplicationFactor,
        fmt::format(
            "Unable to replicate the partition {} time(s): The target replication factor of {} "
            "cannot be reached because only {} broker(s) are registered.",
            replication_factor, replication_factor, candidates.size()));
  }
  std::vector<Rack> racks = GroupByRack(candidates);
  size_t leading_racks = static_cast<size_t>(
      std::ranges::count_if(racks, [](const Rack& rack) { return rack.unfenced > 0; }));
  if (leading_racks == 0) {
    return MakeError(ErrorKind::kInvalidReplicationFactor, "All brokers are currently fenced.");
  }

  std::vector<std::vector<BrokerId>> placed;
  placed.reserve(static_cast<size_t>(partition_count));
  for (int32_t p = 0; p < partition_count; ++p) {
    const uint64_t turn = random_start + static_cast<uint64_t>(p);
    // Rotates over the racks, and over the brokers of a rack once per round of the racks.
    const size_t first_rack = turn % leading_racks;
    const uint64_t round = turn / leading_racks;
    std::vector<BrokerId> replicas;
    for (size_t depth = 0; replicas.size() < static_cast<size_t>(replication_factor); ++depth) {
      for (size_t i = 0;
           i < racks.size() && replicas.size() < static_cast<size_t>(replication_factor); ++i) {
        size_t index = i < leading_racks ? (first_rack + i) % leading_racks : i;
        const Rack& rack = racks[index];
        if (depth < rack.brokers.size()) replicas.push_back(rack.Choose(round, depth));
      }
    }
    placed.push_back(std::move(replicas));
  }
  return placed;
}

}  // namespace millrace

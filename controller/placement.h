// Where the replicas of new partitions go: striped over racks and, within a rack, over brokers, so
// that leaders and replicas are spread evenly; unfenced brokers before fenced ones.
//
// Pure: the random start is an argument.
// Source: KRaft's rule 5.48; KIP-36 (rack awareness).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct PlacementCandidate {
  BrokerId id;
  std::optional<std::string> rack;
  bool fenced;
};

// The replicas of `partition_count` new partitions, preferred leader first. A partition never has
// two replicas on one broker, nor on one rack while there are racks without. Errors:
// kInvalidReplicationFactor: not positive, or more than there are brokers; only fenced ones.
absl::StatusOr<std::vector<std::vector<BrokerId>>> PlaceReplicas(
    const std::vector<PlacementCandidate>& candidates, int32_t partition_count,
    int32_t replication_factor, uint64_t random_start);

}  // namespace millrace

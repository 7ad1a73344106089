// What the admin endpoint says of groups: where they are, how many records they are behind, and for
// how long the oldest of those has waited.
//
//   1. Each shard says where the groups are that it coordinates.
//   2. The shards that have those partitions say how far behind that is (lag_meter.h).
//
// Of a partition that this broker has no replica of it does not know the end, and says only where the
// group is; the leader says where the partition ends, for whoever puts the two together
// (docs/operations.md). Nothing of this is gathered unless somebody looks.
//
// Shard: shard 0 asks, by calls, and goes on turn by turn.
// Bound: kGroupPositionsMax of a broker, in order of shard, partition of __consumer_offsets and group;
//        kPartitionEndsMax partitions. What is left out is counted.
#pragma once

#include <cstddef>
#include <vector>

#include "common/ids.h"
#include "common/metrics/metrics.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

class NodeShard;
class Reactor;

inline constexpr size_t kGroupPositionsMax = 5000;
inline constexpr size_t kPartitionEndsMax = 5000;

// `reactor`: of the shard that asks. `parts`: those of all shards, in order; each used on its own shard,
// until the task has ended.
Task<MetricSnapshot> GroupLagMetrics(Shards* calls, Reactor* reactor, std::vector<NodeShard*> parts,
                                     Timestamp now);

}  // namespace millrace

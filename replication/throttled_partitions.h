// ThrottledPartitions: which partitions of a topic a replication throttle (KIP-73) applies to, as seen
// by one broker. A value; made by broker/topic_config_source, held by PartitionRules.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct ThrottledPartitions {
  bool all = false;
  std::vector<PartitionId> some = {};  // In order.

  bool empty() const { return !all && some.empty(); }
  bool Contains(PartitionId id) const { return all || std::ranges::binary_search(some, id); }
  friend bool operator==(const ThrottledPartitions&, const ThrottledPartitions&) = default;
};

// Of this broker's replicas: those throttled where it leads, and those where it follows.
struct TopicThrottles {
  ThrottledPartitions leader = {};
  ThrottledPartitions follower = {};

  bool empty() const { return leader.empty() && follower.empty(); }
  friend bool operator==(const TopicThrottles&, const TopicThrottles&) = default;
};

// Bytes a second of this broker, over all of its shards. Nothing: no bound.
struct ThrottleRates {
  std::optional<uint64_t> leader = {};
  std::optional<uint64_t> follower = {};
  friend bool operator==(const ThrottleRates&, const ThrottleRates&) = default;
};

}  // namespace millrace

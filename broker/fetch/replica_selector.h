// Which replica a consumer is to read from (KIP-392): the leader says so in its answer to a fetch
// that names the consumer's rack.
//
// Pure. Source: rules 2.40-2.42: what Kafka's RackAwareReplicaSelector does.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// A replica in the ISR, the leader among them.
struct ReadableReplica {
  BrokerId broker;
  std::optional<std::string> rack;
  Offset log_start;
  Offset log_end;
  Duration behind;  // The leader, for so long.
  bool leads;
};

// Of those of the rack that have `offset` in their log: the leader, else the most caught up. Nothing
// when there is none: the consumer stays where it is.
std::optional<BrokerId> SelectByRack(const std::vector<ReadableReplica>& replicas,
                                     std::string_view rack, Offset offset);

}  // namespace millrace

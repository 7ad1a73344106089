#include "broker/fetch/replica_selector.h"

#include <tuple>

namespace millrace {

std::optional<BrokerId> SelectByRack(const std::vector<ReadableReplica>& replicas,
                                     std::string_view rack, Offset offset) {
  const auto rank = [](const ReadableReplica& replica) {
    // By id in the end, so that all consumers of a rack read from the same cache.
    return std::tuple(replica.leads, replica.log_end, -replica.behind, -replica.broker.value());
  };
  const ReadableReplica* best = nullptr;
  for (const ReadableReplica& replica : replicas) {
    if (replica.rack != rack || offset < replica.log_start || offset > replica.log_end) continue;
    if (best == nullptr || rank(*best) < rank(replica)) best = &replica;
  }
  return best == nullptr ? std::nullopt : std::optional(best->broker);
}

}  // namespace millrace

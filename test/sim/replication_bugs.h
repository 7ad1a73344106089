// Planted bugs of replication: beside the groups of each shard something that makes its partitions,
// by their own doors, do what they must not. The partitions are as they are.
#pragma once

#include "broker/coordinator/group_service.h"

namespace millrace::simtest {

enum class ReplicationBug {
  kNone,
  // Who begins to follow cuts its log at its own high watermark, before it asks where the logs part
  // (KIP-101): what it had above may have been committed.
  kTruncatesByHighWatermark,
  // One of the ISR counts as having everything, whatever it reports: the high watermark runs ahead
  // of a replica that may lead next.
  kCountsStaleMember,
};
inline constexpr ReplicationBug kReplicationBugs[] = {ReplicationBug::kTruncatesByHighWatermark,
                                                      ReplicationBug::kCountsStaleMember};

const char* ReplicationBugName(ReplicationBug bug);

// For nodes: made on each shard, with the partitions.
GroupServiceFactory NodesWith(ReplicationBug bug);

}  // namespace millrace::simtest

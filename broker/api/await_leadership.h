// A client may know sooner than this broker that this broker leads: whoever told it has applied the
// metadata already. Refused at once it would look for the leader again, and be told the same; some
// wait for seconds before they do (franz-go five, after it has asked once). So who claims that this
// broker leads, or a later epoch, is answered when the metadata has come, if it comes soon. So are
// the same claims on a partition that is to be led here and has just been created: its log is being
// made.
//
// Bounds:   the wait: kMetadataLag, kElectionWait where the leader that is known here may just have
//           died, and kOpeningWait for a log, once, unless it could not be opened; all claims of a request wait for the last. What was waited for in vain is not waited
//           for again within a second, and a broker that led until the present epoch began not at
//           all: its clients are behind, not ahead (after a restart it does not know). Of a request
//           that claims more than kClaimsMax partitions of a shard nothing is waited for there.
// Source:   docs/replication.md, What a kill -9 costs.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "broker/broker.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"

namespace millrace {

inline constexpr size_t kClaimsMax = 1000;

// What a client takes for true by asking this broker.
struct LeadershipClaim {
  TopicPartitionId id;
  std::optional<LeaderEpoch> epoch;  // Nothing: it does not say.
};

// Whether the metadata says so; it may not be open here yet.
bool IsToLead(const Broker& broker, const TopicPartitionId& id);

// Those that may come true soon, each partition once. REQUIRES: `broker` is of their shard.
std::vector<LeadershipClaim> OpenClaims(Broker& broker, std::vector<LeadershipClaim> claims);

// Until none of what OpenClaims() told may still come true, or `cancel`. REQUIRES: the same.
Task<void> AwaitLeadership(Broker* broker, std::vector<LeadershipClaim> claims,
                           CancellationToken cancel);

// The same of claims that belong to any shards; from any.
Task<void> AwaitLeaderships(Broker* broker, std::map<ShardId, std::vector<LeadershipClaim>> claims,
                            CancellationToken cancel);

}  // namespace millrace

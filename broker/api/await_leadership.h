// A client may know sooner than this broker that this broker leads: whoever told it has applied the
// metadata already. Refused at once it would look for the leader again, and be told the same; some
// wait for seconds before they do (franz-go five, after it has asked once). So who claims that this
// broker leads, or a later epoch, is answered when the metadata has come, if it comes soon.
//
// Bounds:   the wait: kMetadataLag, and kElectionWait where the leader that is known here may just have
//           died. A broker that led until the present epoch began is not waited for: its clients are
//           behind, not ahead.
// Source:   docs/replication.md, What a kill -9 costs.
#pragma once

#include <optional>
#include <vector>

#include "broker/broker.h"
#include "common/ids.h"

namespace millrace {

// What a client takes for true by asking this broker.
struct LeadershipClaim {
  TopicPartitionId id;
  std::optional<LeaderEpoch> epoch;  // Nothing: it does not say.
};

// Until none of `claims` may still come true. REQUIRES: `broker` is of the shard that they belong to.
Task<void> AwaitLeadership(Broker* broker, std::vector<LeadershipClaim> claims);

}  // namespace millrace

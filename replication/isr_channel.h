// IsrChannel: how the leader of a partition asks the controller for another ISR. The controller
// decides and records; until it has answered, the leader counts whoever may be in either (KIP-497).
//
// Shard:  Propose() runs on the partition's shard and ends there. An implementation gathers what
//         comes together into one AlterPartition of this broker.
// Errors: none. It asks again, for as long as it takes, when the controller is not there, is not
//         active, or says something that another try may change. What the controller decided in
//         the meantime reaches the leader as metadata.
// Source: AlterPartition (key 56), rules 5.10-5.14.
#pragma once

#include <expected>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"

namespace millrace {

// A member comes with the broker epoch in which it was seen to be in sync: a broker that has begun
// anew since is not admitted by mistake (KIP-903).
struct IsrMember {
  BrokerId broker;
  std::optional<BrokerEpoch> broker_epoch;  // Nothing (the wire's -1): not known, not compared.
  friend bool operator==(const IsrMember&, const IsrMember&) = default;
};

struct IsrProposal {
  LeaderEpoch leader_epoch;
  PartitionEpoch partition_epoch;  // What it is based on.
  std::vector<IsrMember> isr;      // In order of ids; the leader among them.
  // Always false: who leads after an unclean election says with its first proposal that it is
  // whole (leader_recovery_state RECOVERED).
  bool recovering = false;
  friend bool operator==(const IsrProposal&, const IsrProposal&) = default;
};

// What is committed now.
struct CommittedIsr {
  LeaderEpoch leader_epoch;
  PartitionEpoch partition_epoch;
  std::vector<BrokerId> isr;
  friend bool operator==(const CommittedIsr&, const CommittedIsr&) = default;
};

enum class IsrRefusal {
  // INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED, INVALID_REQUEST: this proposal is given up. What
  // is committed stays; another may be made.
  kGivenUp,
  // INVALID_UPDATE_VERSION, FENCED_LEADER_EPOCH, UNKNOWN_TOPIC_*, NEW_LEADER_ELECTED: there is
  // another state already, which the metadata will bring.
  kSuperseded,
  // `cancel` was cancelled; whether it was decided is not known.
  kCancelled,
};

using IsrOutcome = std::expected<CommittedIsr, IsrRefusal>;

class IsrChannel {
 public:
  virtual ~IsrChannel() = default;
  virtual Task<IsrOutcome> Propose(TopicPartitionId id, IsrProposal proposal,
                                   CancellationToken cancel) = 0;
};

}  // namespace millrace

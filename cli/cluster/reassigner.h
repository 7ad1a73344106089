// Moving replicas from the command line: starts reassignments and waits until they have ended. They go
// on when nobody waits.
//
// Shard:  one. Lifetime: `session` outlives the tasks.
// Errors: what a broker refused, with the partition; kCancelled: Ctrl-C while waiting.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cli/client_verb.h"
#include "cli/cluster/replica_plan.h"
#include "common/runtime/task.h"

namespace millrace {

// Each partition is to have the replicas that stand with it. What was refused is named; the others of
// the request go on.
Task<absl::Status> StartReassignments(ClientSession* session,
                                      std::vector<PlanPartition> partitions);

// Those of `partitions` that are being reassigned stay as they are.
Task<absl::Status> CancelReassignments(ClientSession* session,
                                       std::vector<PlanPartition> partitions);

struct OngoingMove {
  PlanPartition partition;
  std::vector<BrokerId> adding;
  std::vector<BrokerId> removing;

  bool Removes(BrokerId id) const { return std::ranges::find(removing, id) != removing.end(); }
};
Task<absl::StatusOr<std::vector<OngoingMove>>> ListReassignments(ClientSession* session);

// What is planned next begins where these moves end: `partitions` get the replicas that they will
// have then, in that order.
void ApplyMoves(const std::vector<OngoingMove>& moves, std::vector<PlanPartition>& partitions);

// Until none of `partitions` is being reassigned; says on stderr how many are left. However long it
// takes: --timeout is for each question.
Task<absl::Status> AwaitReassignments(ClientSession* session,
                                      std::vector<PlanPartition> partitions);

}  // namespace millrace

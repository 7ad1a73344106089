// AlterPartitionBatcher: the IsrChannel of a node: gathers what its partitions propose into one
// AlterPartition request at a time, and tells each what the controller decided.
//
//   partition, any shard ── Propose ──► shard 0: queue ── one request ──► active controller
//
// While a request is under way the next one fills up, so batching needs no timer.
//
// Shard:    AlterPartitionBatcher on shard 0. The other shards have a RemoteIsrChannel.
// Lifetime: `requests` outlives it. Stop() must have finished before destruction: who still waits
//           is told kCancelled.
// Errors:   as IsrChannel.
// Bound:    a partition has one proposal under way; `partitions_max` go in one request.
// Source:   AlterPartition (key 56) version 3; rules 5.10-5.14.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "broker/control/controller_requests.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/shards.h"
#include "common/runtime/task_scope.h"
#include "replication/isr_channel.h"

namespace millrace {

struct AlterPartitionOptions {
  BrokerId self{0};
  // This broker's registration now; nothing: there is none yet.
  std::function<std::optional<BrokerEpoch>()> epoch;
  size_t partitions_max = 2000;
  // Pause before what was not decided is asked again.
  Duration retry_min = milliseconds(20);
  Duration retry_max = milliseconds(500);
};

class AlterPartitionBatcher final : public IsrChannel {
 public:
  AlterPartitionBatcher(Env& env, ControllerRequests& requests, AlterPartitionOptions options);

  void Start() { scope_.Spawn(Run()); }
  Task<void> Stop();

  Task<IsrOutcome> Propose(TopicPartitionId id, IsrProposal proposal,
                           CancellationToken cancel) override;

 private:
  struct Waiting {
    Waiting(Reactor& reactor, TopicPartitionId its_id, IsrProposal its_proposal)
        : id(its_id), proposal(std::move(its_proposal)), ended(reactor) {}
    const TopicPartitionId id;
    const IsrProposal proposal;
    std::optional<IsrOutcome> outcome;
    bool abandoned = false;
    Event ended;
  };
  using Batch = std::vector<std::shared_ptr<Waiting>>;

  Task<void> Run();
  Batch TakeBatch();
  // Sets the outcome of what was decided.
  Task<void> Ask(Batch batch);

  const AlterPartitionOptions options_;
  Env& env_;
  ControllerRequests& requests_;
  std::deque<std::shared_ptr<Waiting>> queue_;
  Event changed_;
  TaskScope scope_;
};

// IsrChannel for the shards on which the batcher is not.
//
// Shard: the one it was made on. Lifetime: `shards` and `batcher` (of shard 0) outlive it.
class RemoteIsrChannel final : public IsrChannel {
 public:
  RemoteIsrChannel(Shards& shards, ShardId here, IsrChannel& batcher)
      : shards_(shards), here_(here), batcher_(batcher) {}
  Task<IsrOutcome> Propose(TopicPartitionId id, IsrProposal proposal,
                           CancellationToken cancel) override;

 private:
  Shards& shards_;
  const ShardId here_;
  IsrChannel& batcher_;
};

}  // namespace millrace

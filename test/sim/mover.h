// SimMover: an administrator who moves the story's partitions from broker to broker, changes his
// mind, and waits in the end until what he began is done (P34).
//
// Shard:    its client node's one.
// Lifetime: `env` and the story's plan outlive it. Stop() before destruction.
#pragma once

#include <optional>
#include <vector>

#include "test/sim/kafka_client.h"
#include "test/sim/workload.h"

namespace millrace::simtest {

class SimMover {
 public:
  SimMover(Env& env, const WorkloadPlan& plan, History& history)
      : env_(env), plan_(plan), history_(history), scope_(env.reactor), client_(env, "mover") {}
  void Start() { scope_.Spawn(Run()); }
  Task<void> Stop();
  // No new moves.
  void Rest() { resting_ = true; }
  // Nothing moves any more.
  bool done() const { return done_; }
  uint64_t moves() const { return moves_; }

 private:
  Task<void> Run();
  // One request; what a refusal says is of no interest.
  Task<absl::Status> Move();
  Task<absl::StatusOr<bool>> SomethingMoves();

  Env& env_;
  const WorkloadPlan& plan_;
  History& history_;
  TaskScope scope_;
  KafkaClient client_;
  bool resting_ = false;
  bool done_ = false;
  uint64_t moves_ = 0;  // That were accepted.
};

}  // namespace millrace::simtest

// CoordinatorPartition: one partition of an internal topic that this broker leads, and so a
// coordinator: the machine that decides, its log, its clock.
//
//   kLoading ──the log was read──► kActive ──an append failed──► kLoading, with a new machine
//       └──────────────── led elsewhere, topic gone, broker stops ──────────────► kEnded
//
// Use:      Enter(); decide on the machine; Carry() what that came to, all in one turn; then wait for
//           Told() before anybody hears of it. Keep the holder until the end.
// Shard:    the partition's.
// Lifetime: everything lent outlives it. Stop() must have finished before destruction; whoever is
//           inside is told, and waited for.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/coordinator/coordinator_log.h"
#include "broker/coordinator/coordinator_machine.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task_scope.h"

namespace millrace {

using CoordinatorMachineFactory =
    std::function<std::unique_ptr<CoordinatorMachine>(TopicPartitionId, CoordinatorTime)>;

// What a life of a coordinator is made of.
struct CoordinatorParts {
  CoordinatorMachineFactory machine;
  CoordinatorLogFactory log = MakeCoordinatorLog;
};

// Why a coordinator does not answer now.
enum class CoordinatorRefusal {
  kNotCoordinator,
  kLoading,
  kUnwritable,  // Too few replicas are in sync, or too much waits to be written.
};

class CoordinatorPartition {
 public:
  CoordinatorPartition(Env& env, PartitionTable& partitions, LogStore& store,
                       const CoordinatorParts& make, TopicPartitionId id, std::string name,
                       LeaderEpoch epoch);

  // One life of the machine: from when it is loaded to when its log fails.
  struct Life {
    Life(Reactor& reactor) : gate(reactor) {}
    std::unique_ptr<CoordinatorMachine> machine;
    std::unique_ptr<CoordinatorLog> log;
    Gate gate;
  };
  // Being inside a life.
  struct Inside {
    std::shared_ptr<Life> life;
    Gate::Holder holder;
    CoordinatorMachine& machine() const { return *life->machine; }
    CoordinatorLog& log() const { return *life->log; }
  };

  // `to_write`: the request changes something.
  std::expected<Inside, CoordinatorRefusal> Enter(bool to_write);
  // Appends what was decided in this turn, and looks at the machine's clock anew.
  void Carry(const Inside& inside, std::vector<CoordinatorRecord> records);

  // These topics are gone.
  void OnTopicsDeleted(const std::vector<DeletedTopic>& topics);

  const TopicPartitionId& id() const { return id_; }
  LeaderEpoch epoch() const { return epoch_; }
  bool active() const { return active_; }
  const Life* life() const { return life_.get(); }

  // Loads, keeps the clock, loads anew; until Stop(). Once.
  void Start();
  Task<void> Stop();

 private:
  Task<void> Run();
  // One life.
  Task<absl::Status> Live();
  // Until the life's log fails, or Stop().
  Task<void> KeepTime();
  void OnTime();
  void TellDeletedTopics();
  Task<void> EndLife();
  CoordinatorTime Time() const { return {env_.reactor.Now(), env_.clock.Now()}; }

  // Constant after construction.
  const TopicPartitionId id_;
  const LeaderEpoch epoch_;
  const std::string name_;  // "__consumer_offsets-7", for messages.
  // Borrowed.
  Env& env_;
  PartitionTable& partitions_;
  LogStore& store_;
  const CoordinatorParts& make_;
  // State.
  std::shared_ptr<Life> life_;
  bool active_ = false;
  bool lived_ = false;  // This life has been active.
  Event changed_;       // There is an earlier time to wake at, or the log has failed.
  Instant wake_ = Instant::Max();
  std::vector<DeletedTopic> deleted_topics_;  // The machine has not been told of yet.
  TaskScope scope_;
};

}  // namespace millrace

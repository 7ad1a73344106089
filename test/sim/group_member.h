// SimGroupMember: a consumer of one classic group that reads nothing: it joins, is given partitions,
// says that it is alive, and commits positions from the history's counter; it leaves, or vanishes, at
// random. A ghost goes on after it has vanished, as if nothing had been. Another one asks for the
// group's positions.
//
// A position that was drawn later is committed later, whatever breaks: after a connection was lost a
// member joins as a new one, and so in another generation than what may still be under way.
//
// Shard:    the client node's one shard.
// Lifetime: `env`, the story's plan and history outlive it. Stop() before destruction.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/task_scope.h"
#include "test/sim/history.h"
#include "test/sim/kafka_client.h"
#include "test/sim/workload.h"

namespace millrace::simtest {

inline constexpr const char* kStoryGroup = "story-group";

class SimGroupMember {
 public:
  SimGroupMember(Env& env, const WorkloadPlan& plan, History& history, int number);
  void Start() { scope_.Spawn(Run()); }
  // Instead: no member, it asks for the positions over and over.
  void StartWatching() { scope_.Spawn(KeepAsking()); }
  // From now on nothing is heard of it, and its connection stays.
  void FallSilent() { silent_ = true; }
  // From now on it neither leaves nor vanishes.
  void Stay() { stays_ = true; }
  Task<void> Stop();

  // Asks where the group is, in every partition, and tells the history.
  Task<absl::Status> TellPositions();
  // Positions of its own that were acknowledged.
  uint64_t committed() const { return committed_; }
  // Partitions that it was given in its present generation.
  size_t owned() const { return owned_; }
  const std::string& state() const { return last_problem_; }

 private:
  struct Membership {
    std::string member_id;
    int32_t generation = -1;
    std::set<int32_t> partitions;
  };

  Task<void> Run();
  Task<void> KeepAsking();
  // One membership; returns when it ended, or something broke.
  Task<absl::Status> Session();
  Task<absl::Status> ConnectToCoordinator();
  Task<absl::Status> Join(Membership* me);
  Task<absl::Status> Sync(Membership* me, std::vector<std::string> members);
  // True: join again.
  Task<absl::StatusOr<bool>> Heartbeat(const Membership* me);
  Task<absl::Status> Commit(const Membership* me);
  Task<absl::Status> GoOnAsGhost(const Membership* me);
  Task<absl::Status> Leave(const Membership* me);
  Task<absl::Status> AskPositions();

  Env& env_;
  const WorkloadPlan& plan_;
  History& history_;
  const int number_;
  TaskScope scope_;
  KafkaClient client_;
  uint64_t committed_ = 0;
  size_t owned_ = 0;
  bool silent_ = false;
  bool stays_ = false;
  bool topic_is_there_ = false;
  std::string last_problem_;
};

}  // namespace millrace::simtest

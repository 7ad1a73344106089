// SimWorld: a whole cluster in one thread, from one seed. Time is virtual: it jumps from one event
// to the next, and nothing waits for a real clock.
//
// What happens is a queue of events ordered by (time, seeded tie-break, number): a shard's turn, a
// disk's completion, a segment's arrival. Every latency, every order among equals and every fault
// is drawn from generators derived from the seed, so a seed replays exactly, in any process
// (SimTrace proves it). The world never iterates an unordered container and never looks at an
// address.
//
// Shard:    one thread. Call it from the outside (a test's body) or from an event given to At();
//           never from a coroutine of a node, except for what is said to be safe there.
// Lifetime: owns its nodes. Its destructor kills those that still run.
// Source:   RELIABILITY §B: the seam, the faults, the targets.
//
// The smallest use:
//   SimWorld world(seed);
//   SimNode& node = world.AddNode("n1");
//   Env& env = node.Boot();
//   absl::Status status = world.Run(env, DoSomething(&env.disk));
//   node.PowerLoss();          // What was not synced may be gone.
//   Env& again = node.Boot();  // The same disk, a new process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/runtime/sim/sim_disk_options.h"
#include "common/runtime/sim/sim_network_options.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_trace.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"

namespace millrace {

class SimFabric;
class SimNode;

struct SimOptions {
  // What the wall clock of a node without skew shows at virtual time 0.
  Timestamp wall_start{1'700'000'000'000};
  // A shard with something to do runs its next turn within this time. Larger: the other events
  // fall between turns more often.
  Duration turn_delay_max = microseconds(5);
  // Coroutines that one turn resumes at most; drawn anew per turn from [1, this].
  uint32_t resumes_per_turn_max = 32;
  // Functions that wait in a reactor's inbox at most; Post() answers false beyond it.
  size_t inbox_max = 4096;
  SimNetworkOptions network;
  SimDiskOptions disk;  // For nodes that do not bring their own.
};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed, SimOptions options = {});
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;
  ~SimWorld();

  uint64_t seed() const { return seed_; }
  const SimOptions& options() const { return options_; }
  Instant Now() const { return now_; }
  SimTrace& trace() { return trace_; }
  // For scenarios: what to break and when. The world's own choices come from elsewhere.
  SimRandom& dice() { return scenario_random_; }
  SimFabric& network() { return *fabric_; }
  // Where the nodes' lines go, with time and node before them; nowhere by default.
  void set_logger(Logger& logger) { logger_ = &logger; }
  Logger& logger() { return *logger_; }

  // A machine with an empty disk, switched off. Its name is its host name on the network.
  SimNode& AddNode(std::string name);
  SimNode& AddNode(std::string name, SimDiskOptions disk);
  SimNode* FindNode(const std::string& name);
  uint32_t nodes() const { return static_cast<uint32_t>(nodes_.size()); }
  SimNode& node(uint32_t index) { return *nodes_.at(index); }

  // Runs `what` at `when` (at once if that is past), from the event loop. Safe in coroutines.
  void At(Instant when, std::move_only_function<void()> what);
  void After(Duration delay, std::move_only_function<void()> what) {
    At(now_ + delay, std::move(what));
  }

  // Runs the next event; false when there is none.
  bool Step();
  // Runs everything up to `now + duration`, and stands there.
  void RunFor(Duration duration);
  // Runs events until `done()`, asked after each one; false when `limit` of virtual time has passed
  // or nothing can happen any more.
  bool RunUntil(std::move_only_function<bool()> done, Duration limit);

  // Runs `task` on the shard of `env`, and the world with it, to the task's end. On a crashed node
  // it runs in the afterlife (SimProcess). CHECKs that the task can end at all: a task that waits
  // for what never comes is reported with the seed.
  template <typename T>
  T Run(Env& env, Task<T> task) {
    std::optional<T> result;
    RunRoot(env, Store(std::move(task), &result));
    return std::move(*result);
  }
  void Run(Env& env, Task<void> task) { RunRoot(env, std::move(task)); }

 private:
  struct Entry {
    Instant when;
    uint64_t tie;
    uint64_t number;
    std::move_only_function<void()> what;
  };
  // A heap's "less" for earliest first.
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const;
  };

  template <typename T>
  static Task<void> Store(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await task);
  }
  void RunRoot(Env& env, Task<void> task);

  const uint64_t seed_;
  const SimOptions options_;
  Instant now_{0};
  uint64_t next_number_ = 0;
  bool stepping_ = false;
  SimTrace trace_;
  SimRandom scheduler_random_;
  SimRandom scenario_random_;
  NullLogger null_logger_;
  Logger* logger_;
  std::vector<Entry> queue_;  // A heap by Later.
  std::unique_ptr<SimFabric> fabric_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
};

}  // namespace millrace

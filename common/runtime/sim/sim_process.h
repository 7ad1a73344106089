// SimProcess: one run of a node's program, from Boot() to its death: its shards, each with an Env.
//
// Death. A suspended coroutine is never destroyed from outside (STYLE §3.7), so a crash cannot make
// frames vanish; it takes away their effect instead. When a process dies, between two events of the
// world:
//   1. The world around it goes on without it: its disk's and network's state is what a crash
//   leaves
//      (SimDiskImage, SimFabric), its locks and listeners are gone.
//   2. Every pending disk and network operation ends with kCancelled, and every later one does so
//      too, without any effect; log lines are dropped.
//   3. The afterlife: the process's own shards run on, alone, on a clock of their own that jumps to
//      the next timer whenever nothing is ready. The program's Stop() runs there, so every frame
//      ends by itself and every object is destroyed in order. The world's time stands still, and
//      nothing the afterlife does can reach another node or the disk.
// So a crash leaks nothing (AddressSanitizer agrees), needs nothing from the code under test but
// that it can stop when everything fails, and is as deterministic as the rest.
//
// Shard:    its own; the world calls it between events.
// Lifetime: dead processes are kept until the world's end, because slices, Env references and
//           objects of tests may outlive the death.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/env.h"
#include "common/runtime/sim/sim_disk.h"
#include "common/runtime/sim/sim_network.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_reactor.h"

namespace millrace {

class SimNode;
class SimProcess;
class SimWorld;

// co_await SimDelay(...): true when the time has passed, false when the process died before. Always
// suspends for at least one turn, as a kernel's completion does.
class SimDelay {
 public:
  SimDelay(SimProcess& process, SimReactor& reactor, Duration duration)
      : process_(process), reactor_(reactor), duration_(duration) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  bool await_resume() const { return alive_; }

  Duration duration() const { return duration_; }
  void Finish(bool alive) {
    alive_ = alive;
    reactor_.Ready(handle_, sched_class_);
  }

 private:
  SimProcess& process_;
  SimReactor& reactor_;
  Duration duration_;
  bool alive_ = false;
  SchedClass sched_class_ = SchedClass::kHousekeeping;
  std::coroutine_handle<> handle_;
};

class SimHelperPool final : public HelperPool {
 public:
  SimHelperPool(SimProcess& process, SimReactor& reactor, uint64_t seed)
      : process_(process), reactor_(reactor), dice_(seed) {}
  // The work runs in the middle of a drawn stretch of virtual time, on the one thread there is. It
  // also runs in the afterlife: what it does must go through the injected world to be without
  // effect there.
  Task<void> RunAs(HelperWork kind, std::move_only_function<void()> work) override;

 private:
  SimProcess& process_;
  SimReactor& reactor_;
  SimRandom dice_;
};

// Time and node before each line; silent once the process is dead.
class SimLogger final : public Logger {
 public:
  explicit SimLogger(SimProcess& process) : process_(process) {}
  void Log(LogLevel level, std::string message) override;
  bool Enabled(LogLevel level) const override;

 private:
  SimProcess& process_;
};

class SimProcess {
 public:
  SimProcess(SimWorld& world, SimNode& node, uint64_t incarnation, size_t shards);
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;
  ~SimProcess();

  SimWorld& world() { return world_; }
  SimNode& node() { return node_; }
  const SimNode& node() const { return node_; }
  uint64_t incarnation() const { return incarnation_; }
  size_t shards() const { return shards_.size(); }
  Env& env(size_t shard = 0);
  SimReactor& reactor(size_t shard = 0);

  bool dead() const { return dead_; }
  // The world's time; in the afterlife the process's own.
  Instant Now() const;

  // Steps 1 and 2 of a death; `power_lost` decides what the network sees. Idempotent.
  void Die(bool power_lost);
  // Step 3: runs the shards until `done()`. CHECKs that this comes to an end.
  void RunAfterlife(std::move_only_function<bool()> done);
  // One turn, or one jump of the private clock; false when nothing is left to run.
  bool StepAfterlife();

  void Trace(std::string_view what, std::initializer_list<uint64_t> numbers);

  // For SimDelay: calls its Finish() once, later.
  void Add(SimDelay& delay);

 private:
  struct Shard;

  // Constant after construction.
  SimWorld& world_;
  SimNode& node_;
  const uint64_t incarnation_;
  const std::string seed_name_;

  // Owned.
  SimLogger logger_;
  std::vector<std::unique_ptr<Shard>> shards_;

  // State.
  bool dead_ = false;
  Instant afterlife_now_{0};
  uint64_t next_delay_ = 0;
  std::map<uint64_t, SimDelay*> delays_;  // By number: a death ends them in the order they began.
};

}  // namespace millrace

// SimNode: a machine of the simulated world: a name on the network, a disk that outlives processes,
// a wall clock that may lie, and at most one process at a time.
//
// Ways to end a process, each a different fault:
//   StopGracefully()  the program's Stop(), awaited, with everything working;
//   Kill()            kill -9: the page cache and the kernel live on; the disk loses nothing that
//                     was written, peers see their connections reset;
//   PowerLoss()       the page cache is gone: SimDiskImage decides what unsynced state survives;
//                     peers see silence;
//   Wipe()            PowerLoss() and an empty disk.
// Pause() and Resume() are SIGSTOP and SIGCONT: the kernel completes what was begun, the program
// does not see it yet.
//
// Shard:    the world's; Kill() and the rest are called between events (a test's body, or At()).
// Lifetime: owned by its world.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/runtime/sim/sim_disk_image.h"
#include "common/runtime/sim/sim_process.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

// What runs on a node; built anew for each process.
class SimProgram {
 public:
  virtual ~SimProgram() = default;
  // Must end when disk and network fail: a crash may come while it runs.
  virtual Task<absl::Status> Start() = 0;
  // Runs once, after Start() has ended (whatever it answered), before destruction.
  virtual Task<void> Stop() = 0;
};

using SimProgramFactory = std::move_only_function<std::unique_ptr<SimProgram>(SimProcess& process)>;

// The wall clock: the world's time since `wall_start`, plus what this node is wrong by.
class SimClock final : public Clock {
 public:
  explicit SimClock(SimWorld& world) : world_(world) {}
  Timestamp Now() const override;
  void Jump(milliseconds by) { skew_ += by; }
  milliseconds skew() const { return skew_; }

 private:
  SimWorld& world_;
  milliseconds skew_{0};
};

class SimNode {
 public:
  enum class State { kOff, kStarting, kRunning, kFailed, kStopping };

  SimNode(SimWorld& world, uint32_t index, std::string name, SimDiskOptions disk);
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;
  ~SimNode();

  SimWorld& world() { return world_; }
  uint32_t index() const { return index_; }
  const std::string& name() const { return name_; }
  SimDiskImage& disk() { return *disk_; }
  SimClock& clock() { return clock_; }

  // A process without a program, for tests that build things on its Env themselves. They end them
  // before the next Boot(), after a crash with world.Run(env, thing.Stop()) on the old Env.
  Env& Boot(size_t shards = 1);

  // A process that runs a program: begins Start() and returns; state() tells how far it is.
  void Start(SimProgramFactory factory, size_t shards = 1);
  State state() const { return state_; }
  // What Start() answered. REQUIRES: state() is kRunning or kFailed.
  const absl::Status& start_status() const { return start_status_; }
  SimProgram& program() { return *program_; }

  // Runs the world until Stop() has ended. From a test's body only.
  void StopGracefully();
  void Kill() { Crash(false); }
  void PowerLoss() { Crash(true); }
  void Wipe();

  void Pause();
  void Resume();
  bool paused() const { return paused_; }
  // Runs `what` in order at Resume(), or never when the process dies first.
  void WhenResumed(std::move_only_function<void()> what);

  // Has a process (starting, running, stopping).
  bool up() const { return process_ != nullptr; }
  // The machine's kernel answers the network.
  bool powered() const { return powered_; }
  SimProcess& process() { return *process_; }

 private:
  struct Root;

  SimProcess& NewProcess(size_t shards);
  void Crash(bool power_lost);
  static Task<void> StartProgram(SimNode* node, SimProgram* program);
  static Task<void> StopProgram(SimProgram* program);

  // Constant after construction.
  SimWorld& world_;
  const uint32_t index_;
  const std::string name_;

  // Owned.
  std::unique_ptr<SimDiskImage> disk_;
  SimClock clock_;
  std::vector<std::unique_ptr<SimProcess>> processes_;  // All there ever were.

  // State.
  SimProcess* process_ = nullptr;
  std::unique_ptr<SimProgram> program_;
  std::unique_ptr<TaskScope> root_;  // Start() and Stop() of the program.
  State state_ = State::kOff;
  absl::Status start_status_;
  bool powered_ = false;
  bool paused_ = false;
  uint64_t disk_generation_ = 0;
  std::vector<std::move_only_function<void()>> when_resumed_;
};

}  // namespace millrace

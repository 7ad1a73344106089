#include "common/runtime/sim/sim_node.h"

#include <utility>

#include "common/check.h"
#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {

Timestamp SimClock::Now() const {
  return Timestamp(world_.options().wall_start.ms() + world_.Now().nanoseconds() / 1'000'000 +
                   skew_.count());
}

SimNode::SimNode(SimWorld& world, uint32_t index, std::string name, SimDiskOptions disk)
    : world_(world),
      index_(index),
      name_(std::move(name)),
      disk_(std::make_unique<SimDiskImage>(
          disk, SimRandom::Derived(world.seed(), "disk of " + name_).Next())),
      clock_(world) {}

SimNode::~SimNode() { Kill(); }

SimProcess& SimNode::NewProcess(size_t shards) {
  MR_CHECK(process_ == nullptr);
  processes_.push_back(std::make_unique<SimProcess>(world_, *this, processes_.size() + 1, shards));
  process_ = processes_.back().get();
  powered_ = true;
  paused_ = false;
  process_->Trace("boot", {process_->incarnation(), shards});
  world_.network().NodeIsUp(*this);
  return *process_;
}

Env& SimNode::Boot(size_t shards) {
  SimProcess& process = NewProcess(shards);
  state_ = State::kRunning;
  return process.env();
}

void SimNode::Start(SimProgramFactory factory, size_t shards) {
  SimProcess& process = NewProcess(shards);
  program_ = factory(process);
  root_ = std::make_unique<TaskScope>(process.reactor());
  state_ = State::kStarting;
  root_->Spawn(StartProgram(this, program_.get()), SchedClass::kHousekeeping);
}

Task<void> SimNode::StartProgram(SimNode* node, SimProgram* program) {
  node->start_status_ = co_await program->Start();
  node->state_ = node->start_status_.ok() ? State::kRunning : State::kFailed;
}

Task<void> SimNode::StopProgram(SimProgram* program) { co_await program->Stop(); }

void SimNode::StopGracefully() {
  MR_CHECK(process_ != nullptr);
  MR_CHECK(!paused_);
  if (program_ != nullptr) {
    while (root_->running() > 0) MR_CHECK(world_.Step());  // Start() first.
    state_ = State::kStopping;
    root_->Spawn(StopProgram(program_.get()), SchedClass::kHousekeeping);
    while (root_->running() > 0) MR_CHECK(world_.Step());
  }
  root_.reset();
  program_.reset();
  process_->Die(/*power_lost=*/false);  // What a process leaves open, its kernel closes.
  disk_->ReleaseLocks();
  process_ = nullptr;
  state_ = State::kOff;
}

void SimNode::Crash(bool power_lost) {
  if (process_ == nullptr) {
    if (power_lost && powered_) disk_->LosePower();
    powered_ = powered_ && !power_lost;
    return;
  }
  SimProcess& process = *process_;
  process.Die(power_lost);
  disk_->ReleaseLocks();
  if (power_lost) disk_->LosePower();
  powered_ = !power_lost;
  when_resumed_.clear();
  paused_ = false;
  if (program_ != nullptr) {
    process.RunAfterlife([this] { return root_->running() == 0; });
    root_->Spawn(StopProgram(program_.get()), SchedClass::kHousekeeping);
    process.RunAfterlife([this] { return root_->running() == 0; });
    root_.reset();
    program_.reset();
  }
  process_ = nullptr;
  state_ = State::kOff;
}

void SimNode::Wipe() {
  Crash(/*power_lost=*/true);
  disk_->Wipe();
}

void SimNode::Pause() {
  MR_CHECK(process_ != nullptr);
  if (!paused_) process_->Trace("pause", {});
  paused_ = true;
}

void SimNode::Resume() {
  if (!paused_) return;
  paused_ = false;
  process_->Trace("resume", {});
  for (auto& what : std::exchange(when_resumed_, {})) what();
}

void SimNode::WhenResumed(std::move_only_function<void()> what) {
  when_resumed_.push_back(std::move(what));
}

}  // namespace millrace

#include "common/runtime/sim/sim_world.h"

#include <algorithm>
#include <tuple>

#include "common/check.h"
#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_process.h"

namespace millrace {

bool SimWorld::Later::operator()(const Entry& a, const Entry& b) const {
  return std::tie(a.when, a.tie, a.number) > std::tie(b.when, b.tie, b.number);
}

SimWorld::SimWorld(uint64_t seed, SimOptions options)
    : seed_(seed),
      options_(options),
      scheduler_random_(SimRandom::Derived(seed, "scheduler")),
      scenario_random_(SimRandom::Derived(seed, "scenario")),
      logger_(&null_logger_),
      fabric_(std::make_unique<SimFabric>(*this, options.network)) {}

SimWorld::~SimWorld() {
  // Events first to last may name processes and connections: drop them while those exist.
  for (auto& node : nodes_) node->Kill();
  queue_.clear();
  fabric_->Clear();
  nodes_.clear();
}

SimNode& SimWorld::AddNode(std::string name) { return AddNode(std::move(name), options_.disk); }

SimNode& SimWorld::AddNode(std::string name, SimDiskOptions disk) {
  MR_CHECK(FindNode(name) == nullptr);
  nodes_.push_back(std::make_unique<SimNode>(*this, static_cast<uint32_t>(nodes_.size()),
                                             std::move(name), disk));
  return *nodes_.back();
}

SimNode* SimWorld::FindNode(const std::string& name) {
  for (auto& node : nodes_) {
    if (node->name() == name) return node.get();
  }
  return nullptr;
}

void SimWorld::At(Instant when, std::move_only_function<void()> what) {
  queue_.push_back(
      {std::max(when, now_), scheduler_random_.Next(), next_number_++, std::move(what)});
  std::push_heap(queue_.begin(), queue_.end(), Later());
}

bool SimWorld::Step() {
  MR_CHECK(!stepping_);  // Not from inside an event.
  if (queue_.empty()) return false;
  std::pop_heap(queue_.begin(), queue_.end(), Later());
  Entry entry = std::move(queue_.back());
  queue_.pop_back();
  now_ = entry.when;
  stepping_ = true;
  entry.what();
  stepping_ = false;
  return true;
}

void SimWorld::RunFor(Duration duration) {
  const Instant end = now_ + duration;
  while (!queue_.empty() && queue_.front().when <= end) Step();
  now_ = end;
}

bool SimWorld::RunUntil(std::move_only_function<bool()> done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.front().when > end) return false;
    Step();
  }
  return true;
}

void SimWorld::RunRoot(Env& env, Task<void> task) {
  auto& reactor = static_cast<SimReactor&>(env.reactor);
  TaskScope root(reactor);
  root.Spawn(std::move(task), SchedClass::kHousekeeping);
  while (root.running() > 0) {
    // Looked at each time: an event may kill the process, and the task must end in its afterlife.
    const bool stepped = reactor.process().dead() ? reactor.process().StepAfterlife() : Step();
    if (!stepped) {
      fmt::print(stderr, "seed={}: a task waits for what cannot happen any more\n", seed_);
    }
    MR_CHECK(stepped);
  }
}

}  // namespace millrace

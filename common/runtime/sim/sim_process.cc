#include "common/runtime/sim/sim_process.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

// Far above what any Stop() needs; a program that is still busy then retries for ever.
constexpr uint64_t kAfterlifeStepsMax = 10'000'000;

constexpr Duration kHelperWorkMax = milliseconds(2);

}  // namespace

struct SimProcess::Shard {
  Shard(SimProcess& process, ShardId id, uint64_t seed)
      : reactor(process, id, MixBits(seed ^ 1)),
        dice(MixBits(seed ^ 2)),
        disk(process, reactor),
        network(process, reactor, MixBits(seed ^ 3)),
        helpers(process, reactor, MixBits(seed ^ 4)),
        env{reactor, process.node().clock(), dice, disk, network, helpers, process.logger_} {}

  SimReactor reactor;
  SimRandom dice;
  SimDisk disk;
  SimNetwork network;
  SimHelperPool helpers;
  Env env;
};

void SimDelay::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  sched_class_ = reactor_.current_class();
  process_.Add(*this);
}

Task<void> SimHelperPool::RunAs(HelperWork, std::move_only_function<void()> work) {
  co_await SimDelay(process_, reactor_, dice_.Between(Duration(1000), kHelperWorkMax));
  work();
  co_await SimDelay(process_, reactor_, dice_.Between(Duration(1000), kHelperWorkMax));
}

void SimLogger::Log(LogLevel level, std::string message) {
  if (process_.dead()) return;
  process_.world().logger().Log(
      level, fmt::format("{:.6f} {} {}", static_cast<double>(process_.Now().nanoseconds()) / 1e9,
                         process_.node().name(), message));
}

bool SimLogger::Enabled(LogLevel level) const {
  return !process_.dead() && process_.world().logger().Enabled(level);
}

SimProcess::SimProcess(SimWorld& world, SimNode& node, uint64_t incarnation, size_t shards)
    : world_(world),
      node_(node),
      incarnation_(incarnation),
      seed_name_(fmt::format("{}#{}", node.name(), incarnation)),
      logger_(*this) {
  MR_CHECK(shards > 0);
  for (size_t i = 0; i < shards; ++i) {
    const uint64_t seed = SimRandom::Derived(world.seed(), seed_name_, i).Next();
    shards_.push_back(std::make_unique<Shard>(*this, ShardId(static_cast<uint32_t>(i)), seed));
  }
}

SimProcess::~SimProcess() = default;

Env& SimProcess::env(size_t shard) { return shards_.at(shard)->env; }
SimReactor& SimProcess::reactor(size_t shard) { return shards_.at(shard)->reactor; }

Instant SimProcess::Now() const { return dead_ ? afterlife_now_ : world_.Now(); }

void SimProcess::Trace(std::string_view what, std::initializer_list<uint64_t> numbers) {
  if (!dead_) world_.trace().Record(world_.Now(), node_.name(), what, numbers);
}

void SimProcess::Add(SimDelay& delay) {
  if (dead_) {
    delay.Finish(false);
    return;
  }
  const uint64_t number = next_delay_++;
  delays_.emplace(number, &delay);
  world_.At(world_.Now() + delay.duration(), [this, number] {
    auto found = delays_.find(number);
    if (found == delays_.end()) return;  // The process died before.
    SimDelay* finished = found->second;
    delays_.erase(found);
    finished->Finish(true);
  });
}

void SimProcess::Die(bool power_lost) {
  if (dead_) return;
  for (const auto& shard : shards_) MR_CHECK(!shard->reactor.in_turn());  // Not from inside.
  Trace("die", {incarnation_, power_lost ? 1u : 0u});
  afterlife_now_ = world_.Now();
  dead_ = true;
  world_.network().ProcessDied(*this, power_lost);
  for (auto& [number, delay] : std::exchange(delays_, {})) delay->Finish(false);
}

bool SimProcess::StepAfterlife() {
  MR_CHECK(dead_);
  bool ran = false;
  for (const auto& shard : shards_) {
    if (!shard->reactor.has_work()) continue;
    shard->reactor.RunTurn();
    ran = true;
  }
  if (ran) return true;
  std::optional<Instant> next;
  for (const auto& shard : shards_) {
    std::optional<Instant> timer = shard->reactor.NextTimer();
    if (timer.has_value() && (!next.has_value() || *timer < *next)) next = timer;
  }
  if (!next.has_value()) return false;
  afterlife_now_ = std::max(afterlife_now_, *next);
  for (const auto& shard : shards_) shard->reactor.RunTurn();  // Fires what is due.
  return true;
}

void SimProcess::RunAfterlife(std::move_only_function<bool()> done) {
  for (uint64_t steps = 0; !done(); ++steps) {
    // The program of the dead process waits for what cannot come, or retries for ever although
    // everything fails: its Stop() would hang in production too.
    MR_CHECK(StepAfterlife());
    MR_CHECK(steps < kAfterlifeStepsMax);
  }
}

}  // namespace millrace

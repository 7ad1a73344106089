#include "common/runtime/sim/sim_reactor.h"

#include <algorithm>

#include "common/check.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_process.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

// A resume takes the most urgent class but for this share, so that no class starves and the less
// likely orders happen too.
constexpr PerMillion kOtherClass{150'000};

}  // namespace

SimReactor::SimReactor(SimProcess& process, ShardId shard, uint64_t seed)
    : process_(process), shard_(shard), dice_(seed), timers_(process.Now()) {}

SimReactor::~SimReactor() = default;

Instant SimReactor::Now() const { return process_.Now(); }

void SimReactor::Ready(std::coroutine_handle<> handle, SchedClass sched_class) {
  queues_[static_cast<size_t>(sched_class)].handles.push_back(handle);
  ++ready_count_;
  Wake();
}

void SimReactor::Arm(Timer& timer, Instant deadline) {
  timers_.Arm(timer, deadline);
  if (!in_turn_) ScheduleTimers();  // A turn does it once, at its end.
}

void SimReactor::Disarm(Timer& timer) { timers_.Disarm(timer); }

bool SimReactor::Post(std::move_only_function<void()> work) {
  if (inbox_.size() >= process_.world().options().inbox_max) return false;
  inbox_.push_back(std::move(work));
  Wake();
  return true;
}

void SimReactor::Wake() {
  if (turn_scheduled_ || in_turn_ || process_.dead()) return;
  const Duration delay =
      dice_.Between(Duration(100), process_.world().options().turn_delay_max + Duration(100));
  ScheduleTurn(process_.Now() + delay);
}

void SimReactor::ScheduleTurn(Instant when) {
  turn_scheduled_ = true;
  process_.world().At(when, [this] {
    if (process_.dead()) return;
    if (process_.node().paused()) {
      process_.node().WhenResumed([this] { ScheduleTurn(process_.Now()); });
      return;
    }
    turn_scheduled_ = false;
    RunTurn();
  });
}

void SimReactor::ScheduleTimers() {
  if (process_.dead()) return;
  std::optional<Instant> next = timers_.NextDeadline();
  if (!next.has_value()) return;
  if (timer_turn_.has_value() && *timer_turn_ <= *next) return;
  timer_turn_ = *next;
  process_.world().At(*next, [this, when = *next] {
    if (process_.dead() || timer_turn_ != when) return;
    timer_turn_.reset();
    Wake();
  });
}

SimReactor::ReadyQueue* SimReactor::ChooseQueue() {
  std::array<ReadyQueue*, kSchedClasses> candidates;
  size_t count = 0;
  for (ReadyQueue& queue : queues_) {
    if (queue.eligible > 0) candidates[count++] = &queue;
  }
  if (count == 0) return nullptr;
  return count > 1 && dice_.Chance(kOtherClass) ? candidates[dice_.Below(count)] : candidates[0];
}

void SimReactor::RunTurn() {
  MR_CHECK(!in_turn_);
  in_turn_ = true;
  for (size_t i = inbox_.size(); i > 0; --i) {
    std::move_only_function<void()> work = std::move(inbox_.front());
    inbox_.pop_front();
    current_class_ = SchedClass::kHousekeeping;
    work();
  }
  timers_.Advance(Now());
  for (ReadyQueue& queue : queues_) queue.eligible = queue.handles.size();
  uint64_t resumes = dice_.Between(1, process_.world().options().resumes_per_turn_max);
  process_.Trace("turn", {shard_.value(), ready_count_, resumes});
  for (; resumes > 0; --resumes) {
    ReadyQueue* queue = ChooseQueue();
    if (queue == nullptr) break;
    std::coroutine_handle<> handle = queue->handles.front();
    queue->handles.pop_front();
    --queue->eligible;
    --ready_count_;
    current_class_ = static_cast<SchedClass>(queue - queues_.data());
    handle.resume();
  }
  in_turn_ = false;
  if (has_work()) Wake();
  ScheduleTimers();
}

}  // namespace millrace

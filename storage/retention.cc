#include "storage/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/log_files.h"
#include "storage/segment_index.h"
#include "storage/segment_writer.h"

namespace millrace {

void Retention::Start() { scope_.Spawn(Run(), SchedClass::kHousekeeping); }

Task<void> Retention::Stop() { co_await scope_.Stop(); }

void Retention::Forget(Log::State& state) {
  if (List::Contains(state)) {
    Lane& lane = lanes_[state.retention_lane];
    lane.changed.Remove(state);
    --lane.count;
  }
  SetDue(state, std::nullopt);
}

void Retention::Moved(Log::State& state) {
  if (!List::Contains(state)) return;
  Lane& lane = lanes_[state.retention_lane];
  lane.changed.Remove(state);
  --lane.count;
  Changed(state);
}

size_t Retention::LaneOf(const Log::State& state) const {
  const auto& all = context_.directories;
  return static_cast<size_t>(std::ranges::find(all, state.directory) - all.begin());
}

void Retention::Enlist(Log::State& state) {
  state.retention_lane = LaneOf(state);
  Lane& lane = lanes_[state.retention_lane];
  lane.changed.PushBack(state);
  ++lane.count;
}

void Retention::SetDue(Log::State& state, std::optional<Timestamp> due) {
  if (state.retention_due == due) return;
  if (state.retention_due) due_.erase({*state.retention_due, state.number});
  state.retention_due = due;
  if (due) due_.emplace(std::pair(*due, state.number), &state);
}

Task<void> Retention::Run() {
  // Sleeps are counted in nanoseconds: whoever says more than this means never.
  constexpr milliseconds kWaitMax = std::chrono::hours(24 * 365 * 100);
  CancellationToken token = scope_.token();
  milliseconds wait = context_.options.retention_initial_delay;
  while (co_await Sleep(context_.env.reactor, std::min(wait, kWaitMax), token) !=
         WaitResult::kCancelled) {
    Look();
    wait = context_.options.retention_check_interval;
  }
}

void Retention::Look() {
  const Timestamp now = context_.env.clock.Now();
  while (!due_.empty() && due_.begin()->first.first <= now) {
    Log::State& state = *due_.begin()->second;
    SetDue(state, std::nullopt);
    Changed(state);
  }
  for (auto& [index, lane] : lanes_) {
    if (lane.changed.empty() || std::exchange(lane.looking, true)) continue;
    scope_.Spawn(LookIn(index), SchedClass::kHousekeeping);
  }
}

Task<void> Retention::LookIn(size_t index) {
  Lane& lane = lanes_[index];
  // What changes while we look waits for the next time.
  for (size_t left = lane.count; left > 0 && !lane.changed.empty(); --left) {
    if (scope_.stopping()) break;
    Log::State& state = lane.changed.PopFront();
    --lane.count;
    if (state.switching) {  // The others would wait for the other directory.
      Changed(state);
      continue;
    }
    Gate::Holder inside = state.gate.TryEnter();
    if (inside) co_await LookAt(&state, std::move(inside));
    co_await Yield(context_.env.reactor);
  }
  lane.looking = false;
}

Task<void> Retention::LookAt(Log::State* state, Gate::Holder inside) {
  MR_CHECK(static_cast<bool>(inside));
  IoLock lock = co_await LockIo(*state);
  if (!state->failure.ok() || state->deleted) co_return;
  // Segments that had to wait for a checkpoint.
  absl::Status status =
      co_await RemoveSegmentsBelowStart(*state, state->config.file_delete_delay_ms);
  // Nobody to ask what is committed: whoever comes is noticed.
  if (status.ok() && state->observer != nullptr) {
    absl::StatusOr<RetentionPlan> plan = co_await Plan(*state);
    if (!state->failure.ok() || state->deleted) co_return;
    if (!plan.ok()) {
      context_.env.logger.Warning("[log {}] cannot say how old its segments are: {}", state->path(),
                                  std::string(plan.status().message()));
      Changed(*state);
      co_return;
    }
    SetDue(*state, plan->due);
    if (plan->held_back) Changed(*state);
    if (plan->total() > 0) status = co_await Carry(*state, *plan);
  }
  if (status.ok() || !state->failure.ok() || state->deleted) co_return;
  if (absl::IsResourceExhausted(status)) {
    context_.env.logger.Warning("[log {}] old segments stay until there is room on the disk: {}",
                                state->path(), std::string(status.message()));
  } else {
    context_.writer->HandleFailure(*state, status);
  }
  Changed(*state);
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<RetentionPlan>> Retention::Plan(Log::State& state) {
  for (;;) {
    RetentionPlan plan =
        PlanRetention(state.segments, state.end, state.observer->CommittedEnd(*state.log),
                      state.config, context_.env.clock.Now());
    if (!plan.unknown) co_return plan;
    MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, *plan.unknown));
    if (state.observer == nullptr) co_return RetentionPlan();
  }
}

Task<absl::Status> Retention::Carry(Log::State& state, RetentionPlan plan) {
  uint64_t bytes = 0;
  for (const Segment& segment : state.segments) bytes += segment.size;
  for (size_t i = 0; i < plan.total(); ++i) {
    const Segment& segment = state.segments[i];
    bytes -= segment.size;
    const std::string why =
        i < plan.by_size
            ? fmt::format("retention size {} breach. Log size after deletion will be {}",
                          state.config.retention_bytes, bytes)
            : fmt::format("retention time {}ms breach based on the largest record timestamp",
                          state.config.retention_ms);
    context_.env.logger.Info(
        "[log {}] deleting segment {} (baseOffset={}, size={}, largestRecordTimestamp={}) due to "
        "{}",
        state.path(), SegmentFileName(segment.base, kLogSuffix), segment.base, segment.size,
        segment.times_known ? fmt::format("{}", segment.newest()) : "unknown", why);
  }
  if (plan.total() == state.segments.size()) RollActive(state);
  const Offset start = state.segments[plan.total()].base;
  // A start inside the last of these was asked for by DeleteRecords.
  // DeleteRecords may have asked for a later one.
  if (start > state.start) co_return co_await MoveStart(state, start);
  co_return co_await RemoveSegmentsBelowStart(state, state.config.file_delete_delay_ms);
}

}  // namespace millrace

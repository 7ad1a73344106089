#include "storage/log_cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "common/check.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/log_compaction.h"
#include "storage/log_files.h"
#include "storage/segment_index.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {

LogCleaner::LogCleaner(StoreContext& context)
    : context_(context), options_(context.options.cleaner), scope_(context.env.reactor) {}

LogCleaner::~LogCleaner() = default;

void LogCleaner::Start() {
  looked_ = context_.env.reactor.Now();
  if (options_.enabled) scope_.Spawn(Run(), SchedClass::kHousekeeping);
}

Task<void> LogCleaner::Stop() { co_await scope_.Stop(); }

void LogCleaner::set_options(const CleanerOptions& options) {
  const bool enabled = options_.enabled;
  options_ = options;
  options_.enabled = enabled;
}

double LogCleaner::seconds_since_look() const {
  return std::chrono::duration<double>(context_.env.reactor.Now() - looked_).count();
}

void LogCleaner::Changed(Log::State& state) {
  // Nobody would ever take it out.
  if (!options_.enabled || !state.config.cleanup_compact) return;
  if (List::Contains(state) || !state.failure.ok() || state.deleted) return;
  changed_.PushBack(state);
  ++changed_count_;
}

void LogCleaner::Forget(Log::State& state) {
  if (List::Contains(state)) {
    changed_.Remove(state);
    --changed_count_;
  }
  SetDue(state, std::nullopt);
  SetReady(state, std::nullopt);
}

void LogCleaner::SetDue(Log::State& state, std::optional<Timestamp> due) {
  if (state.cleaner_due == due) return;
  if (state.cleaner_due) due_.erase({*state.cleaner_due, state.number});
  state.cleaner_due = due;
  if (due) due_.emplace(std::pair(*due, state.number), &state);
}

void LogCleaner::SetReady(Log::State& state, std::optional<double> ratio) {
  if (state.cleaner_ready == ratio) return;
  if (state.cleaner_ready) ready_.erase({-*state.cleaner_ready, state.number});
  state.cleaner_ready = ratio;
  if (ratio) ready_.emplace(std::pair(-*ratio, state.number), &state);
}

Task<void> LogCleaner::Run() {
  while (!scope_.stopping()) {
    co_await Look();
    if (ready_.empty()) {
      co_await Backoff();
      continue;
    }
    Log::State& state = *ready_.begin()->second;
    SetReady(state, std::nullopt);
    Gate::Holder inside = state.gate.TryEnter();
    // What failed comes again at once, and would fail again.
    if (inside && !co_await Compact(&state, std::move(inside))) co_await Backoff();
    co_await Yield(context_.env.reactor);
  }
}

Task<void> LogCleaner::Backoff() {
  // Sleeps are counted in nanoseconds: whoever says more than this means never.
  constexpr milliseconds kWaitMax = std::chrono::hours(24 * 365 * 100);
  co_await Sleep(context_.env.reactor, std::clamp(options_.backoff, milliseconds(1), kWaitMax),
                 scope_.token());
}

Task<void> LogCleaner::Look() {
  looked_ = context_.env.reactor.Now();
  const Timestamp now = context_.env.clock.Now();
  while (!due_.empty() && due_.begin()->first.first <= now) {
    Log::State& state = *due_.begin()->second;
    SetDue(state, std::nullopt);
    Changed(state);
  }
  // What changes while we look waits for the next time.
  for (size_t left = changed_count_; left > 0 && !changed_.empty(); --left) {
    if (scope_.stopping()) co_return;
    Log::State& state = changed_.PopFront();
    --changed_count_;
    Gate::Holder inside = state.gate.TryEnter();
    if (inside) co_await LookAt(&state, std::move(inside));
    co_await Yield(context_.env.reactor);
  }
}

Task<void> LogCleaner::LookAt(Log::State* state, Gate::Holder inside) {
  MR_CHECK(static_cast<bool>(inside));
  absl::StatusOr<CompactionPlan> plan = co_await Plan(*state);
  if (!state->failure.ok() || state->deleted) co_return;
  if (!plan.ok()) {
    Settle(*state, plan.status());
    co_return;
  }
  SetDue(*state, plan->due);
  std::optional<double> ready;
  if (plan->eligible) ready = plan->ratio();
  SetReady(*state, ready);
  if (plan->held_back) Changed(*state);
}

Task<bool> LogCleaner::Compact(Log::State* state, Gate::Holder inside) {
  MR_CHECK(static_cast<bool>(inside));
  // It has waited for its turn.
  absl::StatusOr<CompactionPlan> plan = co_await Plan(*state);
  if (!state->failure.ok() || state->deleted) co_return true;
  if (!plan.ok()) {
    Settle(*state, plan.status());
    co_return false;
  }
  SetDue(*state, plan->due);
  if (plan->held_back) Changed(*state);
  if (!plan->eligible) co_return true;
  const Instant begun = context_.env.reactor.Now();
  LogCompaction compaction(context_, *state, scope_.token(),
                           [this]() -> const CleanerOptions& { return options_; });
  absl::StatusOr<CompactionReport> report = co_await compaction.Run(*plan);
  if (!report.ok()) {
    Settle(*state, report.status());
    co_return false;
  }
  context_.metrics.cleaner_rounds.Add();
  context_.metrics.cleaner_records_removed.Add(report->records_removed);
  const auto took =
      std::chrono::duration_cast<milliseconds>(context_.env.reactor.Now() - begun).count();
  context_.env.logger.Info(
      "[log {}] compacted [{}, {}) in {} ms: {} keys, {} bytes read, {} written, {} records "
      "removed, {} segments became {}",
      state->path(), report->begin, report->end, took, report->keys, report->read_bytes,
      report->written_bytes, report->records_removed, report->segments_before,
      report->segments_after);
  // The map may have been full, and the rest is dirty.
  Changed(*state);
  co_return true;
}

void LogCleaner::Settle(Log::State& state, const absl::Status& status) {
  if (!state.failure.ok() || state.deleted || absl::IsCancelled(status)) return;
  if (absl::IsAborted(status)) {
    Changed(state);
  } else if (absl::IsResourceExhausted(status)) {
    context_.env.logger.Warning("[log {}] is not compacted until there is room on the disk: {}",
                                state.path(), std::string(status.message()));
    // Others, which need less room or are in other directories, have their turn.
    constexpr int64_t kPauseMs = 60'000;
    SetReady(state, std::nullopt);
    SetDue(state, Timestamp(context_.env.clock.Now().ms() + kPauseMs));
  } else if (absl::IsDataLoss(status)) {
    state.uncleanable = std::string(status.message());
    SetDue(state, std::nullopt);
    context_.env.logger.Error(
        "[log {}] cannot be compacted and is left as it is until the next start; it stays served, "
        "and grows: {}",
        state.path(), state.uncleanable);
  } else {
    context_.writer->HandleFailure(state, status);
  }
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<CompactionPlan>> LogCleaner::Plan(Log::State& state) {
  for (;;) {
    // Nobody to ask what is committed: whoever comes is noticed. So is the end of a move.
    if (state.observer == nullptr || state.moving || !state.uncleanable.empty()) {
      co_return CompactionPlan();
    }
    Offset committed = state.observer->CommittedEnd(*state.log);
    if (std::optional<Offset> unstable = state.log->first_unstable_offset()) {
      committed = std::min(committed, *unstable);
    }
    const CompactionPlan plan = PlanCompaction(
        state.segments, {state.start, state.cleaned_to, committed, state.checkpoint_segment},
        state.config, context_.env.clock.Now());
    if (plan.unknown_newest) {
      MR_CO_RETURN_IF_ERROR(co_await EnsureTimes(state, *plan.unknown_newest));
    } else if (plan.unknown_first) {
      MR_CO_RETURN_IF_ERROR(co_await ReadFirstTime(state, *plan.unknown_first));
    } else {
      co_return plan;
    }
    if (!state.failure.ok() || state.deleted) {
      co_return absl::CancelledError("the log is going away");
    }
  }
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> LogCleaner::ReadFirstTime(Log::State& state, Offset base) {
  IoLock lock = co_await LockIo(state);
  if (state.FindSegment(base) == nullptr) co_return absl::OkStatus();
  auto file = co_await context_.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
  if (!file.ok()) co_return file.status();
  absl::StatusOr<Slice> bytes = co_await (*file)->ReadAt(0, kBatchHeaderBytes, ReadHint::kNormal);
  if (!bytes.ok()) co_return bytes.status();
  absl::StatusOr<BatchHeader> header = absl::DataLossError("it is cut off");
  if (bytes->size() == kBatchHeaderBytes) header = ParseBatchHeader(bytes->span());
  if (!header.ok()) {
    co_return absl::DataLossError(fmt::format("the first batch of {}: {}",
                                              SegmentFileName(base, kLogSuffix),
                                              std::string(header.status().message())));
  }
  Segment* segment = state.FindSegment(base);
  MR_CHECK(segment != nullptr);
  segment->first_timestamp = header->max_timestamp;
  co_return absl::OkStatus();
}

}  // namespace millrace

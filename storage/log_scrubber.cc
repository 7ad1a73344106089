#include "storage/log_scrubber.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/check.h"
#include "storage/log_files.h"
#include "storage/segment/segment_scanner.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr size_t kDamageMax = 16;
// What is read between two pauses.
constexpr uint64_t kPieceBytes = 1 << 20;

}  // namespace

void NoteDamage(Log::State& state, Offset base, uint64_t position, std::string_view why) {
  // One of a segment is enough: a repair begins there and takes what follows.
  const bool known = std::ranges::any_of(
      state.damage, [base](const LogDamage& damage) { return damage.segment == base; });
  if (known || state.damage.size() >= kDamageMax) return;
  state.context.metrics.damage_found.Add();
  state.damage.push_back({base, position, std::string(why)});
  state.context.env.logger.Error("[log {}] damaged at {} of {}: {}; these records are not served",
                                 state.path(), position, SegmentFileName(base, kLogSuffix), why);
  if (state.observer != nullptr) state.observer->OnDamaged(*state.log);
}

LogScrubber::LogScrubber(StoreContext& context) : context_(context), scope_(context.env.reactor) {}
LogScrubber::~LogScrubber() = default;

void LogScrubber::Start() {
  if (context_.options.scrub_bytes_per_second > 0) {
    scope_.Spawn(Loop(), SchedClass::kHousekeeping);
  }
}

Task<void> LogScrubber::Stop() { co_await scope_.Stop(); }

Task<void> LogScrubber::Loop() {
  CancellationToken token = scope_.token();
  bool first = true;
  while (!token.cancelled()) {
    const Instant begun = context_.env.reactor.Now();
    // A start has better things to do.
    if (first) co_await Sleep(context_.env.reactor, context_.options.scrub_delay, token);
    std::vector<TopicPartitionId> ids = context_.list_logs();
    if (first && !ids.empty()) {
      std::ranges::rotate(
          ids, ids.begin() + static_cast<ptrdiff_t>(context_.env.random.Below(ids.size())));
    }
    first = false;
    for (const TopicPartitionId& id : ids) {
      if (token.cancelled()) co_return;
      co_await ScrubLog(id);
    }
    if (!ids.empty()) context_.metrics.scrub_rounds.Add();
    co_await Sleep(context_.env.reactor, begun + context_.options.scrub_interval, token);
  }
}

Task<void> LogScrubber::ScrubLog(TopicPartitionId id) {
  Log* log = context_.find_log(id);
  if (log == nullptr) co_return;
  Log::State* state = &log->state();
  std::vector<Offset> bases;
  for (const Segment& segment : state->segments) {
    if (segment.written > 0) bases.push_back(segment.base);
  }
  for (Offset base : bases) {
    // Looked up anew: it may have been deleted while we paused, outside its gate.
    log = context_.find_log(id);
    if (log == nullptr || scope_.stopping()) co_return;
    co_await ScrubSegment(&log->state(), base, /*again=*/false);
  }
}

Task<void> LogScrubber::ScrubSegment(Log::State* state, Offset base, bool again) {
  Gate::Holder inside = state->gate.TryEnter();
  if (!inside || !state->failure.ok()) co_return;
  co_await WaitForSwap(*state);
  Segment* segment = state->FindSegment(base);
  if (segment == nullptr) co_return;
  const uint64_t cuts = state->cuts;
  const uint64_t end = segment->written;
  const Offset offset_max = segment->written_next;
  auto file = co_await context_.files.Acquire(state->SegmentPath(base, kLogSuffix), false);
  if (!file.ok()) co_return;  // Readers and the writer will meet it, if it is there at all.
  SegmentScanner scanner(**file, {.end = end,
                                  .offset_min = base,
                                  .offset_max = offset_max,
                                  .hint = ReadHint::kSequentialOnce});
  uint64_t paused_at = 0;
  absl::Status failed;
  for (;;) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) failed = batch.status();
    const bool more = batch.ok() && batch->has_value();
    const uint64_t read = scanner.position() - paused_at;
    if (read >= kPieceBytes || !more) {
      context_.metrics.scrubbed_bytes.Add(read);
      paused_at = scanner.position();
      co_await Sleep(context_.env.reactor,
                     Duration(static_cast<int64_t>(read * uint64_t{1'000'000'000} /
                                                   context_.options.scrub_bytes_per_second)),
                     scope_.token());
    }
    // Bytes that were cut away meanwhile may look like anything.
    if (state->cuts != cuts || state->deleted || !state->failure.ok() || scope_.stopping()) {
      co_return;
    }
    if (!more) break;
  }
  if (!failed.ok() && !again) co_return co_await ScrubSegment(state, base, /*again=*/true);
  if (!failed.ok()) NoteDamage(*state, base, scanner.position(), std::string(failed.message()));
  if (!scanner.defect().empty()) NoteDamage(*state, base, scanner.position(), scanner.defect());
}

}  // namespace millrace

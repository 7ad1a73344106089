#include "storage/segment_sync.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/segment_aborted.h"
#include "storage/segment_index.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

bool IsWhole(const Segment& segment) { return segment.sealed && segment.written == segment.size; }

// Whether there is nothing in its index files, and nothing to be added: then they are made by who first needs
// them. (What a life before has left in them is checked before anything else: WriteOut().)
bool LeavesIndexes(const Segment& segment) {
  return segment.index_state == IndexState::kAbsent && segment.indexes.pending.empty() &&
         segment.indexes.pending_times.empty();
}

// The segments that are not wholly synced, or have something to be synced with them.
std::vector<Offset> UnsyncedSegments(const Log::State& state, bool complete) {
  std::vector<Offset> bases;
  // Syncing goes in order too, so a clean segment that reaches below synced_end ends the search. (A
  // clean one above it does not: a truncation syncs the segment it cuts, not those before.)
  for (auto segment = state.segments.rbegin(); segment != state.segments.rend(); ++segment) {
    if (segment->written == 0 && !complete) continue;
    const bool last = &*segment == &state.segments.back();
    const bool clean = segment->synced == segment->written && segment->producer_snapshot.empty() &&
                       segment->aborted.pending.empty();
    if (clean && !(complete && last)) {
      if (segment->base < state.synced_end) break;
      continue;
    }
    bases.push_back(segment->base);
  }
  std::ranges::reverse(bases);
  return bases;
}

}  // namespace

Task<absl::StatusOr<LogSync>> BeginSync(Log::State& state, bool complete) {
  LogSync sync{.state = &state, .written_end = state.written_end, .segments = {}};
  for (const Offset base : UnsyncedSegments(state, complete)) {
    Segment* segment = state.FindSegment(base);
    MR_CHECK(segment != nullptr);
    const uint64_t written = segment->written;
    const bool whole = complete || IsWhole(*segment);
    auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix), true);
    if (!file.ok()) co_return file.status();
    segment = state.FindSegment(base);
    if (whole || !LeavesIndexes(*segment)) {
      MR_CO_RETURN_IF_ERROR(co_await WriteIndexes(state, base, whole));
    }
    segment = state.FindSegment(base);
    if (!segment->file_exists) {
      segment->file_exists = true;
      state.names_unsynced = true;
    }
    LogSync::Unsynced& unsynced =
        sync.segments.emplace_back(LogSync::Unsynced{base, written, std::nullopt});
    if (segment->synced < written) unsynced.file = *std::move(file);
  }
  co_return sync;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> SyncFiles(LogSync& sync) {
  StoreContext& context = sync.state->context;
  for (LogSync::Unsynced& segment : sync.segments) {
    if (!segment.file) continue;
    const Instant begun = context.env.reactor.Now();
    MR_CO_RETURN_IF_ERROR(co_await (*segment.file)->Sync());
    context.metrics.segment_sync.Observe(context.env.reactor.Now() - begun);
    segment.file.reset();
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SyncTogether(std::vector<LogSync*> syncs) {
  StoreContext& context = syncs.front()->state->context;
  std::vector<File*> files;
  std::vector<std::string> folders;
  for (LogSync* sync : syncs) {
    for (LogSync::Unsynced& segment : sync->segments) {
      if (segment.file) files.push_back(&**segment.file);
    }
    if (sync->state->names_unsynced) folders.push_back(sync->state->path());
  }
  const Instant begun = context.env.reactor.Now();
  MR_CO_RETURN_IF_ERROR(
      co_await context.env.disk.SyncTogether(std::move(files), std::move(folders)));
  context.metrics.segment_sync.Observe(context.env.reactor.Now() - begun);
  for (LogSync* sync : syncs) {
    sync->state->names_unsynced = false;
    for (LogSync::Unsynced& segment : sync->segments) segment.file.reset();
  }
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> EndSync(LogSync& sync) {
  Log::State& state = *sync.state;
  Disk& disk = state.context.env.disk;
  for (const LogSync::Unsynced& unsynced : sync.segments) {
    MR_CHECK(!unsynced.file.has_value());
    Segment* segment = state.FindSegment(unsynced.base);
    MR_CHECK(segment != nullptr);
    segment->synced = std::max(segment->synced, unsynced.written);
    if (Slice snapshot = segment->producer_snapshot; !snapshot.empty()) {
      MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(
          disk, state.SegmentPath(unsynced.base, kSnapshotSuffix), std::string(snapshot.view())));
      state.FindSegment(unsynced.base)->producer_snapshot = Slice();
    }
    MR_CO_RETURN_IF_ERROR(co_await WriteAborted(state, unsynced.base));
  }
  if (std::exchange(state.names_unsynced, false)) {
    absl::Status synced = co_await disk.SyncDirectory(state.path());
    if (!synced.ok()) {
      state.names_unsynced = true;
      co_return synced;
    }
  }
  state.synced_end = std::max(state.synced_end, sync.written_end);
  co_return absl::OkStatus();
}

}  // namespace millrace

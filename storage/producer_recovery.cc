#include "storage/producer_recovery.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/producer/producer_snapshot.h"
#include "storage/producer_expiry.h"
#include "storage/segment/segment_scanner.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr size_t kSnapshotBytesMax = 64 << 20;

struct Snapshot {
  ProducerState producers;
  Offset at;
};

Task<absl::Status> RemoveSnapshot(Log::State& state, Offset at) {  // Borrowed: awaited in place.
  absl::Status removed =
      co_await state.context.env.disk.Remove(state.SegmentPath(at, kSnapshotSuffix));
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

// The newest snapshot at or below `offset` that can be read, in a file or still in memory.
Task<absl::StatusOr<std::optional<Snapshot>>> NewestSnapshot(
    Log::State& state, Offset offset, Timestamp now) {  // Borrowed: awaited in place.
  std::optional<Snapshot> newest;
  auto entries = co_await state.context.env.disk.List(state.path());
  if (!entries.ok()) co_return entries.status();
  std::vector<Offset> files;  // Sorted, because names have 20 digits.
  for (const DirectoryEntry& entry : *entries) {
    std::optional<Offset> at = ParseSegmentFileName(entry.name, kSnapshotSuffix);
    if (at && *at <= offset) files.push_back(*at);
  }
  for (auto at = files.rbegin(); at != files.rend() && !newest; ++at) {
    absl::StatusOr<Slice> bytes = co_await ReadWholeFile(
        state.context.env.disk, state.SegmentPath(*at, kSnapshotSuffix), kSnapshotBytesMax);
    absl::Status damage = bytes.status();
    if (absl::IsNotFound(damage)) continue;
    if (bytes.ok()) {
      absl::StatusOr<ProducerState> read = DecodeProducerSnapshot(bytes->span(), now);
      damage = read.status();
      if (read.ok()) newest = Snapshot{*std::move(read), *at};
    }
    if (damage.ok()) continue;
    state.context.env.logger.Warning("[log {}] {} dropped, an older one will do: {}", state.path(),
                                     SegmentFileName(*at, kSnapshotSuffix),
                                     std::string(damage.message()));
    MR_CO_RETURN_IF_ERROR(co_await RemoveSnapshot(state, *at));
  }
  // Those of the latest rolls may not be in files yet.
  for (const Segment& segment : state.segments) {
    if (segment.producer_snapshot.empty() || segment.base > offset) continue;
    if (newest && segment.base < newest->at) continue;
    absl::StatusOr<ProducerState> taken =
        DecodeProducerSnapshot(segment.producer_snapshot.span(), now);
    if (!taken.ok()) co_return taken.status();
    newest = Snapshot{*std::move(taken), segment.base};
  }
  co_return newest;
}

// Applies the batches of segment `base` that lie in [from, to).
Task<absl::Status> ApplySegment(Log::State& state, Offset base, Offset from, Offset to,
                                Timestamp now,
                                ProducerState* producers) {  // Borrowed: awaited in place.
  const uint64_t written = state.FindSegment(base)->written;
  auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
  if (!file.ok()) co_return file.status();
  SegmentScanner scanner(**file, {.end = written, .offset_min = base, .check_crc = false});
  for (;;) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) co_return batch.status();
    if (!batch->has_value() || (*batch)->header().base_offset >= to) co_return absl::OkStatus();
    if ((*batch)->header().base_offset >= from) producers->ApplyBatch(**batch, now);
  }
}

}  // namespace

Task<absl::StatusOr<ProducerState>> ProducersAt(Log::State& state, Offset offset) {
  const Timestamp now = state.context.env.clock.Now();
  auto snapshot = co_await NewestSnapshot(state, offset, now);
  if (!snapshot.ok()) co_return snapshot.status();
  ProducerState producers;
  Offset from = state.segments.front().base;
  if (snapshot->has_value()) {
    producers = std::move((*snapshot)->producers);
    from = std::max(from, (*snapshot)->at);
  }
  for (std::optional<Offset> base = state.segments.front().base; base;) {
    auto next = std::ranges::upper_bound(state.segments, *base, {}, &Segment::base);
    const bool last = next == state.segments.end();
    const std::optional<Offset> next_base = last ? std::nullopt : std::optional<Offset>(next->base);
    const bool wanted =
        state.FindSegment(*base)->written > 0 && *base < offset && (last || *next_base > from);
    if (wanted) {
      MR_CO_RETURN_IF_ERROR(co_await ApplySegment(state, *base, from, offset, now, &producers));
    }
    base = next_base;
  }
  co_return producers;
}

Task<absl::Status> RebuildProducers(Log::State& state, Offset offset) {
  auto producers = co_await ProducersAt(state, offset);
  if (!producers.ok()) co_return producers.status();
  state.producers = *std::move(producers);
  state.producers.OnCommitted(std::min(state.committed, offset));
  if (!state.producers.empty()) state.context.expiry->Schedule(state);
  co_return absl::OkStatus();
}

Task<absl::Status> RemoveStraySnapshots(Log::State& state, std::vector<Offset> snapshots) {
  bool above = false;
  for (Offset at : snapshots) {
    if (at == state.recovery_point) continue;  // Of the clean stop.
    if (at < state.recovery_point && state.FindSegment(at) != nullptr) continue;
    MR_CO_RETURN_IF_ERROR(co_await RemoveSnapshot(state, at));
    above = above || at > state.recovery_point;
  }
  if (!above) co_return absl::OkStatus();
  co_return co_await state.context.env.disk.SyncDirectory(state.path());
}

}  // namespace millrace

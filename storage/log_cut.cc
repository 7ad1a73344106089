#include "storage/log_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/deferred_removals.h"
#include "storage/log_checkpoint.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/producer_recovery.h"
#include "storage/segment/segment_scanner.h"
#include "storage/segment_aborted.h"
#include "storage/segment_index.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

// Of a segment's files; the log itself last, so that what a crash leaves is a segment without
// indexes and no index without its segment.
constexpr std::array kSegmentSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                         kSnapshotSuffix, kLogSuffix};

Task<absl::Status> RemoveFile(Log::State& state, std::string path) {  // Borrowed: awaited in place.
  state.context.files.Forget(path);
  absl::Status removed = co_await state.context.env.disk.Remove(path);
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

Task<absl::Status> RemoveSegmentFiles(Log::State& state,
                                      Offset base) {  // Borrowed: awaited in place.
  for (std::string_view suffix : kSegmentSuffixes) {
    MR_CO_RETURN_IF_ERROR(co_await RemoveFile(state, state.SegmentPath(base, suffix)));
  }
  co_return absl::OkStatus();
}

// Renames the files of a segment that nobody looks up any more; they go later, because who has one
// open (a copy of the directory, a reader of ours) goes on reading.
Task<absl::Status> RetireSegmentFiles(Log::State& state, Offset base,
                                      int64_t delay_ms) {  // Borrowed: awaited in place.
  for (std::string_view suffix : kSegmentSuffixes) {
    std::string path = state.SegmentPath(base, suffix);
    std::string retired = path + std::string(kDeletedSuffix);
    state.context.files.Forget(path);
    absl::Status renamed = co_await state.context.env.disk.Rename(std::move(path), retired);
    if (absl::IsNotFound(renamed)) continue;
    if (!renamed.ok()) co_return renamed;
    state.context.removals->Add(std::move(retired), delay_ms);
  }
  co_return absl::OkStatus();
}

// Snapshots that speak of offsets above `end` are of a log that is no more.
Task<absl::Status> RemoveSnapshotsAbove(Log::State& state,
                                        Offset end) {  // Borrowed: awaited in place.
  auto entries = co_await state.context.env.disk.List(state.path());
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    std::optional<Offset> at = ParseSegmentFileName(entry.name, kSnapshotSuffix);
    if (!at || *at <= end) continue;
    MR_CO_RETURN_IF_ERROR(co_await RemoveFile(state, JoinPath(state.path(), entry.name)));
  }
  co_return absl::OkStatus();
}

struct Place {
  Offset batch_base{0};
  Offset segment_base{0};
  uint64_t position = 0;
};

// The batch that holds `offset`. REQUIRES: it is in a segment file. With `exact`, a batch begins or
// began at `offset`, and what follows may be damaged: a crash while it was being cut off.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<Place>> Locate(Log::State& state, Offset offset,
                                   bool exact) {  // Borrowed: awaited in place.
  Segment* segment = state.SegmentFor(offset);
  MR_CHECK(segment != nullptr);
  // In a gap between segments: the earlier one's end.
  if (offset >= segment->next) co_return Place{segment->next, segment->base, segment->written};
  const Offset base = segment->base;
  MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, base));
  // Begin in front of the batch, which may be damaged itself.
  absl::StatusOr<uint64_t> near = co_await LookupPosition(state, base, offset - OffsetDelta(1));
  if (!near.ok()) co_return near.status();
  auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
  if (!file.ok()) co_return file.status();
  SegmentScanner scanner(
      **file, {.begin = *near, .end = state.FindSegment(base)->written, .offset_min = base});
  for (;;) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) co_return batch.status();
    if (batch->has_value() && (*batch)->header().next_offset() > offset) {
      co_return Place{std::min((*batch)->header().base_offset, offset), base,
                      scanner.batch_position()};
    }
    if (batch->has_value()) continue;
    if (exact && scanner.next_offset() == offset) co_return Place{offset, base, scanner.position()};
    // Compaction has taken what was between this segment and the next.
    if (scanner.defect().empty()) co_return Place{scanner.next_offset(), base, scanner.position()};
    co_return absl::DataLossError(fmt::format("{} at {}: {}", state.SegmentPath(base, kLogSuffix),
                                              scanner.position(), scanner.defect()));
  }
}

void ForgetReaders(Log::State& state) {
  ++state.cuts;
  std::vector<ReadPlace>().swap(state.places);
}

void DropMarks(Log::State& state) {
  std::vector<DurableMark>().swap(state.marks);
  state.marks_head = 0;
}

}  // namespace

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<Offset>> CutPoint(Log::State& state, Offset offset) {
  if (offset <= state.start) co_return state.start;
  if (offset >= state.end) co_return state.end;
  MR_CO_RETURN_IF_ERROR(co_await state.context.writer->WriteOut(state));
  absl::StatusOr<Place> place = co_await Locate(state, offset, /*exact=*/false);
  if (!place.ok()) co_return place.status();
  co_return std::max(place->batch_base, state.start);
}

Task<absl::Status> CutEnd(Log::State& state, Offset offset) {
  if (offset >= state.end) co_return absl::OkStatus();
  // At the start itself producers of records below it are still known, unless nothing is left that
  // would tell of them.
  if (offset < state.start || state.SegmentFor(offset) == nullptr) {
    co_return co_await CutAll(state, state.start);
  }
  MR_CO_RETURN_IF_ERROR(co_await state.context.writer->WriteOut(state));
  absl::StatusOr<Place> place = co_await Locate(state, offset, /*exact=*/true);
  if (!place.ok()) co_return place.status();
  const Offset cut = place->batch_base;  // Below `offset` only if a crash left another batch there.
  if (cut < state.start) co_return co_await CutAll(state, state.start);

  ForgetReaders(state);
  ++state.truncations;
  std::erase_if(state.damage,
                [&](const LogDamage& damage) { return damage.segment >= place->segment_base; });
  DropMarks(state);
  state.ReleasePending(state.context.cache.DropFrom(state.tail, cut));
  std::vector<Offset> gone;
  while (state.segments.back().base > place->segment_base) {
    gone.push_back(state.segments.back().base);
    state.segments.pop_back();
  }
  Segment& segment = state.active();
  segment.sealed = false;
  segment.size = segment.written = place->position;
  segment.synced = std::min(segment.synced, segment.size);
  segment.next = segment.written_next = cut;
  // Entries that point behind the cut go when the indexes are looked at; until then nothing is
  // known.
  segment.indexes = SegmentIndexes();
  segment.index_state = IndexState::kUnchecked;
  segment.max_time.reset();
  segment.times_known = false;
  if (segment.size == 0) segment.first_timestamp.reset();
  state.end = state.written_end = cut;
  state.durable = std::min(state.durable, cut);
  state.synced_end = std::min(state.synced_end, cut);
  state.recovery_point = std::min(state.recovery_point, cut);
  state.cleaned_to = std::min(state.cleaned_to, cut);
  state.epochs.TruncateFromEnd(cut);
  state.files_stale = true;

  // Newest first: a crash in between leaves a log that is cut less far, never one with a hole.
  for (Offset base : gone) MR_CO_RETURN_IF_ERROR(co_await RemoveSegmentFiles(state, base));
  {
    auto file = co_await state.context.files.Acquire(
        state.SegmentPath(place->segment_base, kLogSuffix), true);
    if (!file.ok()) co_return file.status();
    MR_CO_RETURN_IF_ERROR(co_await (*file)->Truncate(place->position));
    MR_CO_RETURN_IF_ERROR(co_await (*file)->Sync());
  }
  MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, place->segment_base));
  MR_CO_RETURN_IF_ERROR(co_await CutAborted(state, place->segment_base, cut, 0));
  MR_CO_RETURN_IF_ERROR(co_await RemoveSnapshotsAbove(state, cut));
  MR_CO_RETURN_IF_ERROR(co_await state.context.env.disk.SyncDirectory(state.path()));
  state.active().synced = state.active().written;
  MR_CO_RETURN_IF_ERROR(co_await RebuildProducers(state, cut));
  ForgetReaders(state);
  co_return absl::OkStatus();
}

Task<absl::Status> CutAll(Log::State& state, Offset offset) {
  ForgetReaders(state);
  ++state.truncations;
  state.damage.clear();
  DropMarks(state);
  state.ReleasePending(state.context.cache.Clear(state.tail));
  std::vector<Offset> gone;
  for (const Segment& segment : state.segments) gone.push_back(segment.base);
  state.segments.clear();
  state.segments.emplace_back(offset, state.context.env.clock.Now());
  state.start = state.end = state.durable = state.written_end = state.synced_end =
      state.recovery_point = offset;
  state.cleaned_to = Offset(0);
  state.epochs.Clear();
  state.producers.Clear();
  state.files_stale = true;
  std::ranges::reverse(gone);
  for (Offset base : gone) MR_CO_RETURN_IF_ERROR(co_await RemoveSegmentFiles(state, base));
  MR_CO_RETURN_IF_ERROR(co_await RemoveSnapshotsAbove(state, Offset(-1)));
  MR_CO_RETURN_IF_ERROR(co_await RemoveFile(state, JoinPath(state.path(), kLeaderEpochFile)));
  MR_CO_RETURN_IF_ERROR(co_await state.context.env.disk.SyncDirectory(state.path()));
  ForgetReaders(state);
  co_return absl::OkStatus();
}

Task<absl::Status> RemoveSegmentsBelowStart(Log::State& state, int64_t delay_ms) {
  std::vector<Offset> gone;
  auto kept = state.segments.begin();
  while (std::next(kept) != state.segments.end() && std::next(kept)->base <= state.start &&
         kept->base < state.checkpoint_segment) {
    // What lies in front of the checkpoint's segment is in its file.
    MR_CHECK(kept->written == kept->size);
    gone.push_back((kept++)->base);
  }
  if (gone.empty()) co_return absl::OkStatus();
  const bool emptied = kept->synced == 0;
  state.segments.erase(state.segments.begin(), kept);
  std::erase_if(state.damage, [&](const LogDamage& damage) {
    return damage.segment < state.segments.front().base;
  });
  ForgetReaders(state);
  // Oldest first, and no sync: what a power loss brings back lies below the start, and the next
  // recovery removes it again. But where no record is left, and the checkpoint is lost, too, an
  // older one that came back without the newest would end the log in front of the empty one: that is
  // how it looks when a power loss takes what was to be in between. So the newest goes last.
  for (Offset base : gone) {
    if (emptied && base == gone.back()) {
      MR_CO_RETURN_IF_ERROR(co_await state.context.env.disk.SyncDirectory(state.path()));
    }
    MR_CO_RETURN_IF_ERROR(co_await RetireSegmentFiles(state, base, delay_ms));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> MakeEmptyFile(Log::State& state, Offset base) {
  Segment* segment = state.FindSegment(base);
  if (segment == nullptr) co_return absl::OkStatus();
  if (const Slice snapshot = segment->producer_snapshot;
      !snapshot.empty() && !state.producers.empty()) {
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(state.context.env.disk,
                                               state.SegmentPath(base, kSnapshotSuffix),
                                               std::string(snapshot.view())));
    // An append may have left the segment meanwhile, for an offset that it cannot express.
    segment = state.FindSegment(base);
    if (segment == nullptr) co_return absl::OkStatus();
    segment->producer_snapshot = Slice();
  }
  if (segment->file_exists) co_return absl::OkStatus();
  auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix), true);
  if (!file.ok()) co_return file.status();
  segment = state.FindSegment(base);
  if (segment == nullptr) co_return absl::OkStatus();
  segment->file_exists = true;
  state.names_unsynced = true;
  co_return absl::OkStatus();
}

namespace {

// Puts the start into the stored checkpoint and leaves the rest of it: nothing needs to be written
// or synced for that, so it works while the disk is too full for appends. False: there is none that
// could take it.
Task<absl::StatusOr<bool>> StoreStart(Log::State& state, Offset start) {  // Borrowed: in place.
  KvStore& kv = state.context.kv;
  auto value = co_await kv.Get(KvSpace::kLogCheckpoint, LogCheckpointKey(state.id));
  if (!value.ok()) co_return value.status();
  if (!value->has_value()) co_return false;
  absl::StatusOr<LogCheckpoint> checkpoint = DecodeLogCheckpoint(**value);
  if (!checkpoint.ok()) co_return false;
  checkpoint->log_start = start;
  KvBatch batch;
  batch.Put(KvSpace::kLogCheckpoint, LogCheckpointKey(state.id), EncodeLogCheckpoint(*checkpoint));
  MR_CO_RETURN_IF_ERROR(co_await kv.Write(std::move(batch), KvWriteOptions{.sync = true}));
  co_return true;
}

}  // namespace

Task<absl::Status> MoveStart(Log::State& state, Offset start) {
  MR_CHECK(state.start < start);
  MR_CHECK(start <= state.end);
  const Segment* holder = state.SegmentFor(start);
  bool stored = false;
  if (holder == nullptr || holder->base <= state.checkpoint_segment) {
    absl::StatusOr<bool> took = co_await StoreStart(state, start);
    if (!took.ok()) co_return took.status();
    stored = *took;
  }
  if (!stored) {
    // A checkpoint behind everything that goes.
    auto checkpoint = co_await state.context.writer->Prepare(state, /*complete=*/false);
    if (!checkpoint.ok()) co_return checkpoint.status();
    checkpoint->log_start = start;
    MR_CO_RETURN_IF_ERROR(co_await state.context.writer->Store(state, *std::move(checkpoint)));
  }
  // Only now may anybody be told: a crash brings back no start below this one.
  state.start = start;
  ForgetReaders(state);
  state.epochs.TruncateFromStart(start);
  state.files_stale = true;
  co_return co_await RemoveSegmentsBelowStart(state, state.config.file_delete_delay_ms);
}

namespace {

Task<absl::Status> StoreCheckpoint(Log::State& state) {  // Borrowed: awaited in place.
  SegmentWriter& writer = *state.context.writer;
  auto checkpoint = co_await writer.Prepare(state, /*complete=*/false);
  absl::Status stored = checkpoint.status();
  if (stored.ok()) stored = co_await writer.Store(state, *std::move(checkpoint));
  if (!stored.ok()) writer.HandleFailure(state, stored);
  co_return stored;
}

// Puts the entry into the journal and waits until it is there.
Task<absl::Status> JournalCut(Log::State& state,
                              JournalEntry entry) {  // Borrowed: awaited in place.
  // A full journal waits for checkpoints, and nobody else can make one of this log while its lock is
  // held here.
  if (state.journal_first) MR_CO_RETURN_IF_ERROR(co_await StoreCheckpoint(state));
  Journal& journal = *state.directory->journal();
  absl::StatusOr<JournalPosition> position = journal.Enqueue(entry, nullptr);
  if (!position.ok()) co_return position.status();
  state.cut_unstored = true;
  state.journaled = true;
  if (!state.journal_first) {
    state.journal_first = *position;
    state.directory->Need(*position, state.number);
  }
  co_return co_await journal.WaitDurable(*position, CancellationToken());
}

// After the cut that was journaled, whose outcome is `cut`.
Task<absl::Status> FinishCut(Log::State& state,
                             absl::Status cut) {  // Borrowed: awaited in place.
  if (cut.ok()) co_return co_await StoreCheckpoint(state);
  // Some of its files are cut and some are not, and what we hold in memory says that all are.
  state.context.fail_directory(*state.directory, cut);
  co_return cut;
}

}  // namespace

Task<absl::Status> Log::Truncate(Offset offset) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  IoLock lock = co_await LockIo(state);
  MR_CO_RETURN_IF_ERROR(state.failure);
  if (offset >= state.end) co_return absl::OkStatus();
  absl::StatusOr<Offset> cut = co_await CutPoint(state, offset);
  if (!cut.ok()) co_return cut.status();
  state.context.env.logger.Info("[log {}] truncated from {} to {}", state.path(), state.end, *cut);
  MR_CO_RETURN_IF_ERROR(
      co_await JournalCut(state, JournalTruncate{state.id, state.incarnation, *cut}));
  co_return co_await FinishCut(state, co_await CutEnd(state, *cut));
}

Task<absl::Status> Log::TruncateFullyAndStartAt(Offset offset) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  IoLock lock = co_await LockIo(state);
  MR_CO_RETURN_IF_ERROR(state.failure);
  state.context.env.logger.Info("[log {}] emptied, was [{}, {}), starts at {}", state.path(),
                                state.start, state.end, offset);
  MR_CO_RETURN_IF_ERROR(
      co_await JournalCut(state, JournalReset{state.id, state.incarnation, offset}));
  co_return co_await FinishCut(state, co_await CutAll(state, offset));
}

Task<absl::Status> Log::AdvanceStart(Offset offset) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  IoLock lock = co_await LockIo(state);
  MR_CO_RETURN_IF_ERROR(state.failure);
  const Offset start = std::min(offset, state.end);
  if (start <= state.start) co_return absl::OkStatus();
  absl::Status moved = co_await MoveStart(state, start);
  if (!moved.ok()) {
    if (!absl::IsResourceExhausted(moved)) state.context.writer->HandleFailure(state, moved);
    co_return MakeError(ErrorKind::kStorageError, moved.code(), std::string(moved.message()));
  }
  state.context.env.logger.Info("[log {}] log start offset moved to {} as asked", state.path(),
                                start);
  co_return absl::OkStatus();
}

}  // namespace millrace

#include "storage/segment_swap.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/deferred_removals.h"
#include "storage/log_files.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr std::array kSideSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix};
constexpr std::array kBesideLog = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                   kSnapshotSuffix};
constexpr std::array kAllSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                     kSnapshotSuffix, kLogSuffix};

std::string With(std::string_view path, std::string_view suffix) {
  return std::string(path) + std::string(suffix);
}

Task<absl::Status> RemoveIfThere(Disk* disk, std::string path) {
  absl::Status removed = co_await disk->Remove(std::move(path));
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

// Writes a file whole, synced. One of that name is from an earlier try.
Task<absl::Status> WriteSynced(Disk* disk, std::string path, Slice bytes) {
  auto file = co_await disk->Open(std::move(path), {.create = true, .truncate = true});
  if (!file.ok()) co_return file.status();
  absl::Status status;
  if (!bytes.empty()) {
    status = co_await (*file)->WriteAt(0, Chain(std::move(bytes)), WriteFlags{});
  }
  if (status.ok()) status = co_await (*file)->Sync();
  status.Update(co_await (*file)->Close());
  co_return status;
}

template <typename Entry, typename Encode>
Slice EncodeAll(const std::vector<Entry>& entries, size_t entry_bytes, Encode encode) {
  MutableBuffer bytes(std::max<size_t>(entries.size() * entry_bytes, 1));
  for (size_t i = 0; i < entries.size(); ++i) {
    std::ranges::copy(encode(entries[i]), bytes.data() + i * entry_bytes);
  }
  return std::move(bytes).Freeze(entries.size() * entry_bytes);
}

// The segments are the very ones that were read, in a row, and nobody is about to copy them.
absl::Status CheckUnchanged(Log::State& state, const CleanedSegment& cleaned,
                            uint64_t truncations) {
  if (state.deleted || !state.failure.ok()) return absl::AbortedError("the log is going away");
  if (state.truncations != truncations) return absl::AbortedError("the log was truncated");
  if (state.moving) return absl::AbortedError("the log is moving to another directory");
  const Segment* first = state.FindSegment(cleaned.replaced.front());
  if (first == nullptr) return absl::AbortedError("its segments are gone");
  const size_t index = static_cast<size_t>(first - state.segments.data());
  if (index + cleaned.replaced.size() >= state.segments.size()) {
    return absl::AbortedError("its segments are gone");
  }
  for (size_t i = 0; i < cleaned.replaced.size(); ++i) {
    if (state.segments[index + i].base != cleaned.replaced[i]) {
      return absl::AbortedError("its segments are others now");
    }
  }
  return absl::OkStatus();
}

// Steps 2 and 3.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Commit(Log::State& state, Offset base) {  // Borrowed: awaited in place.
  Disk& disk = state.context.env.disk;
  for (std::string_view suffix : kSideSuffixes) {
    const std::string path = state.SegmentPath(base, suffix);
    MR_CO_RETURN_IF_ERROR(
        co_await disk.Rename(With(path, kCleanedSuffix), With(path, kSwapSuffix)));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(state.path()));
  const std::string path = state.SegmentPath(base, kLogSuffix);
  MR_CO_RETURN_IF_ERROR(co_await disk.Rename(With(path, kCleanedSuffix), With(path, kSwapSuffix)));
  co_return co_await disk.SyncDirectory(state.path());
}

// Lets a file of the segment go from its name. One of that name from earlier must not pass for it.
Task<absl::StatusOr<bool>> Retire(Disk* disk, std::string path) {
  std::string retired = With(path, kDeletedSuffix);
  absl::Status renamed = co_await disk->Rename(std::move(path), retired);
  if (absl::IsNotFound(renamed)) {
    MR_CO_RETURN_IF_ERROR(co_await RemoveIfThere(disk, std::move(retired)));
    co_return false;
  }
  if (!renamed.ok()) co_return renamed;
  co_return true;
}

// Steps 4 to 6.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Replace(Log::State& state,
                           std::vector<Offset> replaced) {  // Borrowed: awaited in place.
  Disk* disk = &state.context.env.disk;
  const Offset base = replaced.front();
  const std::span<const Offset> others = std::span(replaced).subspan(1);
  std::vector<std::string> retired;
  for (Offset other : others) {
    std::string path = state.SegmentPath(other, kLogSuffix);
    MR_CO_ASSIGN_OR_RETURN(bool there, co_await Retire(disk, path));
    if (there) retired.push_back(With(path, kDeletedSuffix));
  }
  for (std::string_view suffix : kSideSuffixes) {
    MR_CO_RETURN_IF_ERROR((co_await Retire(disk, state.SegmentPath(base, suffix))).status());
  }
  MR_CO_RETURN_IF_ERROR(co_await disk->SyncDirectory(state.path()));
  for (Offset other : others) {
    for (std::string_view suffix : kBesideLog) {
      std::string path = state.SegmentPath(other, suffix);
      MR_CO_ASSIGN_OR_RETURN(bool there, co_await Retire(disk, path));
      if (there) retired.push_back(With(path, kDeletedSuffix));
    }
  }
  for (std::string_view suffix : kSideSuffixes) {
    const std::string path = state.SegmentPath(base, suffix);
    MR_CO_RETURN_IF_ERROR(co_await disk->Rename(With(path, kSwapSuffix), path));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk->SyncDirectory(state.path()));
  const std::string path = state.SegmentPath(base, kLogSuffix);
  MR_CO_RETURN_IF_ERROR(co_await disk->Rename(With(path, kSwapSuffix), path));
  MR_CO_RETURN_IF_ERROR(co_await disk->SyncDirectory(state.path()));
  for (std::string& each : retired) {
    state.context.removals->Add(std::move(each), state.config.file_delete_delay_ms);
  }
  for (std::string_view suffix : kSideSuffixes) {
    // Now, not later: the next round gives its own this name. What stays goes at the next start.
    (co_await disk->Remove(With(state.SegmentPath(base, suffix), kDeletedSuffix))).IgnoreError();
  }
  co_return absl::OkStatus();
}

// What the log says of its segments from now on.
void SetSegment(Log::State& state, CleanedSegment& cleaned) {
  Segment fresh = std::move(cleaned.segment);
  Segment* first = state.FindSegment(cleaned.replaced.front());
  const auto begin = state.segments.begin() + (first - state.segments.data());
  const auto end = begin + static_cast<ptrdiff_t>(cleaned.replaced.size());
  fresh.written = fresh.synced = fresh.size;
  fresh.written_next = fresh.next;
  fresh.sealed = fresh.file_exists = fresh.times_known = true;
  fresh.index_state = IndexState::kGood;
  fresh.indexes.written_entries = std::exchange(fresh.indexes.pending, {}).size();
  fresh.indexes.written_time_entries = std::exchange(fresh.indexes.pending_times, {}).size();
  fresh.aborted.written = cleaned.aborted.size();
  if (!cleaned.aborted.empty()) fresh.aborted.last = cleaned.aborted.back().last;
  fresh.created = begin->created;
  fresh.appended = std::prev(end)->appended;
  *begin = std::move(fresh);
  state.segments.erase(std::next(begin), end);
}

void ForgetFiles(Log::State& state, const std::vector<Offset>& bases) {
  for (Offset base : bases) {
    for (std::string_view suffix : kAllSuffixes) {
      state.context.files.Forget(state.SegmentPath(base, suffix));
    }
  }
}

void ForgetReaders(Log::State& state) {
  ++state.cuts;
  std::vector<ReadPlace>().swap(state.places);
}

}  // namespace

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> WriteCleanedIndexes(Log::State& state, const CleanedSegment& cleaned) {
  Disk* disk = &state.context.env.disk;
  const Segment& segment = cleaned.segment;
  const Offset base = segment.base;
  Slice offsets = EncodeAll(segment.indexes.pending, kOffsetIndexEntryBytes,
                            [base](const auto& e) { return EncodeOffsetIndexEntry(e, base); });
  Slice times = EncodeAll(segment.indexes.pending_times, kTimeIndexEntryBytes,
                          [base](const auto& e) { return EncodeTimeIndexEntry(e, base); });
  Slice aborted = EncodeAll(cleaned.aborted, kAbortedEntryBytes,
                            [](const auto& e) { return EncodeAbortedEntry(e); });
  const std::string index = With(state.SegmentPath(base, kIndexSuffix), kCleanedSuffix);
  const std::string time_index = With(state.SegmentPath(base, kTimeIndexSuffix), kCleanedSuffix);
  const std::string txn_index = With(state.SegmentPath(base, kTxnIndexSuffix), kCleanedSuffix);
  MR_CO_RETURN_IF_ERROR(co_await WriteSynced(disk, index, std::move(offsets)));
  MR_CO_RETURN_IF_ERROR(co_await WriteSynced(disk, time_index, std::move(times)));
  co_return co_await WriteSynced(disk, txn_index, std::move(aborted));
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> SwapIn(Log::State& state, CleanedSegment* cleaned, uint64_t truncations) {
  MR_CHECK(!cleaned->segment.empty());
  MR_CO_RETURN_IF_ERROR(CheckUnchanged(state, *cleaned, truncations));
  const std::vector<Offset> replaced = cleaned->replaced;
  absl::Status status = co_await Commit(state, replaced.front());
  state.swapping = true;
  ForgetReaders(state);
  if (status.ok()) status = co_await Replace(state, replaced);
  if (status.ok()) {
    SetSegment(state, *cleaned);
    ForgetFiles(state, replaced);
    ForgetReaders(state);
  }
  state.swapping = false;  // Who waits is woken when the lock is released.
  co_return status.ok() ? status : absl::UnavailableError(status.message());
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> RemoveCleaned(Log::State& state, Offset base) {
  for (std::string_view suffix : kAllSuffixes) {
    // What stays is removed at the next start, or written over before.
    (void)co_await state.context.env.disk.Remove(
        With(state.SegmentPath(base, suffix), kCleanedSuffix));
  }
}

}  // namespace millrace

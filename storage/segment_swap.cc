#include "storage/segment_swap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/deferred_removals.h"
#include "storage/log_files.h"
#include "storage/segment/segment_scanner.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr std::array kSideSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix};
constexpr std::array kAllSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                     kSnapshotSuffix, kLogSuffix};

std::string With(std::string_view path, std::string_view suffix) {
  return std::string(path) + std::string(suffix);
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

// Steps 4 and 5.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Replace(Log::State& state,
                           std::vector<Offset> replaced) {  // Borrowed: awaited in place.
  Disk& disk = state.context.env.disk;
  const Offset base = replaced.front();
  for (size_t i = 1; i < replaced.size(); ++i) {
    for (std::string_view suffix : kAllSuffixes) {
      const std::string path = state.SegmentPath(replaced[i], suffix);
      std::string retired = With(path, kDeletedSuffix);
      absl::Status renamed = co_await disk.Rename(path, retired);
      if (absl::IsNotFound(renamed)) continue;
      if (!renamed.ok()) co_return renamed;
      state.context.removals->Add(std::move(retired), state.config.file_delete_delay_ms);
    }
  }
  for (std::string_view suffix : kSideSuffixes) {
    const std::string path = state.SegmentPath(base, suffix);
    MR_CO_RETURN_IF_ERROR(co_await disk.Rename(With(path, kSwapSuffix), path));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(state.path()));
  const std::string path = state.SegmentPath(base, kLogSuffix);
  MR_CO_RETURN_IF_ERROR(co_await disk.Rename(With(path, kSwapSuffix), path));
  co_return co_await disk.SyncDirectory(state.path());
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

Task<absl::Status> RemoveIfThere(Disk* disk, std::string path) {
  absl::Status removed = co_await disk->Remove(std::move(path));
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

// Behind the last batch of the file; nothing when it is not sound to its end.
Task<absl::StatusOr<std::optional<Offset>>> EndOf(Disk* disk, std::string path, Offset base) {
  auto file = co_await disk->Open(std::move(path), {.read_only = true});
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  absl::Status status = size.status();
  std::optional<Offset> end;
  if (status.ok()) {
    SegmentScanner scanner(**file, {.end = *size, .offset_min = base});
    for (bool more = true; more && status.ok();) {
      auto batch = co_await scanner.Next();
      status = batch.status();
      more = batch.ok() && batch->has_value();
    }
    if (scanner.defect().empty()) end = scanner.next_offset();
  }
  status.Update(co_await (*file)->Close());
  if (!status.ok()) co_return status;
  co_return end;
}

// Steps 4 and 5 anew, for B.log.swap in the folder.
Task<absl::Status> Finish(Env* env, std::string folder, Offset base,
                          std::vector<DirectoryEntry> entries) {
  Disk* disk = &env->disk;
  const std::string log = JoinPath(folder, SegmentFileName(base, kLogSuffix));
  auto end = co_await EndOf(disk, With(log, kSwapSuffix), base);
  if (!end.ok()) co_return end.status();
  const bool old_there = std::ranges::any_of(entries, [&](const DirectoryEntry& entry) {
    return entry.name == SegmentFileName(base, kLogSuffix);
  });
  if (!end->has_value() && old_there) {
    // It was whole and synced before it got its name: rot. The old ones may still do.
    env->logger.Error("[log {}] {} is damaged and dropped", folder,
                      With(SegmentFileName(base, kLogSuffix), kSwapSuffix));
    MR_CO_RETURN_IF_ERROR(co_await RemoveIfThere(disk, With(log, kSwapSuffix)));
    co_return co_await disk->SyncDirectory(folder);
  }
  for (const DirectoryEntry& entry : entries) {
    for (std::string_view suffix : kAllSuffixes) {
      const std::optional<Offset> other = ParseSegmentFileName(entry.name, suffix);
      if (!other || *other <= base || !end->has_value() || *other >= **end) continue;
      MR_CO_RETURN_IF_ERROR(co_await RemoveIfThere(disk, JoinPath(folder, entry.name)));
    }
  }
  for (std::string_view suffix : kSideSuffixes) {
    const std::string path = JoinPath(folder, SegmentFileName(base, suffix));
    absl::Status renamed = co_await disk->Rename(With(path, kSwapSuffix), path);
    if (!renamed.ok() && !absl::IsNotFound(renamed)) co_return renamed;
  }
  MR_CO_RETURN_IF_ERROR(co_await disk->SyncDirectory(folder));
  MR_CO_RETURN_IF_ERROR(co_await disk->Rename(With(log, kSwapSuffix), log));
  MR_CO_RETURN_IF_ERROR(co_await disk->SyncDirectory(folder));
  env->logger.Info("[log {}] the compaction of {} is finished", folder,
                   SegmentFileName(base, kLogSuffix));
  co_return absl::OkStatus();
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

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::vector<DirectoryEntry>>> SettleSwaps(Env& env, std::string folder,
                                                              std::vector<DirectoryEntry> entries) {
  const bool any = std::ranges::any_of(
      entries, [](const DirectoryEntry& entry) { return entry.name.ends_with(kSwapSuffix); });
  if (!any) co_return entries;
  const std::string log_swap = With(kLogSuffix, kSwapSuffix);
  for (const DirectoryEntry& entry : entries) {
    const std::optional<Offset> base = ParseSegmentFileName(entry.name, log_swap);
    if (base) MR_CO_RETURN_IF_ERROR(co_await Finish(&env, folder, *base, entries));
  }
  // Indexes of one that did not come so far.
  for (const DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kSwapSuffix)) continue;
    MR_CO_RETURN_IF_ERROR(co_await RemoveIfThere(&env.disk, JoinPath(folder, entry.name)));
  }
  co_return co_await env.disk.List(folder);
}

}  // namespace millrace

#include "storage/segment_aborted.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/producer_recovery.h"
#include "storage/segment/segment_scanner.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

// What one read of a look-up takes in at most; above it, it halves.
constexpr size_t kLookupEntries = 512;

using Entries = std::vector<AbortedTransaction>;

Slice EncodeEntries(const Entries& entries, size_t count) {
  MutableBuffer bytes(std::max<size_t>(count * kAbortedEntryBytes, 1));
  for (size_t i = 0; i < count; ++i) {
    std::ranges::copy(EncodeAbortedEntry(entries[i]), bytes.data() + i * kAbortedEntryBytes);
  }
  return std::move(bytes).Freeze(count * kAbortedEntryBytes);
}

Task<absl::StatusOr<Slice>> ReadAbortedFile(Log::State& state,
                                            std::string path) {  // Borrowed: awaited in place.
  auto file = co_await state.context.files.Acquire(std::move(path), /*create=*/false);
  if (absl::IsNotFound(file.status())) co_return Slice();
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  if (!size.ok()) co_return size.status();
  co_return co_await (*file)->ReadAt(0, static_cast<size_t>(*size), ReadHint::kNormal);
}

// Makes the file hold the first `kept` bytes of what it has and then `added`, durably.
Task<absl::Status> Extend(Log::State& state, std::string path, uint64_t kept,
                          Slice added) {  // Borrowed: awaited in place.
  auto file = co_await state.context.files.Acquire(std::move(path), /*create=*/true);
  if (!file.ok()) co_return file.status();
  MR_CO_RETURN_IF_ERROR(co_await (*file)->Truncate(kept));
  if (!added.empty()) {
    MR_CO_RETURN_IF_ERROR(co_await (*file)->WriteAt(kept, Chain(std::move(added)), WriteFlags{}));
  }
  co_return co_await (*file)->Sync();
}

// Puts another file in its place: a crash leaves the old one, in which the damage is seen again.
Task<absl::Status> ReplaceAbortedFile(Log::State& state, std::string path,
                                      const Entries& entries) {  // Borrowed: awaited in place.
  state.context.files.Forget(path);
  absl::Status replaced = co_await ReplaceFile(
      state.context.env.disk, path, std::string(EncodeEntries(entries, entries.size()).view()));
  // A reader may be the first to learn that the disk fails.
  if (!replaced.ok()) state.context.fail_directory(*state.directory, replaced);
  co_return replaced;
}

// The entries as the segment's own markers say them.
Task<absl::StatusOr<Entries>> AbortedInSegment(Log::State& state,
                                               Offset base) {  // Borrowed: awaited in place.
  auto producers = co_await ProducersAt(state, base);
  if (!producers.ok()) co_return producers.status();
  Entries entries;
  const Segment* segment = state.FindSegment(base);
  if (segment == nullptr || segment->written == 0) co_return entries;
  const uint64_t written = segment->written;
  auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
  if (!file.ok()) co_return file.status();
  SegmentScanner scanner(**file, {.end = written, .offset_min = base, .check_crc = false});
  for (;;) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) co_return batch.status();
    if (!batch->has_value()) co_return entries;
    auto completed = producers->ApplyBatch(**batch, Timestamp(0));
    if (completed && completed->aborted) entries.push_back(AbortedOf(*completed));
  }
}

// Makes what is known of the file true. REQUIRES: all that was in the segment at start lay below
// the recovery point, so that the file was synced whole.
Task<absl::Status> EnsureAborted(Log::State& state,
                                 Offset base) {  // Borrowed: awaited in place.
  if (state.FindSegment(base)->aborted.state == IndexState::kGood) co_return absl::OkStatus();
  const std::string path = state.SegmentPath(base, kTxnIndexSuffix);
  auto bytes = co_await ReadAbortedFile(state, path);
  if (!bytes.ok()) co_return bytes.status();
  absl::StatusOr<Entries> entries =
      DecodeAbortedIndex(bytes->span(), base, state.FindSegment(base)->next);
  if (!entries.ok()) {
    state.context.env.logger.Warning("[log {}] {} is built anew: {}", state.path(),
                                     SegmentFileName(base, kTxnIndexSuffix),
                                     std::string(entries.status().message()));
    entries = co_await AbortedInSegment(state, base);
    if (!entries.ok()) co_return entries.status();
    MR_CO_RETURN_IF_ERROR(co_await ReplaceAbortedFile(state, path, *entries));
  }
  SegmentAborted& aborted = state.FindSegment(base)->aborted;
  aborted.state = IndexState::kGood;
  aborted.written = entries->size();
  if (!entries->empty()) {
    // What was built anew may have those that wait to be written.
    const Offset last = entries->back().last;
    std::erase_if(aborted.pending, [&](const auto& entry) { return entry.last <= last; });
    aborted.last = std::max(aborted.last.value_or(last), last);
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> WriteAborted(Log::State& state, Offset segment_base) {
  if (state.FindSegment(segment_base)->aborted.pending.empty()) co_return absl::OkStatus();
  MR_CO_RETURN_IF_ERROR(co_await EnsureAborted(state, segment_base));
  const Segment* segment = state.FindSegment(segment_base);
  const Entries& pending = segment->aborted.pending;
  const Offset written_next = segment->written_next;
  const size_t count = static_cast<size_t>(
      std::ranges::partition_point(
          pending, [&](const AbortedTransaction& entry) { return entry.last < written_next; }) -
      pending.begin());
  if (count == 0) co_return absl::OkStatus();
  const uint64_t kept = segment->aborted.written * kAbortedEntryBytes;
  if (kept == 0) state.names_unsynced = true;
  MR_CO_RETURN_IF_ERROR(co_await Extend(state, state.SegmentPath(segment_base, kTxnIndexSuffix),
                                        kept, EncodeEntries(pending, count)));
  // Appends may have added entries meanwhile, but only behind those.
  SegmentAborted& aborted = state.FindSegment(segment_base)->aborted;
  aborted.pending.erase(aborted.pending.begin(),
                        aborted.pending.begin() + static_cast<ptrdiff_t>(count));
  if (aborted.pending.empty()) aborted.pending.shrink_to_fit();
  aborted.written += count;
  co_return absl::OkStatus();
}

Task<absl::Status> CutAborted(Log::State& state, Offset segment_base, Offset end,
                              size_t count_min) {
  Segment* segment = state.FindSegment(segment_base);
  MR_CHECK(segment != nullptr);
  std::erase_if(segment->aborted.pending, [&](const auto& entry) { return entry.last >= end; });
  const bool none = segment->aborted.state == IndexState::kGood && segment->aborted.written == 0;
  if (none && count_min == 0) {
    segment->aborted.last.reset();
    if (!segment->aborted.pending.empty()) {
      segment->aborted.last = segment->aborted.pending.back().last;
    }
    co_return absl::OkStatus();
  }
  const std::string path = state.SegmentPath(segment_base, kTxnIndexSuffix);
  absl::StatusOr<Entries> sound = Entries();
  bool damaged = false;
  std::optional<size_t> file_bytes;
  if (end > segment_base) {
    auto bytes = co_await ReadAbortedFile(state, path);
    if (!bytes.ok()) co_return bytes.status();
    file_bytes = bytes->size();
    sound = SoundAbortedBelow(bytes->span(), segment_base, end, count_min);
    damaged = !sound.ok();
  }
  if (damaged) {
    sound = co_await AbortedInSegment(state, segment_base);
    if (!sound.ok()) co_return sound.status();
    std::erase_if(*sound, [&](const auto& entry) { return entry.last >= end; });
    MR_CO_RETURN_IF_ERROR(co_await ReplaceAbortedFile(state, path, *sound));
  } else if (sound->size() * kAbortedEntryBytes != file_bytes) {
    MR_CO_RETURN_IF_ERROR(
        co_await Extend(state, path, sound->size() * kAbortedEntryBytes, Slice()));
  }
  const Entries& kept = *sound;
  SegmentAborted& aborted = state.FindSegment(segment_base)->aborted;
  aborted.state = IndexState::kGood;
  aborted.written = kept.size();
  aborted.last.reset();
  if (!kept.empty()) aborted.last = kept.back().last;
  if (!aborted.pending.empty()) aborted.last = aborted.pending.back().last;
  co_return absl::OkStatus();
}

Task<absl::StatusOr<bool>> CollectAborted(Log::State& state, Offset segment_base, Offset from,
                                          Offset to, std::vector<AbortedTransaction>* found) {
  // True when no later marker can matter.
  auto take = [&](const AbortedTransaction& entry) {
    if (entry.last >= from && entry.first < to) found->push_back(entry);
    return entry.last_stable >= to;
  };
  const uint64_t cuts = state.cuts;
  Segment* segment = state.FindSegment(segment_base);
  if (segment->aborted.state != IndexState::kGood) {
    IoLock lock = co_await LockIo(state);
    if (state.cuts != cuts) co_return true;
    MR_CO_RETURN_IF_ERROR(co_await EnsureAborted(state, segment_base));
    if (state.cuts != cuts) co_return true;
    segment = state.FindSegment(segment_base);
  }
  const SegmentAborted& aborted = segment->aborted;
  if (!aborted.last.has_value() || *aborted.last < from) co_return false;
  // By value: the list changes while we read the file.
  const Entries pending = aborted.pending;
  size_t low = 0;
  size_t high = aborted.written;
  if (high > 0) {
    auto file = co_await state.context.files.Acquire(
        state.SegmentPath(segment_base, kTxnIndexSuffix), false);
    if (state.cuts != cuts) co_return true;
    if (!file.ok()) co_return file.status();
    const size_t end = high;
    while (high - low > kLookupEntries) {
      const size_t middle = low + (high - low) / 2;
      auto bytes = co_await (*file)->ReadAt(middle * kAbortedEntryBytes, kAbortedEntryBytes,
                                            ReadHint::kNormal);
      if (state.cuts != cuts) co_return true;
      if (!bytes.ok()) co_return bytes.status();
      absl::StatusOr<AbortedTransaction> entry = DecodeAbortedEntry(bytes->span());
      if (!entry.ok()) co_return entry.status();
      (entry->last < from ? low : high) = middle;
    }
    for (; low < end; low += kLookupEntries) {
      auto bytes = co_await (*file)->ReadAt(
          low * kAbortedEntryBytes, std::min(kLookupEntries, end - low) * kAbortedEntryBytes,
          ReadHint::kNormal);
      if (state.cuts != cuts) co_return true;
      if (!bytes.ok()) co_return bytes.status();
      for (size_t at = 0; at + kAbortedEntryBytes <= bytes->size(); at += kAbortedEntryBytes) {
        absl::StatusOr<AbortedTransaction> entry =
            DecodeAbortedEntry(bytes->span().subspan(at, kAbortedEntryBytes));
        if (!entry.ok()) co_return entry.status();
        if (take(*entry)) co_return true;
      }
    }
  }
  co_return std::ranges::any_of(pending, take);
}

}  // namespace millrace

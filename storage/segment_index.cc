#include "storage/segment_index.h"

#include <algorithm>
#include <utility>

#include "common/bytes/endian.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/segment/segment_scanner.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

// What one read of a look-up takes in at most; above it, it halves.
constexpr size_t kLookupEntries = 512;

// One entry wherever it lies; zeroes too, which OffsetIndexView takes for the end of the file.
OffsetIndexEntry LoadIndexEntry(Offset base, const uint8_t* at) {
  return {base + OffsetDelta(LoadBig<int32_t>(at)), LoadBig<uint32_t>(at + 4)};
}

TimeIndexEntry LoadTimeEntry(Offset base, const uint8_t* at) {
  return {Timestamp(LoadBig<int64_t>(at)), base + OffsetDelta(LoadBig<int32_t>(at + 8))};
}

// Reads a whole index file; empty when it is absent.
Task<absl::StatusOr<Slice>> ReadIndexFile(StoreContext& context,
                                          std::string path) {  // Borrowed: awaited in place.
  auto file = co_await context.files.Acquire(std::move(path), /*create=*/false);
  if (absl::IsNotFound(file.status())) co_return Slice();
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  if (!size.ok()) co_return size.status();
  co_return co_await (*file)->ReadAt(0, static_cast<size_t>(*size), ReadHint::kNormal);
}

Task<absl::Status> WriteEntries(StoreContext& context, std::string path, uint64_t position,
                                Slice bytes) {  // Borrowed: awaited in place.
  auto file = co_await context.files.Acquire(std::move(path), /*create=*/true);
  if (!file.ok()) co_return file.status();
  if (bytes.empty()) co_return absl::OkStatus();
  co_return co_await (*file)->WriteAt(position, Chain(std::move(bytes)), WriteFlags{});
}

Task<absl::Status> CutFile(StoreContext& context, std::string path,
                           uint64_t size) {  // Borrowed: awaited in place.
  auto file = co_await context.files.Acquire(std::move(path), /*create=*/true);
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> now = co_await (*file)->Size();
  if (!now.ok()) co_return now.status();
  if (*now <= size) co_return absl::OkStatus();
  // Synced, because these files are believed after a crash as far as they look sound, and entries
  // of what was cut off look so.
  MR_CO_RETURN_IF_ERROR(co_await (*file)->Truncate(size));
  co_return co_await (*file)->Sync();
}

// How many entries from the front can be true of this segment. An entry at position 0 is none of
// Kafka's: it is the zero filling of a preallocated file.
size_t SoundEntries(const Slice& file, const Segment& segment) {
  std::optional<OffsetIndexEntry> before;
  size_t count = 0;
  for (; (count + 1) * kOffsetIndexEntryBytes <= file.size(); ++count) {
    OffsetIndexEntry entry =
        LoadIndexEntry(segment.base, file.data() + count * kOffsetIndexEntryBytes);
    if (entry.position == 0 || entry.position >= segment.written) break;
    if (entry.offset < segment.base || entry.offset >= segment.written_next) break;
    if (before && (entry.offset <= before->offset || entry.position <= before->position)) break;
    before = entry;
  }
  return count;
}

size_t SoundTimes(const Slice& file, const Segment& segment) {
  std::optional<TimeIndexEntry> before;
  size_t count = 0;
  for (; (count + 1) * kTimeIndexEntryBytes <= file.size(); ++count) {
    TimeIndexEntry entry = LoadTimeEntry(segment.base, file.data() + count * kTimeIndexEntryBytes);
    if (entry.offset < segment.base || entry.offset >= segment.written_next) break;
    if (before && entry.timestamp <= before->timestamp) break;
    // A zero-filled tail: timestamp 0 behind nothing would be a true entry only for the epoch
    // itself.
    if (!before && entry.timestamp == Timestamp(0) && entry.offset == segment.base) break;
    before = entry;
  }
  return count;
}

// What the index files of a segment say, and then the segment itself.
struct Believed {
  SegmentIndexes indexes;
  std::optional<OffsetIndexEntry> last;
  std::optional<TimeIndexEntry> max;  // The largest timestamp so far.
};

Believed WhatIsSound(const Slice& entries, const Slice& times, const Segment& segment) {
  Believed sound;
  sound.indexes.written_entries = SoundEntries(entries, segment);
  sound.indexes.written_time_entries = SoundTimes(times, segment);
  // Without a time index there is no telling the largest timestamp so far: begin anew.
  if (sound.indexes.written_time_entries == 0) return {};
  sound.max = LoadTimeEntry(
      segment.base, times.data() + (sound.indexes.written_time_entries - 1) * kTimeIndexEntryBytes);
  sound.indexes.last_time = sound.max->timestamp;
  if (sound.indexes.written_entries > 0) {
    sound.last = LoadIndexEntry(segment.base, entries.data() + (sound.indexes.written_entries - 1) *
                                                                   kOffsetIndexEntryBytes);
  }
  return sound;
}

// Reads the segment from the last entry on; usually a few KiB. False: no batch begins where that
// points, or one behind the entry's offset does.
Task<absl::StatusOr<bool>> AddRest(Log::State& state, Offset segment_base, uint64_t written,
                                   Believed& believed) {  // Borrowed: awaited in place.
  if (written == 0) co_return true;
  const Offset next = state.FindSegment(segment_base)->written_next;
  auto file =
      co_await state.context.files.Acquire(state.SegmentPath(segment_base, kLogSuffix), false);
  if (!file.ok()) co_return file.status();
  SegmentScanner::Options options{.end = written, .check_crc = false};
  options.begin = believed.last ? believed.last->position : 0;
  options.offset_min = segment_base;
  options.offset_max = next;
  SegmentScanner scanner(**file, options);
  for (bool first = believed.last.has_value();; first = false) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) co_return batch.status();
    if (!batch->has_value()) co_return !first;
    const BatchHeader& header = (*batch)->header();
    // (An entry of Kafka's may be of several batches, the last of which ends there.)
    if (first && header.base_offset > believed.last->offset) co_return false;
    std::optional<TimeIndexEntry>& max = believed.max;
    if (header.record_count > 0 && (!max || header.max_timestamp > max->timestamp)) {
      max = TimeIndexEntry{header.max_timestamp, header.last_offset()};
    }
    believed.indexes.Add(header, static_cast<uint32_t>(scanner.batch_position()),
                         max.value_or(TimeIndexEntry{kNoTimestamp, header.last_offset()}),
                         state.config.index_interval_bytes);
  }
}

}  // namespace

Task<absl::Status> WriteIndexes(Log::State& state, Offset segment_base, bool complete) {
  MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, segment_base));
  Segment* segment = state.FindSegment(segment_base);
  MR_CHECK(segment != nullptr);
  if (complete && segment->max_time) segment->indexes.AddLast(*segment->max_time);

  SegmentIndexes& indexes = segment->indexes;
  const uint64_t written = segment->written;
  const Offset written_next = segment->written_next;
  size_t count =
      static_cast<size_t>(std::ranges::partition_point(indexes.pending,
                                                       [written](const OffsetIndexEntry& entry) {
                                                         return entry.position < written;
                                                       }) -
                          indexes.pending.begin());
  size_t time_count =
      static_cast<size_t>(std::ranges::find_if(indexes.pending_times,
                                               [written_next](const TimeIndexEntry& entry) {
                                                 return entry.offset >= written_next;
                                               }) -
                          indexes.pending_times.begin());

  MutableBuffer bytes(std::max<size_t>(count * kOffsetIndexEntryBytes, 1));
  for (size_t i = 0; i < count; ++i) {
    auto entry = EncodeOffsetIndexEntry(indexes.pending[i], segment_base);
    std::ranges::copy(entry, bytes.data() + i * entry.size());
  }
  MutableBuffer times(std::max<size_t>(time_count * kTimeIndexEntryBytes, 1));
  for (size_t i = 0; i < time_count; ++i) {
    auto entry = EncodeTimeIndexEntry(indexes.pending_times[i], segment_base);
    std::ranges::copy(entry, times.data() + i * entry.size());
  }
  const uint64_t at = indexes.written_entries * kOffsetIndexEntryBytes;
  const uint64_t times_at = indexes.written_time_entries * kTimeIndexEntryBytes;

  if (count > 0 || complete) {
    MR_CO_RETURN_IF_ERROR(
        co_await WriteEntries(state.context, state.SegmentPath(segment_base, kIndexSuffix), at,
                              std::move(bytes).Freeze(count * kOffsetIndexEntryBytes)));
  }
  if (time_count > 0 || complete) {
    MR_CO_RETURN_IF_ERROR(co_await WriteEntries(
        state.context, state.SegmentPath(segment_base, kTimeIndexSuffix), times_at,
        std::move(times).Freeze(time_count * kTimeIndexEntryBytes)));
  }
  // Appends may have added entries meanwhile, but only behind those; nobody else removes any while
  // we hold the lock.
  segment = state.FindSegment(segment_base);
  MR_CHECK(segment != nullptr);
  SegmentIndexes& now = segment->indexes;
  now.pending.erase(now.pending.begin(), now.pending.begin() + static_cast<ptrdiff_t>(count));
  now.pending_times.erase(now.pending_times.begin(),
                          now.pending_times.begin() + static_cast<ptrdiff_t>(time_count));
  now.written_entries += count;
  now.written_time_entries += time_count;
  if (now.pending.empty()) now.pending.shrink_to_fit();
  if (now.pending_times.empty()) now.pending_times.shrink_to_fit();
  co_return absl::OkStatus();
}

Task<absl::Status> EnsureIndexes(Log::State& state, Offset segment_base) {
  Segment* segment = state.FindSegment(segment_base);
  MR_CHECK(segment != nullptr);
  if (segment->index_state == IndexState::kGood) co_return absl::OkStatus();

  auto entries_file =
      co_await ReadIndexFile(state.context, state.SegmentPath(segment_base, kIndexSuffix));
  if (!entries_file.ok()) co_return entries_file.status();
  auto times_file =
      co_await ReadIndexFile(state.context, state.SegmentPath(segment_base, kTimeIndexSuffix));
  if (!times_file.ok()) co_return times_file.status();

  segment = state.FindSegment(segment_base);
  const uint64_t written = segment->written;
  Believed believed = WhatIsSound(*entries_file, *times_file, *segment);
  absl::StatusOr<bool> fits = co_await AddRest(state, segment_base, written, believed);
  if (fits.ok() && !*fits) {
    // An entry of another life, and so may be those in front of it: nothing of the files is believed.
    believed = Believed();
    fits = co_await AddRest(state, segment_base, written, believed);
  }
  if (!fits.ok()) co_return fits.status();
  SegmentIndexes& built = believed.indexes;
  const std::optional<TimeIndexEntry>& max = believed.max;
  absl::Status cut = co_await CutFile(state.context, state.SegmentPath(segment_base, kIndexSuffix),
                                      built.written_entries * kOffsetIndexEntryBytes);
  if (cut.ok()) {
    cut = co_await CutFile(state.context, state.SegmentPath(segment_base, kTimeIndexSuffix),
                           built.written_time_entries * kTimeIndexEntryBytes);
  }
  if (!cut.ok()) {
    // A reader may be the first to learn that the disk fails; a sync that failed is final all the
    // same. Want of room, or of descriptors, passes.
    if (!absl::IsResourceExhausted(cut)) state.context.fail_directory(*state.directory, cut);
    co_return cut;
  }

  // Entries of batches that were appended since the start and are not in the file yet stay.
  segment = state.FindSegment(segment_base);
  MR_CHECK(segment != nullptr);
  for (const OffsetIndexEntry& entry : segment->indexes.pending) {
    if (entry.position >= written) built.pending.push_back(entry);
  }
  for (const TimeIndexEntry& entry : segment->indexes.pending_times) {
    if (entry.offset >= segment->written_next) built.AddLast(entry);
  }
  if (segment->size > written) built.bytes_since_entry = segment->indexes.bytes_since_entry;
  if (!segment->times_known) {
    // What was appended since the start is in max_time already.
    if (max && (!segment->max_time || max->timestamp >= segment->max_time->timestamp)) {
      segment->max_time = max;
    }
    segment->times_known = true;
  }
  segment->indexes = std::move(built);
  segment->index_state = IndexState::kGood;
  co_return absl::OkStatus();
}

Task<absl::StatusOr<uint64_t>> LookupPosition(Log::State& state, Offset segment_base,
                                              Offset offset) {
  Segment* segment = state.FindSegment(segment_base);
  if (segment != nullptr && segment->index_state != IndexState::kGood) {
    IoLock lock = co_await LockIo(state);
    if (state.FindSegment(segment_base) == nullptr) co_return uint64_t{0};
    MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, segment_base));
    segment = state.FindSegment(segment_base);
  }
  if (segment == nullptr) co_return uint64_t{0};

  const auto& pending = segment->indexes.pending;
  if (!pending.empty() && pending.front().offset <= offset) {
    auto behind = std::ranges::partition_point(
        pending, [offset](const OffsetIndexEntry& entry) { return entry.offset <= offset; });
    co_return uint64_t{std::prev(behind)->position};
  }
  size_t low = 0;  // Entry low is at or below `offset`, or low is 0 and nobody has looked.
  size_t high = segment->indexes.written_entries;
  if (high == 0) co_return uint64_t{0};
  auto file =
      co_await state.context.files.Acquire(state.SegmentPath(segment_base, kIndexSuffix), false);
  if (absl::IsNotFound(file.status()))
    co_return uint64_t{0};  // Deleted under us: begin at the front.
  if (!file.ok()) co_return file.status();
  while (high - low > kLookupEntries) {
    const size_t middle = low + (high - low) / 2;
    auto bytes = co_await (*file)->ReadAt(middle * kOffsetIndexEntryBytes, kOffsetIndexEntryBytes,
                                          ReadHint::kNormal);
    if (!bytes.ok()) co_return bytes.status();
    if (bytes->size() < kOffsetIndexEntryBytes) co_return uint64_t{0};  // Cut meanwhile.
    (LoadIndexEntry(segment_base, bytes->data()).offset <= offset ? low : high) = middle;
  }
  auto bytes = co_await (*file)->ReadAt(low * kOffsetIndexEntryBytes,
                                        (high - low) * kOffsetIndexEntryBytes, ReadHint::kNormal);
  if (!bytes.ok()) co_return bytes.status();
  uint64_t position = 0;
  for (size_t at = 0; at + kOffsetIndexEntryBytes <= bytes->size(); at += kOffsetIndexEntryBytes) {
    OffsetIndexEntry entry = LoadIndexEntry(segment_base, bytes->data() + at);
    if (entry.offset > offset) break;
    position = entry.position;
  }
  co_return position;
}

Task<absl::StatusOr<Offset>> LookupTime(Log::State& state, Offset segment_base,
                                        Timestamp timestamp) {
  Segment* segment = state.FindSegment(segment_base);
  if (segment != nullptr && segment->index_state != IndexState::kGood) {
    IoLock lock = co_await LockIo(state);
    if (state.FindSegment(segment_base) == nullptr) co_return segment_base;
    MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, segment_base));
    segment = state.FindSegment(segment_base);
  }
  if (segment == nullptr) co_return segment_base;
  Offset found = segment_base;
  const std::vector<TimeIndexEntry> pending = segment->indexes.pending_times;
  if (segment->indexes.written_time_entries > 0) {
    auto bytes =
        co_await ReadIndexFile(state.context, state.SegmentPath(segment_base, kTimeIndexSuffix));
    if (!bytes.ok()) co_return bytes.status();
    for (size_t at = 0; at + kTimeIndexEntryBytes <= bytes->size(); at += kTimeIndexEntryBytes) {
      TimeIndexEntry entry = LoadTimeEntry(segment_base, bytes->data() + at);
      if (entry.timestamp >= timestamp) co_return found;
      found = entry.offset;
    }
  }
  for (const TimeIndexEntry& entry : pending) {
    if (entry.timestamp >= timestamp) break;
    found = entry.offset;
  }
  co_return found;
}

Task<absl::Status> EnsureTimes(Log::State& state, Offset segment_base) {
  Segment* segment = state.FindSegment(segment_base);
  if (segment == nullptr || segment->times_known) co_return absl::OkStatus();
  IoLock lock = co_await LockIo(state);
  segment = state.FindSegment(segment_base);
  if (segment == nullptr || segment->times_known) co_return absl::OkStatus();
  co_return co_await EnsureIndexes(state, segment_base);
}

}  // namespace millrace

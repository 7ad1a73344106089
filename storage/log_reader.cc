// Reading a log: from memory without suspending, from segment files with large reads, and by time.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/log.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_scrubber.h"
#include "storage/log_state.h"
#include "storage/record/compression.h"
#include "storage/record/record_stream.h"
#include "storage/segment_aborted.h"
#include "storage/segment_index.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr size_t kPlacesMax = 8;
// Who wants more gets it in several pieces, so that nobody waits for the disk behind a larger one
// (cold_reads.h). With both ends rounded to pages it is one request to a disk that takes 254 pages.
constexpr size_t kPieceBytesMax = 1000 << 10;
// Nobody waits longer for what is added to a first piece: others have turns at the disk, too.
constexpr Duration kAddingMax = milliseconds(200);
// What a look-up by time reads at a time.
constexpr size_t kTimeReadBytes = 256 << 10;
// A look-up by time lets others run after so many records, or so many decompressed bytes of them.
constexpr int kTimeRecordsPerTurn = 1000;
constexpr size_t kTimeBytesPerTurn = 256 << 10;

absl::Status CheckRange(const Log::State& state, Offset from) {
  if (from >= state.start && from <= state.end) return absl::OkStatus();
  return MakeError(ErrorKind::kOffsetOutOfRange,
                   fmt::format("offset {} is not in [{}, {}]", from, state.start, state.end));
}

// Where to begin reading segment `base` for `from`, if an earlier reader ended there.
std::optional<uint64_t> KnownPlace(Log::State& state, Offset base, Offset from) {
  for (const ReadPlace& place : state.places) {
    if (place.offset == from && place.segment_base == base) return place.position;
  }
  return std::nullopt;
}

void RememberPlace(Log::State& state, ReadPlace place) {
  std::erase_if(state.places, [&](const ReadPlace& old) { return old.offset == place.offset; });
  if (state.places.size() >= kPlacesMax) state.places.erase(state.places.begin());
  state.places.push_back(place);
}

// Bytes of a segment that the page cache does not have, without putting them there: the kernel would
// read ahead of us, as much as the disk's settings say, and the journal's writes would wait for that;
// and its copy costs more than all else that is done for such a read.
// Where that is not possible, from `buffered`.
Task<absl::StatusOr<Slice>> ReadPastCache(Log::State& state, File& buffered, Offset base,
                                          uint64_t position,
                                          size_t length) {  // Borrowed: awaited in place.
  auto file = co_await state.context.files.Acquire(state.SegmentPath(base, kLogSuffix),
                                                   /*create=*/false, /*direct=*/true);
  if (!file.ok() || (*file)->alignment() == 1) {
    co_return co_await buffered.ReadAt(position, length, ReadHint::kNormal);
  }
  const size_t alignment = (*file)->alignment();
  const auto before = static_cast<size_t>(position % alignment);
  const size_t whole = (before + length + alignment - 1) / alignment * alignment;
  absl::StatusOr<Slice> bytes =
      co_await (*file)->ReadAt(position - before, whole, ReadHint::kNormal);
  if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) {
    co_return co_await buffered.ReadAt(position, length, ReadHint::kNormal);
  }
  if (!bytes.ok()) co_return bytes;
  const size_t got = bytes->size() - std::min(before, bytes->size());
  co_return bytes->Sub(bytes->size() - got, std::min(got, length));
}

struct Piece {
  Slice bytes;  // Empty: the log was cut meanwhile, look again.
  bool from_disk = false;
};

// One piece of a segment from `position` on, perhaps left over from an earlier read. `shared`: others
// will want it, too.
Task<absl::StatusOr<Piece>> ReadPiece(Log::State& state, Offset base, uint64_t position,
                                      size_t bytes_min, size_t bytes_wanted, uint64_t bytes_left,
                                      bool shared) {  // Borrowed: awaited in place.
  StoreContext& context = state.context;
  const uint64_t cuts = state.cuts;
  const ColdPlace place{state.number, cuts, base, position};
  bytes_wanted = std::min(bytes_wanted, kPieceBytesMax);
  // A short rest is worth nothing: the next read would be small.
  const auto enough = std::min<uint64_t>(bytes_left, std::max(bytes_min, bytes_wanted));
  Slice rest = context.cold_chunks.Find(place);
  if (!rest.empty() && rest.size() >= enough) co_return Piece{rest};
  const size_t length = static_cast<size_t>(std::min<uint64_t>(
      bytes_left, std::max({bytes_min, bytes_wanted, context.options.cold_read_bytes})));
  auto file = co_await context.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
  if (!file.ok() && state.cuts != cuts) co_return Piece();
  if (!file.ok()) co_return file.status();
  const bool from_disk = !(*file)->IsCached(position, length);
  ColdReads::Turn turn;
  if (from_disk) turn = co_await state.directory->cold_reads().Take();
  // Before the file is opened by its name once more: that may be another's by now, or about to go.
  if (state.cuts != cuts) co_return Piece();
  absl::StatusOr<Slice> bytes = from_disk && !shared
                                    ? co_await ReadPastCache(state, **file, base, position, length)
                                    : co_await (*file)->ReadAt(position, length, ReadHint::kNormal);
  if (state.cuts != cuts) co_return Piece();
  if (!bytes.ok()) co_return bytes.status();
  if (bytes->size() < length) {
    co_return MakeError(
        ErrorKind::kCorruptMessage, absl::StatusCode::kDataLoss,
        fmt::format("{} ends at {}, {} bytes were written", state.SegmentPath(base, kLogSuffix),
                    position + bytes->size(), position + bytes_left));
  }
  if (length > enough) context.cold_chunks.Keep(place, *bytes);  // Else none of it is left over.
  co_return Piece{*std::move(bytes), from_disk};
}

absl::Status Corrupt(Log::State& state, Offset base, uint64_t position, const absl::Status& why) {
  NoteDamage(state, base, position, std::string(why.message()));
  return MakeError(ErrorKind::kCorruptMessage, absl::StatusCode::kDataLoss,
                   fmt::format("{} at {}: {}", state.SegmentPath(base, kLogSuffix), position,
                               std::string(why.message())));
}

struct PieceWalk {
  size_t begin = 0;         // Of the batches to answer with, within the piece.
  size_t end = 0;           // Behind them.
  size_t bytes_needed = 0;  // When not 0: the batch at `end` needs so many bytes.
  Offset next{0};           // Behind them.
  Offset floor{0};          // The batch at `end` begins at or above it.
};

// Where the batches of a piece can be.
struct PieceBounds {
  Offset floor;         // The first begins at or above it.
  Offset ceiling;       // None ends above it.
  uint64_t bytes_left;  // Of the file, from the piece's beginning on.
};

// A batch's base offset is outside its checksum. One that rot has made smaller begins below the end of
// the batch before; one that it has made larger ends above where the next begins, or all does.
absl::Status CheckPlace(const BatchHeader& header, Offset floor, const PieceBounds& bounds,
                        std::span<const uint8_t> behind) {
  if (header.base_offset < floor) {
    return absl::DataLossError(
        fmt::format("base offset {} where at least {} follows", header.base_offset, floor));
  }
  Offset ceiling = bounds.ceiling;
  // One that is damaged in any other way says nothing.
  if (behind.size() >= kBatchHeaderBytes) {
    const absl::StatusOr<BatchHeader> next = ParseBatchHeader(behind);
    if (next.ok() && CheckBatchFields(*next).ok()) ceiling = std::min(ceiling, next->base_offset);
  }
  if (header.next_offset() > ceiling) {
    return absl::DataLossError(fmt::format("offsets [{}, {}) in front of {}", header.base_offset,
                                           header.next_offset(), ceiling));
  }
  return absl::OkStatus();
}

// Finds the batches of `piece` that answer a read from `from`; checks every one of them.
absl::StatusOr<PieceWalk> WalkPiece(const Slice& piece, Offset from, const PieceBounds& bounds,
                                    const LogReadOptions& options) {
  PieceWalk walk;
  walk.next = from;
  walk.floor = bounds.floor;
  size_t at = 0;
  bool begun = false;
  while (at < piece.size()) {
    const size_t left = piece.size() - at;
    if (left < kBatchHeaderBytes) {
      walk.bytes_needed = kBatchHeaderBytes;
      break;
    }
    absl::StatusOr<BatchHeader> header = ParseBatchHeader(piece.span().subspan(at));
    absl::Status sound = header.ok() ? CheckBatchFields(*header) : header.status();
    const size_t size = header.ok() ? static_cast<size_t>(header->size_bytes) : 0;
    if (sound.ok()) {
      sound =
          CheckPlace(*header, walk.floor, bounds,
                     left > size ? piece.span().subspan(at + size) : std::span<const uint8_t>());
    }
    // What lies before damage is served; who asks for the damage itself is told.
    if (!sound.ok() && begun) break;
    if (!sound.ok()) return sound;
    if (!begun && header->next_offset() <= from) {
      if (left < header->size_bytes) {
        walk.bytes_needed = header->size_bytes;
        break;
      }
      at += header->size_bytes;
      walk.begin = walk.end = at;
      walk.floor = header->next_offset();
      continue;
    }
    if (header->base_offset >= options.upper_bound) break;
    const size_t total = at + header->size_bytes - walk.begin;
    if (total > options.bytes_max && (begun || !options.at_least_one_batch)) break;
    if (left < header->size_bytes) {
      if (!begun) walk.bytes_needed = header->size_bytes;
      break;
    }
    BatchView batch(piece.Sub(at, header->size_bytes), *header);
    if (absl::Status crc = batch.CheckCrc(); !crc.ok()) {
      if (begun) break;
      return crc;
    }
    // Where the next one begins is behind the piece, and this one's place with it.
    if (const size_t needed = size + kBatchHeaderBytes;
        left < needed && bounds.bytes_left - at > size) {
      if (!begun) walk.bytes_needed = needed;
      break;
    }
    begun = true;
    at += header->size_bytes;
    walk.end = at;
    walk.next = walk.floor = header->next_offset();
  }
  return walk;
}

// Adds cached runs from `offset` on to `read`.
void AddCached(const Log::State& state, size_t run_index, Offset from,
               const LogReadOptions& options, LogRead& read) {
  bool first = read.batches.empty();
  for (size_t i = run_index; i < state.tail.size(); ++i) {
    const TailRun& run = state.tail.run(i);
    if (run.base >= options.upper_bound) break;
    const size_t skip = run.base < from ? SkipBatchesBelow(run.bytes, from) : 0;
    const size_t room =
        options.bytes_max > read.batches.size() ? options.bytes_max - read.batches.size() : 0;
    const size_t whole = run.bytes.size() - skip;
    size_t taken = whole;
    if (run.next <= options.upper_bound && whole <= room) {
      read.next_offset = run.next;
    } else {
      taken = TakeBatches(run.bytes.From(skip), options.upper_bound, room,
                          first && options.at_least_one_batch, read.next_offset);
    }
    if (taken == 0) break;
    read.batches.Append(run.bytes.Sub(skip, taken));
    first = false;
    if (taken < whole) break;
  }
}

// From memory; nothing if it begins on disk.
std::optional<LogRead> ReadCached(const Log::State& state, Offset from,
                                  const LogReadOptions& options) {
  LogRead read{Chain(), from};
  if (from >= std::min(options.upper_bound, state.end)) return read;
  std::optional<size_t> run = state.tail.Find(from);
  if (!run) return std::nullopt;
  AddCached(state, *run, from, options, read);
  return read;
}

void CountCached(Log::State& state, const LogRead& read) {
  if (read.batches.empty()) return;
  state.context.metrics.reads_cached.Add();
  state.context.metrics.cached_bytes.Add(read.batches.size());
}

// What follows where the file of segment `base` ends without a batch that ends above `from`: a
// compaction has taken those. The next one is in the next segment, or not in any file yet.
absl::StatusOr<std::optional<LogRead>> BehindFile(Log::State& state, Offset base, Offset from,
                                                  const LogReadOptions& options) {
  Segment* segment = state.FindSegment(base);
  if (segment != &state.segments.back() && std::next(segment)->written > 0) {
    segment->next = std::min(segment->next, from);
    return std::nullopt;  // Looking again finds it there.
  }
  if (state.tail.empty()) {
    // Behind what is written, and yet not in memory: cannot be.
    return absl::InternalError(fmt::format("{}: no segment holds {}", state.path(), from));
  }
  LogRead read{Chain(), from};
  AddCached(state, 0, from, options, read);
  return read;
}

// From the segment file that holds `from`. Nothing: the log was cut meanwhile, look again.
Task<absl::StatusOr<std::optional<LogRead>>> ReadCold(
    Log::State& state, Offset from, LogReadOptions options) {  // Borrowed: awaited in place.
  constexpr std::optional<LogRead> kLookAgain;
  const uint64_t cuts = state.cuts;
  Segment* segment = state.SegmentFor(from);
  // A leader's compaction may have removed what was in front of our first segment.
  if (segment == nullptr) segment = &state.segments.front();
  // A segment may end before the next one begins, where compaction removed the last records.
  if (segment != nullptr && from >= segment->next && segment != &state.segments.back()) ++segment;
  if (segment->written == 0) co_return BehindFile(state, segment->base, from, options);
  const Offset base = segment->base;
  const uint64_t written = segment->written;
  const Offset written_next = segment->written_next;
  uint64_t position = 0;
  Offset floor = base;
  if (std::optional<uint64_t> known = KnownPlace(state, base, from)) {
    position = *known;
    floor = from;  // What was read before ends there.
  } else {
    absl::StatusOr<uint64_t> found = co_await LookupPosition(state, base, from);
    if (state.cuts != cuts) co_return kLookAgain;
    if (!found.ok()) co_return found.status();
    position = *found;
  }
  size_t bytes_min = kBatchHeaderBytes;
  const bool shared = state.recent_reads.Shared(from, state.context.env.reactor.Now());
  while (position < written) {
    absl::StatusOr<Piece> read = co_await ReadPiece(state, base, position, bytes_min,
                                                    options.bytes_max, written - position, shared);
    if (!read.ok()) co_return read.status();
    if (state.cuts != cuts) co_return kLookAgain;
    const Slice& piece = read->bytes;
    absl::StatusOr<PieceWalk> walk =
        WalkPiece(piece, from, {floor, written_next, written - position}, options);
    if (!walk.ok()) co_return Corrupt(state, base, position, walk.status());
    floor = walk->floor;
    if (walk->end > walk->begin) {
      if (read->from_disk) {
        state.recent_reads.Note(from, walk->next, state.context.env.reactor.Now());
      }
      if (position + walk->end < written) {
        RememberPlace(state, {walk->next, base, position + walk->end});
      }
      co_return std::optional<LogRead>(
          LogRead{Chain(piece.Sub(walk->begin, walk->end - walk->begin)), walk->next});
    }
    if (walk->bytes_needed > 0) {
      // The batch is cut off by the end of the piece: read on from where it begins, far enough.
      if (position + walk->end + walk->bytes_needed > written) {
        co_return Corrupt(state, base, position + walk->end,
                          absl::DataLossError("the last batch is cut off"));
      }
      position += walk->end;
      bytes_min = walk->bytes_needed;
      continue;
    }
    // A batch at the bound, or too large: an empty answer.
    if (walk->end < piece.size()) co_return std::optional<LogRead>(LogRead{Chain(), from});
    position += walk->end;
  }
  if (state.FindSegment(base)->written != written) co_return kLookAgain;
  co_return BehindFile(state, base, from, options);
}

// Adds what follows `read` on disk, as long as whole pieces are wanted. What cannot be read is not
// added: who reads on is told.
Task<void> AddPieces(Log::State& state, LogReadOptions options,
                     LogRead* read) {  // Borrowed: awaited in place.
  options.at_least_one_batch = false;
  const uint64_t cuts = state.cuts;
  const size_t bytes_max = options.bytes_max;
  const Instant until = state.context.env.reactor.Now() + kAddingMax;
  while (bytes_max >= read->batches.size() + kPieceBytesMax && !state.swapping && !state.deleted &&
         state.failure.ok() && state.context.env.reactor.Now() < until &&
         read->next_offset < std::min(options.upper_bound, state.end) &&
         !state.tail.Find(read->next_offset)) {
    options.bytes_max = bytes_max - read->batches.size();
    auto more = co_await ReadCold(state, read->next_offset, options);
    if (state.cuts != cuts || !more.ok() || !more->has_value()) co_return;
    if ((*more)->batches.empty()) co_return;
    read->batches.Append((*more)->batches);
    read->next_offset = (*more)->next_offset;
  }
}

}  // namespace

absl::StatusOr<std::optional<LogRead>> Log::TryReadCached(Offset from,
                                                          const LogReadOptions& options) {
  if (absl::Status range = CheckRange(*state_, from); !range.ok()) return range;
  std::optional<LogRead> cached = ReadCached(*state_, from, options);
  if (cached) CountCached(*state_, *cached);
  return cached;
}

Task<absl::StatusOr<LogRead>> Log::Read(Offset from, LogReadOptions options) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  bool adds = true;
  for (;;) {
    MR_CO_RETURN_IF_ERROR(CheckRange(state, from));
    if (std::optional<LogRead> cached = ReadCached(state, from, options)) {
      CountCached(state, *cached);
      co_return *std::move(cached);
    }
    if (state.swapping) {
      co_await WaitForSwap(state);
      continue;
    }
    const uint64_t cuts = state.cuts;
    auto cold = co_await ReadCold(state, from, options);
    if (!cold.ok()) co_return cold.status();
    if (!cold->has_value()) continue;
    LogRead read = **std::move(cold);
    if (adds && !read.batches.empty()) co_await AddPieces(state, options, &read);
    if (state.cuts != cuts) {
      // What came first may have been cut off since. Next time nothing is waited for behind it.
      adds = false;
      continue;
    }
    state.context.metrics.reads_cold.Add();
    state.context.metrics.cold_bytes.Add(read.batches.size());
    co_return read;
  }
}

namespace {

// The first record of `batch` with a timestamp of at least `timestamp`.
Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> FindInBatch(
    Reactor& reactor, BatchView batch, Timestamp timestamp) {  // Borrowed: awaited in place.
  const BatchHeader& header = batch.header();
  if (header.max_timestamp < timestamp) co_return std::nullopt;
  const bool append_time = header.attributes.timestamp_type() == TimestampType::kLogAppendTime;
  Decompressor decompressor;
  RecordStream records(decompressor);
  records.Start(*header.attributes.compression(), batch.records(), header.record_count,
                size_t{1} << 31);
  RecordHead head;
  int records_left = kTimeRecordsPerTurn;
  size_t bytes = 0;
  while (records.Next(head)) {
    bytes += head.rest_bytes;
    if (--records_left == 0 || bytes >= kTimeBytesPerTurn) {
      co_await Yield(reactor);
      records_left = kTimeRecordsPerTurn;
      bytes = 0;
    }
    // Deltas come from clients: wrap instead of overflow. A batch with one time for all has its
    // first record there, which after a compaction need not be at its base.
    const Timestamp at =
        append_time
            ? header.max_timestamp
            : Timestamp(static_cast<int64_t>(static_cast<uint64_t>(header.base_timestamp.ms()) +
                                             static_cast<uint64_t>(head.timestamp_delta)));
    if (at >= timestamp) {
      co_return OffsetAndTimestamp{header.base_offset + OffsetDelta(head.offset_delta), at,
                                   header.leader_epoch};
    }
    bool has_key = false;
    if (!records.SkipRest(has_key)) break;
  }
  if (!records.status().ok()) co_return records.status();
  co_return std::nullopt;
}

}  // namespace

Task<absl::StatusOr<std::vector<AbortedTransaction>>> Log::AbortedTransactions(Offset from,
                                                                               Offset to) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  std::vector<AbortedTransaction> found;
  for (;;) {
    found.clear();
    co_await WaitForSwap(state);
    const uint64_t cuts = state.cuts;
    const Segment* first = state.SegmentFor(from);
    std::optional<Offset> base = first != nullptr ? first->base : state.segments.front().base;
    while (base && state.cuts == cuts) {
      // Most segments have none, and are not asked.
      auto segment = std::ranges::lower_bound(state.segments, *base, {}, &Segment::base);
      while (segment != state.segments.end() && segment->aborted.empty()) ++segment;
      if (segment == state.segments.end()) break;
      base = segment->base;
      auto complete = co_await CollectAborted(state, *base, from, to, &found);
      if (!complete.ok()) co_return complete.status();
      if (*complete) break;
      auto next = std::ranges::upper_bound(state.segments, *base, {}, &Segment::base);
      base = next == state.segments.end() ? std::nullopt : std::optional<Offset>(next->base);
    }
    if (state.cuts == cuts) break;
  }
  std::ranges::sort(found, {}, &AbortedTransaction::first);
  co_return found;
}

Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> Log::OffsetForTimestamp(
    Timestamp timestamp, Offset upper_bound) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  constexpr std::optional<OffsetAndTimestamp> kNone;
  const Offset bound = std::min(upper_bound, state.end);
  // The first segment that has such a record: its largest timestamp says so without reading it.
  Offset from = state.start;
  bool found = false;
  uint64_t cuts = state.cuts;
  for (Offset base = state.segments.front().base; !found;) {
    MR_CO_RETURN_IF_ERROR(co_await EnsureTimes(state, base));
    // Segments may have become one while we waited: what was to be looked at is in another one now.
    if (state.cuts != cuts) {
      cuts = state.cuts;
      base = state.segments.front().base;
      continue;
    }
    auto next = std::ranges::upper_bound(state.segments, base, {}, &Segment::base);
    Segment* segment = state.FindSegment(base);
    if (segment != nullptr && segment->max_time && segment->max_time->timestamp >= timestamp) {
      auto at = co_await LookupTime(state, base, timestamp);
      if (state.cuts != cuts) continue;
      if (!at.ok()) co_return at.status();
      from = std::max(*at, state.start);
      found = true;
    } else if (next == state.segments.end()) {
      co_return kNone;
    } else {
      base = next->base;
    }
  }
  while (from < bound) {
    auto read = co_await Read(from, {kTimeReadBytes, bound, /*at_least_one_batch=*/true});
    if (!read.ok()) co_return read.status();
    if (read->batches.empty()) break;
    for (const Slice& slice : read->batches.slices()) {
      BatchReader batches(slice);
      for (;;) {
        auto batch = batches.Next();
        if (!batch.ok()) co_return batch.status();
        if (!batch->has_value()) break;
        if ((*batch)->header().max_timestamp < timestamp) continue;
        auto record = co_await FindInBatch(state.context.env.reactor, **batch, timestamp);
        if (!record.ok()) co_return record.status();
        if (!record->has_value()) continue;
        // Part of this batch may lie below the start, which DeleteRecords moves to any offset.
        if ((*record)->offset < state.start) continue;
        if ((*record)->offset >= bound) co_return kNone;
        co_return *record;
      }
    }
    from = read->next_offset;
    co_await Yield(state.context.env.reactor);  // What is in memory is read without a wait.
  }
  co_return kNone;
}

Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> Log::MaxTimestamp(Offset upper_bound) {
  State& state = *state_;
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  std::optional<TimeIndexEntry> max;
  std::optional<Offset> base = state.segments.front().base;
  uint64_t cuts = state.cuts;
  while (base) {
    MR_CO_RETURN_IF_ERROR(co_await EnsureTimes(state, *base));
    if (state.cuts != cuts) {
      cuts = state.cuts;
      max = std::nullopt;
      base = state.segments.front().base;
      continue;
    }
    if (Segment* segment = state.FindSegment(*base); segment != nullptr && segment->max_time) {
      if (!max || segment->max_time->timestamp > max->timestamp) max = segment->max_time;
    }
    auto next = std::ranges::upper_bound(state.segments, *base, {}, &Segment::base);
    base = next == state.segments.end() ? std::nullopt : std::optional<Offset>(next->base);
  }
  if (!max || state.end == state.start) co_return std::optional<OffsetAndTimestamp>();
  // The entry names the batch; the record in it is found as any other. The search is not bounded by
  // `upper_bound`, the answer is (rule 3.4).
  auto record = co_await OffsetForTimestamp(max->timestamp, state.end);
  if (!record.ok()) co_return record.status();
  if (record->has_value() && (*record)->offset >= upper_bound) {
    co_return std::optional<OffsetAndTimestamp>();
  }
  co_return *record;
}

}  // namespace millrace

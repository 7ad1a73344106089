// Segment: what a log knows about one of its files, and the rules of its sparse indexes and of
// rolling.
//
// A value without I/O: the writer (segment_writer.h) moves bytes to the file, the reader
// (log_reader.h) brings them back; both go by what stands here. Index entries collect in memory
// until they are written with the segment; those already in the files are not kept, so an idle log
// costs no memory for them.
//
// Shard:     one.
// Units:     positions and sizes are bytes within this file.
// Invariant: synced <= written <= size; index entries strictly increase in offset and position.
// Source:    Kafka's segment: rules 11.1, 11.3; index formats in docs/storage.md, Files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/time.h"
#include "storage/record/record_batch.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/log_config.h"
#include "storage/segment/offset_index.h"
#include "storage/segment/time_index.h"

namespace millrace {

// Builds the two indexes of a segment as batches are added.
class SegmentIndexes {
 public:
  // Accounts for a batch at `position`; adds entries as Kafka would. `max` is the largest timestamp
  // so far, this batch included.
  void Add(const BatchHeader& batch, uint32_t position, const TimeIndexEntry& max,
           int64_t interval_bytes);
  // At a roll or a clean stop: the largest timestamp of all is in the time index.
  void AddLast(const TimeIndexEntry& max);

  // Entries in the files, and those to be written behind them.
  size_t written_entries = 0;
  size_t written_time_entries = 0;
  std::vector<OffsetIndexEntry> pending;
  std::vector<TimeIndexEntry> pending_times;
  // Bytes of log since the last entry.
  uint64_t bytes_since_entry = 0;
  std::optional<Timestamp> last_time;  // Of the last time entry.

  size_t entries() const { return written_entries + pending.size(); }
  size_t time_entries() const { return written_time_entries + pending_times.size(); }
};

// How far the index files of a segment may be believed.
enum class IndexState : uint8_t {
  kGood,       // We wrote them, or have looked.
  kUnchecked,  // Found at start: checked at the first use.
  kAbsent,     // There was nothing in them at the start: built from the segment at the first use.
};

// The transactions whose abort marker lies in this segment: those in the file, and those to be
// written behind them.
struct SegmentAborted {
  IndexState state = IndexState::kGood;  // kUnchecked: nothing else is known.
  size_t written = 0;
  std::vector<AbortedTransaction> pending;
  std::optional<Offset> last;  // Marker of the newest one.

  bool empty() const { return state == IndexState::kGood && written == 0 && pending.empty(); }
  void Add(const AbortedTransaction& entry) {
    pending.push_back(entry);
    last = entry.last;
  }
};

struct Segment {
  explicit Segment(Offset base_offset, Timestamp now)
      : base(base_offset), next(base_offset), created(now), appended(now) {}

  Offset base;
  Offset next;             // Behind the last batch; equal to base while empty.
  uint64_t size = 0;       // Of all batches, those still in memory included.
  uint64_t written = 0;    // In the file.
  uint64_t synced = 0;     // Survives power loss.
  Offset written_next{0};  // Behind the last batch of `written`; meaningful when written > 0.

  Timestamp created;  // Wall clock, for rolling a segment without timestamps.
  // Wall clock of the last append (of the start, when the segment was found then): how old a
  // segment without timestamps is.
  Timestamp appended;
  std::optional<Timestamp> first_timestamp;  // The first batch's largest.
  // The largest timestamp; nothing while empty, or while it is not known (found at start).
  std::optional<TimeIndexEntry> max_time;
  bool times_known = true;

  IndexState index_state = IndexState::kGood;
  bool file_exists = false;
  bool sealed = false;  // Rolled: takes no more batches; its indexes want to be completed.
  SegmentIndexes indexes;
  SegmentAborted aborted;
  Slice producer_snapshot;  // As of `base`, to be written as <base>.snapshot. Often empty.

  bool empty() const { return size == 0; }
  // What retention goes by: the largest timestamp of its records. REQUIRES: times_known.
  Timestamp newest() const {
    return max_time && max_time->timestamp.ms() >= 0 ? max_time->timestamp : appended;
  }

  // Accounts for a batch that was appended at `size`.
  void Add(const BatchHeader& batch, const LogConfig& config);
};

// Rule 11.1: whether a batch must go to a new segment. `now` is the wall clock; `jitter_ms` was
// drawn for this segment. A segment whose first batch has no timestamp goes by the wall clock. An
// empty one is left only by a batch whose offset it cannot express.
bool MustRoll(const Segment& segment, const BatchHeader& batch, const LogConfig& config,
              int64_t jitter_ms, Timestamp now);

}  // namespace millrace

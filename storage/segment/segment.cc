#include "storage/segment/segment.h"

#include <limits>

namespace millrace {

void SegmentIndexes::Add(const BatchHeader& batch, uint32_t position, const TimeIndexEntry& max,
                         int64_t interval_bytes) {
  if (bytes_since_entry > static_cast<uint64_t>(interval_bytes)) {
    pending.push_back({batch.last_offset(), position});
    AddLast(max);
    bytes_since_entry = 0;
  }
  bytes_since_entry += batch.size_bytes;
}

void SegmentIndexes::AddLast(const TimeIndexEntry& max) {
  // Timestamps in the file strictly increase; a segment without timestamps has no entries.
  if (max.timestamp < Timestamp(0)) return;
  if (last_time && max.timestamp <= *last_time) return;
  pending_times.push_back(max);
  last_time = max.timestamp;
}

void Segment::Add(const BatchHeader& batch, const LogConfig& config) {
  if (size == 0) first_timestamp = batch.max_timestamp;
  // A batch that compaction has emptied has no record of that time to be found.
  if (batch.record_count > 0 && (!max_time || batch.max_timestamp > max_time->timestamp)) {
    max_time = TimeIndexEntry{batch.max_timestamp, batch.last_offset()};
  }
  indexes.Add(batch, static_cast<uint32_t>(size),
              max_time.value_or(TimeIndexEntry{kNoTimestamp, batch.last_offset()}),
              config.index_interval_bytes);
  size += batch.size_bytes;
  next = batch.next_offset();
}

bool MustRoll(const Segment& segment, const BatchHeader& batch, const LogConfig& config,
              int64_t jitter_ms, Timestamp now) {
  // Offset deltas are 31 bits in the index files, positions too.
  if (batch.last_offset() - segment.base > OffsetDelta(std::numeric_limits<int32_t>::max())) {
    return true;
  }
  if (segment.empty()) return false;
  const uint64_t incoming = batch.size_bytes;
  if (segment.size + incoming > static_cast<uint64_t>(config.segment_bytes)) return true;
  const uint64_t index_bytes = static_cast<uint64_t>(config.segment_index_bytes);
  if ((segment.indexes.entries() + 1) * kOffsetIndexEntryBytes > index_bytes) return true;
  // One more stays free for the largest timestamp, which is added when the segment is closed.
  if ((segment.indexes.time_entries() + 2) * kTimeIndexEntryBytes > index_bytes) return true;

  const bool has_times = segment.first_timestamp && segment.first_timestamp->ms() >= 0;
  const int64_t age_ms = has_times ? batch.max_timestamp.ms() - segment.first_timestamp->ms()
                                   : now.ms() - segment.created.ms();
  return age_ms > config.segment_ms - jitter_ms;
}

}  // namespace millrace

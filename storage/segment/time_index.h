// The bytes of a `.timeindex` file: up to which offset a segment has no record newer than a time.
//
// Entries of 12 bytes: int64 timestamp, int32 offset - base; timestamps strictly increase, offsets
// do not decrease. An entry names the largest timestamp so far and the last offset of the batch
// that has it. Zeroes behind the entries are none.
//
// Shard:    any; pure.
// Lifetime: a view points into bytes that must outlive it.
// Source:   Kafka's log format.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

struct TimeIndexEntry {
  Timestamp timestamp;
  Offset offset;
  friend bool operator==(const TimeIndexEntry&, const TimeIndexEntry&) = default;
};

inline constexpr size_t kTimeIndexEntryBytes = 12;

// REQUIRES: entry.offset >= base, by less than 2^31.
std::array<uint8_t, kTimeIndexEntryBytes> EncodeTimeIndexEntry(const TimeIndexEntry& entry,
                                                               Offset base);

// A sorted list of entries in the bytes of a file.
class TimeIndexView {
 public:
  // As OffsetIndexView.
  TimeIndexView(std::span<const uint8_t> file, Offset base);

  size_t size() const { return entries_.size() / kTimeIndexEntryBytes; }
  bool empty() const { return entries_.empty(); }
  TimeIndexEntry operator[](size_t i) const;
  std::optional<TimeIndexEntry> last() const;

  // The last entry whose timestamp is below `target`: every record up to its offset is older than
  // `target`, so the first record that is not lies behind it. Nothing: begin at the segment's
  // start.
  std::optional<TimeIndexEntry> LookupBefore(Timestamp target) const;
  // How many entries have an offset below `end`: what a truncation keeps.
  size_t CountBelow(Offset end) const;

  // kDataLoss unless the file is whole entries in order, with offsets in [base, end).
  absl::Status Check(Offset end) const;

 private:
  std::span<const uint8_t> entries_;
  size_t file_bytes_;
  Offset base_;
};

}  // namespace millrace

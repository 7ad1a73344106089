// The bytes of a `.index` file: where in a segment the batch with some offset begins.
//
// Entries of 8 bytes: int32 offset - base, int32 position; both strictly increase. An entry names
// the last offset of an append and the position where that append begins. The file may be longer
// than its entries: zeroes behind them (preallocation) are none.
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

namespace millrace {

struct OffsetIndexEntry {
  Offset offset;
  uint32_t position;
  friend bool operator==(const OffsetIndexEntry&, const OffsetIndexEntry&) = default;
};

inline constexpr size_t kOffsetIndexEntryBytes = 8;

// REQUIRES: entry.offset >= base, by less than 2^31.
std::array<uint8_t, kOffsetIndexEntryBytes> EncodeOffsetIndexEntry(const OffsetIndexEntry& entry,
                                                                   Offset base);

// A sorted list of entries in the bytes of a file.
class OffsetIndexView {
 public:
  // The entries of a whole file, without the zeroes behind them. Fast: looks at its end only.
  OffsetIndexView(std::span<const uint8_t> file, Offset base);

  size_t size() const { return entries_.size() / kOffsetIndexEntryBytes; }
  bool empty() const { return entries_.empty(); }
  OffsetIndexEntry operator[](size_t i) const;
  std::optional<OffsetIndexEntry> last() const;

  // The last entry whose offset is not above `target`; nothing if there is none (begin at position
  // 0).
  std::optional<OffsetIndexEntry> Lookup(Offset target) const;
  // How many entries have an offset below `end`: what a truncation keeps.
  size_t CountBelow(Offset end) const;

  // kDataLoss unless the file is whole entries that strictly increase and point below `log_bytes`.
  // A pass over all of it.
  absl::Status Check(uint64_t log_bytes) const;

 private:
  std::span<const uint8_t> entries_;
  size_t file_bytes_;
  Offset base_;
};

}  // namespace millrace

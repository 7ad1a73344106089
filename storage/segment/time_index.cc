#include "storage/segment/time_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <ranges>

#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {

std::array<uint8_t, kTimeIndexEntryBytes> EncodeTimeIndexEntry(const TimeIndexEntry& entry,
                                                               Offset base) {
  int64_t relative = (entry.offset - base).value();
  MR_CHECK(relative >= 0);
  MR_CHECK(relative <= std::numeric_limits<int32_t>::max());
  std::array<uint8_t, kTimeIndexEntryBytes> bytes;
  StoreBig<int64_t>(bytes.data(), entry.timestamp.ms());
  StoreBig<int32_t>(bytes.data() + 8, static_cast<int32_t>(relative));
  return bytes;
}

TimeIndexView::TimeIndexView(std::span<const uint8_t> file, Offset base)
    : entries_(file.first(file.size() / kTimeIndexEntryBytes * kTimeIndexEntryBytes)),
      file_bytes_(file.size()),
      base_(base) {
  // Entries come before zeroes, so the border is found by halving. Time 0 at the base offset looks
  // like none: it can only be the first entry, and is one if another follows.
  auto is_entry = [&](size_t i) {
    const uint8_t* at = entries_.data() + i * kTimeIndexEntryBytes;
    return LoadBig<int64_t>(at) != 0 || LoadBig<int32_t>(at + 8) != 0;
  };
  size_t count = size();
  if (count > 0) {
    count = *std::ranges::partition_point(std::views::iota(size_t{1}, count), is_entry);
    if (count == 1 && !is_entry(0)) count = 0;
  }
  entries_ = entries_.first(count * kTimeIndexEntryBytes);
}

TimeIndexEntry TimeIndexView::operator[](size_t i) const {
  const uint8_t* at = entries_.data() + i * kTimeIndexEntryBytes;
  return {Timestamp(LoadBig<int64_t>(at)), base_ + OffsetDelta(LoadBig<int32_t>(at + 8))};
}

std::optional<TimeIndexEntry> TimeIndexView::last() const {
  if (empty()) return std::nullopt;
  return (*this)[size() - 1];
}

std::optional<TimeIndexEntry> TimeIndexView::LookupBefore(Timestamp target) const {
  auto below = [&](size_t i) { return (*this)[i].timestamp < target; };
  size_t count = *std::ranges::partition_point(std::views::iota(size_t{0}, size()), below);
  if (count == 0) return std::nullopt;
  return (*this)[count - 1];
}

size_t TimeIndexView::CountBelow(Offset end) const {
  auto below = [&](size_t i) { return (*this)[i].offset < end; };
  return *std::ranges::partition_point(std::views::iota(size_t{0}, size()), below);
}

absl::Status TimeIndexView::Check(Offset end) const {
  if (file_bytes_ % kTimeIndexEntryBytes != 0) {
    return absl::DataLossError(
        fmt::format("time index: {} bytes are no whole entries", file_bytes_));
  }
  std::optional<TimeIndexEntry> before;
  for (size_t i = 0; i < size(); ++i) {
    TimeIndexEntry entry = (*this)[i];
    bool increases = before.has_value()
                         ? before->timestamp < entry.timestamp && before->offset <= entry.offset
                         : entry.offset >= base_;
    if (!increases || entry.offset >= end) {
      return absl::DataLossError(
          fmt::format("time index: entry {} ({} at {}) is out of order or beyond the log", i,
                      entry.timestamp, entry.offset));
    }
    before = entry;
  }
  return absl::OkStatus();
}

}  // namespace millrace

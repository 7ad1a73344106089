#include "storage/segment/offset_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <ranges>

#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {

std::array<uint8_t, kOffsetIndexEntryBytes> EncodeOffsetIndexEntry(const OffsetIndexEntry& entry,
                                                                   Offset base) {
  int64_t relative = (entry.offset - base).value();
  MR_CHECK(relative >= 0);
  MR_CHECK(relative <= std::numeric_limits<int32_t>::max());
  std::array<uint8_t, kOffsetIndexEntryBytes> bytes;
  StoreBig<int32_t>(bytes.data(), static_cast<int32_t>(relative));
  StoreBig<uint32_t>(bytes.data() + 4, entry.position);
  return bytes;
}

OffsetIndexView::OffsetIndexView(std::span<const uint8_t> file, Offset base)
    : entries_(file.first(file.size() / kOffsetIndexEntryBytes * kOffsetIndexEntryBytes)),
      file_bytes_(file.size()),
      base_(base) {
  // Positions are never 0: a segment's first append gets no entry. Entries come before zeroes, so
  // the border is found by halving.
  auto is_entry = [&](size_t i) {
    return LoadBig<uint64_t>(entries_.data() + i * kOffsetIndexEntryBytes) != 0;
  };
  auto border = std::ranges::partition_point(std::views::iota(size_t{0}, size()), is_entry);
  entries_ = entries_.first(*border * kOffsetIndexEntryBytes);
}

OffsetIndexEntry OffsetIndexView::operator[](size_t i) const {
  const uint8_t* at = entries_.data() + i * kOffsetIndexEntryBytes;
  return {base_ + OffsetDelta(LoadBig<int32_t>(at)), LoadBig<uint32_t>(at + 4)};
}

std::optional<OffsetIndexEntry> OffsetIndexView::last() const {
  if (empty()) return std::nullopt;
  return (*this)[size() - 1];
}

std::optional<OffsetIndexEntry> OffsetIndexView::Lookup(Offset target) const {
  size_t count = CountBelow(target + OffsetDelta(1));
  if (count == 0) return std::nullopt;
  return (*this)[count - 1];
}

size_t OffsetIndexView::CountBelow(Offset end) const {
  auto below = [&](size_t i) { return (*this)[i].offset < end; };
  return *std::ranges::partition_point(std::views::iota(size_t{0}, size()), below);
}

absl::Status OffsetIndexView::Check(uint64_t log_bytes) const {
  if (file_bytes_ % kOffsetIndexEntryBytes != 0) {
    return absl::DataLossError(
        fmt::format("offset index: {} bytes are no whole entries", file_bytes_));
  }
  std::optional<OffsetIndexEntry> before;
  for (size_t i = 0; i < size(); ++i) {
    OffsetIndexEntry entry = (*this)[i];
    bool increases = before.has_value()
                         ? before->offset < entry.offset && before->position < entry.position
                         : entry.offset >= base_;
    if (!increases || entry.position >= log_bytes) {
      return absl::DataLossError(
          fmt::format("offset index: entry {} ({} at {}) is out of order or beyond the log", i,
                      entry.offset, entry.position));
    }
    before = entry;
  }
  return absl::OkStatus();
}

}  // namespace millrace

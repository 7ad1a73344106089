#include "controller/turn_entries.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

#include "common/error_kind.h"

namespace millrace {

absl::Status TurnEntries::Add(MetadataRecords decision) {
  struct Part {
    size_t begin;
    size_t end;
    size_t bytes;
  };
  std::vector<Part> parts;  // The last one first.
  for (size_t i = decision.size(); i > 0; --i) {
    const size_t bytes = EncodedBytesMax(decision[i - 1]);
    if (bytes > entry_bytes_max_) {
      return MakeError(
          ErrorKind::kPolicyViolation,
          fmt::format("A record of {} bytes of metadata is too large; at most {} are possible.",
                      bytes, entry_bytes_max_));
    }
    if (parts.empty() || parts.back().end - parts.back().begin >= kRecordsPerEntryMax ||
        parts.back().bytes + bytes > entry_bytes_max_) {
      parts.push_back({i, i, 0});
    }
    parts.back().begin = i - 1;
    parts.back().bytes += bytes;
  }
  if (parts.size() == 1) {
    AddPart(std::move(decision), parts.front().bytes);
    return absl::OkStatus();
  }
  for (const Part& part : std::views::reverse(parts)) {
    const auto at = [&](size_t index) {
      return std::make_move_iterator(decision.begin() + static_cast<ptrdiff_t>(index));
    };
    AddPart(MetadataRecords(at(part.begin), at(part.end)), part.bytes);
  }
  return absl::OkStatus();
}

void TurnEntries::AddPart(MetadataRecords part, size_t bytes) {
  records_ += part.size();
  bytes_ += bytes;
  const bool fits = !entries_.empty() &&
                    entries_.back().size() + part.size() <= kRecordsPerEntryMax &&
                    last_bytes_ + bytes <= entry_bytes_max_;
  if (fits) {
    std::ranges::move(part, std::back_inserter(entries_.back()));
    last_bytes_ += bytes;
  } else {
    entries_.push_back(std::move(part));
    last_bytes_ = bytes;
  }
}

}  // namespace millrace

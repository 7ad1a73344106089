#include "storage/recent_reads.h"

#include <algorithm>

namespace millrace {

bool RecentReads::Shared(Offset from, Instant now) {
  std::erase_if(ranges_, [now](const Range& range) { return now - range.last >= kGone; });
  const bool again = std::ranges::any_of(
      ranges_, [from](const Range& range) { return range.begin <= from && from < range.end; });
  if (now - last_again_ >= kGone) again_ = 0;
  if (again) {
    last_again_ = now;
    again_ = std::min(again_ + 1, kAgainMin);
  }
  return again_ >= kAgainMin;
}

void RecentReads::Note(Offset from, Offset next, Instant now) {
  auto range = std::ranges::find(ranges_, from, &Range::end);
  Range noted{from, from, next, now, now};
  if (range != ranges_.end()) {
    noted = *range;
    if (now - noted.since >= kRecently) {
      noted.begin = noted.middle;
      noted.middle = noted.end;
      noted.since = now;
    }
    noted.end = next;
    noted.last = now;
    ranges_.erase(range);
  } else if (ranges_.size() >= kRangesMax) {
    ranges_.erase(ranges_.begin());
  }
  ranges_.push_back(noted);
}

}  // namespace millrace

// RecentReads: what the readers of a log got from the disk lately. Who reads it again while they still
// read is another reader, and several are better served by the page cache: what one of them brings
// there the others find.
//
// Shard: one. Bound: kRangesMax ranges; a reader that goes on has one, of what it read lately.
#pragma once

#include <cstddef>
#include <vector>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

class RecentReads {
 public:
  static constexpr size_t kRangesMax = 8;
  // Who comes later than this, or twice this, finds nothing of it in the page cache.
  static constexpr Duration kRecently = seconds(60);
  // Who has not read for so long has gone.
  static constexpr Duration kGone = seconds(2);

  // So many reads of what was read already make a second reader. Fewer are one that looked for a time,
  // or asks once more.
  static constexpr int kAgainMin = 4;

  // Whether the log has several readers of the same records now; `from` is about to be read.
  bool Shared(Offset from, Instant now);

  // [from, next) was read.
  void Note(Offset from, Offset next, Instant now);

 private:
  // [begin, end); what lies below `middle` was read before `since`, and goes first.
  struct Range {
    Offset begin;
    Offset middle;
    Offset end;
    Instant since;
    Instant last;  // Read.
  };

  std::vector<Range> ranges_;  // The latest one last.
  int again_ = 0;  // Reads of what was read already, none of them long after the one before.
  Instant last_again_{0};
};

}  // namespace millrace

// Compaction rules: what of a log may be compacted, whether it is time for it, and which segments
// become one, as Kafka decides it.
//
//   [segments, clean ............ | dirty ................ ) not yet: too young, not committed, or
//   first                    dirty_begin                  end           not safely in the segments
//
// Pure: no I/O, no clock.
// Units:  offsets, bytes, milliseconds of the wall clock.
// Source: rules 13.1, 13.2, 13.8 of Kafka's broker behaviour; KIP-58, KIP-354.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "storage/segment/log_config.h"
#include "storage/segment/segment.h"

namespace millrace {

// What a log says of itself.
struct CompactionLimits {
  Offset start;
  // Everything below was compacted once.
  Offset cleaned_to;
  // Nothing at or above it is touched: the high watermark, and the first unstable offset.
  Offset committed;
  // The segment in which recovery would begin: neither it nor what follows is touched, so that
  // neither the journal nor a recovery ever speaks of what was compacted.
  Offset recovery_segment;
};

struct CompactionPlan {
  // The records to look up keys in are those of [dirty_begin, end).
  Offset dirty_begin{0};
  Offset end{0};
  uint64_t clean_bytes = 0;
  uint64_t dirty_bytes = 0;
  double ratio() const {
    const double all = static_cast<double>(clean_bytes) + static_cast<double>(dirty_bytes);
    return all > 0 ? static_cast<double>(dirty_bytes) / all : 0;
  }
  // It is time: dirty enough, or (`overdue`) some of it waits for longer than it may.
  bool eligible = false;
  bool overdue = false;
  // Nothing more can be said before this segment's largest timestamp, or that of its first batch,
  // is known.
  std::optional<Offset> unknown_newest;
  std::optional<Offset> unknown_first;
  // A closed segment has to wait for what no clock tells: to be committed, or to be synced.
  bool held_back = false;
  // When time alone may change the answer.
  std::optional<Timestamp> due;
};

// `segments` as in Log::State, in order; the last one takes appends.
CompactionPlan PlanCompaction(std::span<const Segment> segments, const CompactionLimits& limits,
                              const LogConfig& config, Timestamp now);

// Which of the first segments, up to `end`, are written into one file each: as many in a row as
// stay below the bounds of a segment (bytes, index bytes, offsets that an index entry can say). By
// their number, in order. REQUIRES: `end` is above the first segment's base.
std::vector<size_t> GroupSegments(std::span<const Segment> segments, Offset end,
                                  const LogConfig& config);

}  // namespace millrace

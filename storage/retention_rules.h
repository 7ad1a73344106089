// Retention rules: which segments of a log are too old or too many, as Kafka decides it. Whole
// segments from the front, first by size, then by time, never beyond what is committed.
//
// Pure: no I/O, no clock.
// Units:  offsets, bytes, milliseconds of the wall clock.
// Source: rules 11.4-11.8 of Kafka's broker behaviour.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "common/ids.h"
#include "common/time.h"
#include "storage/segment/log_config.h"
#include "storage/segment/segment.h"

namespace millrace {

struct RetentionPlan {
  // So many segments at the front go because of their size, and so many behind those because of
  // their age. When these are all, an empty one must be begun at the log's end first.
  size_t by_size = 0;
  size_t by_time = 0;
  size_t total() const { return by_size + by_time; }
  // Nothing more can be said before the largest timestamp of this segment is known.
  std::optional<Offset> unknown;
  // A segment stays only because not all of it is committed: look again when more is.
  bool held_back = false;
  // When the first segment that stays will be too old. Nothing: not before the log changes.
  std::optional<Timestamp> due;
};

// `segments` as in Log::State, `end` their end, `committed` the high watermark.
RetentionPlan PlanRetention(std::span<const Segment> segments, Offset end, Offset committed,
                            const LogConfig& config, Timestamp now);

}  // namespace millrace

#include "storage/compaction/compaction_rules.h"

#include <algorithm>
#include <limits>

#include "storage/segment/offset_index.h"
#include "storage/segment/time_index.h"

namespace millrace {
namespace {

void NoteDue(CompactionPlan& plan, int64_t since_ms, int64_t lag_ms) {
  int64_t due_ms = 0;
  if (__builtin_add_overflow(since_ms, lag_ms, &due_ms)) return;
  if (due_ms == std::numeric_limits<int64_t>::max()) return;
  const Timestamp due(due_ms + 1);
  plan.due = std::min(plan.due.value_or(due), due);
}

// How many segments may be compacted at all.
size_t CountCleanable(std::span<const Segment> segments, const CompactionLimits& limits,
                      const LogConfig& config, Timestamp now, CompactionPlan& plan) {
  size_t count = 0;
  for (; count + 1 < segments.size(); ++count) {
    const Segment& segment = segments[count];
    const bool clean = segments[count + 1].base <= plan.dirty_begin;
    if (segments[count + 1].base > limits.committed || segment.base >= limits.recovery_segment) {
      plan.held_back = true;
      break;
    }
    // What was compacted before was old enough then.
    if (clean || config.min_compaction_lag_ms <= 0) continue;
    if (!segment.times_known) {
      plan.unknown_newest = segment.base;
      break;
    }
    const int64_t newest_ms = segment.newest().ms();
    if (newest_ms > now.ms() - config.min_compaction_lag_ms) {
      NoteDue(plan, newest_ms, config.min_compaction_lag_ms);
      break;
    }
  }
  return count;
}

// Whether some dirty segment waits for longer than max.compaction.lag.ms.
void CheckOverdue(std::span<const Segment> segments, const LogConfig& config, Timestamp now,
                  CompactionPlan& plan) {
  if (config.max_compaction_lag_ms < 0) return;
  for (size_t i = 0; i + 1 < segments.size() && segments[i].base < plan.end; ++i) {
    const Segment& segment = segments[i];
    if (segments[i + 1].base <= plan.dirty_begin || segment.empty()) continue;
    if (!segment.first_timestamp) {
      plan.unknown_first = segment.base;
      return;
    }
    const int64_t first_ms = segment.first_timestamp->ms();
    if (first_ms <= 0) continue;
    if (first_ms < now.ms() - config.max_compaction_lag_ms) {
      plan.overdue = true;
      return;
    }
    NoteDue(plan, first_ms, config.max_compaction_lag_ms);
  }
}

}  // namespace

CompactionPlan PlanCompaction(std::span<const Segment> segments, const CompactionLimits& limits,
                              const LogConfig& config, Timestamp now) {
  CompactionPlan plan;
  plan.dirty_begin = plan.end = std::max(limits.cleaned_to, limits.start);
  if (!config.cleanup_compact || segments.empty()) return plan;
  plan.dirty_begin = std::max(plan.dirty_begin, segments.front().base);
  const size_t count = CountCleanable(segments, limits, config, now, plan);
  if (plan.unknown_newest) return plan;
  plan.end = std::max(plan.dirty_begin, segments[count].base);
  for (size_t i = 0; i < count; ++i) {
    (segments[i + 1].base <= plan.dirty_begin ? plan.clean_bytes : plan.dirty_bytes) +=
        segments[i].size;
  }
  if (plan.dirty_bytes == 0) return plan;
  CheckOverdue(segments, config, now, plan);
  if (plan.unknown_first) return plan;
  plan.eligible = plan.overdue || plan.ratio() > config.min_cleanable_dirty_ratio;
  return plan;
}

std::vector<size_t> GroupSegments(std::span<const Segment> segments, Offset end,
                                  const LogConfig& config) {
  std::vector<size_t> groups;
  const uint64_t bytes_max = static_cast<uint64_t>(config.segment_bytes);
  const uint64_t index_bytes_max = static_cast<uint64_t>(config.segment_index_bytes);
  uint64_t bytes = 0;
  uint64_t index_bytes = 0;
  Offset base{0};
  for (size_t i = 0; i + 1 < segments.size() && segments[i].base < end; ++i) {
    const Segment& segment = segments[i];
    const uint64_t own_index_bytes =
        std::max(segment.indexes.entries() * kOffsetIndexEntryBytes,
                 (segment.indexes.time_entries() + 1) * kTimeIndexEntryBytes);
    const OffsetDelta span = segments[i + 1].base - base;
    const bool joins = !groups.empty() && bytes + segment.size <= bytes_max &&
                       index_bytes + own_index_bytes <= index_bytes_max &&
                       span <= OffsetDelta(std::numeric_limits<int32_t>::max());
    if (!joins) {
      groups.push_back(0);
      bytes = index_bytes = 0;
      base = segment.base;
    }
    ++groups.back();
    bytes += segment.size;
    index_bytes += own_index_bytes;
  }
  return groups;
}

}  // namespace millrace

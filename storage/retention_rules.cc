#include "storage/retention_rules.h"

#include <cstdint>
#include <limits>

namespace millrace {
namespace {

// What the rules share: the segment at `index` is there to be removed at all.
bool MayGo(std::span<const Segment> segments, size_t index, Offset end, Offset committed,
           RetentionPlan& plan) {
  if (index == segments.size()) return false;
  const bool last = index + 1 == segments.size();
  if (last && segments[index].empty()) return false;
  if (committed >= (last ? end : segments[index + 1].base)) return true;
  plan.held_back = true;
  return false;
}

}  // namespace

RetentionPlan PlanRetention(std::span<const Segment> segments, Offset end, Offset committed,
                            const LogConfig& config, Timestamp now) {
  RetentionPlan plan;
  if (!config.cleanup_delete) return plan;
  if (config.retention_bytes >= 0) {
    const uint64_t bytes_max = static_cast<uint64_t>(config.retention_bytes);
    uint64_t bytes = 0;
    for (const Segment& segment : segments) bytes += segment.size;
    // The log never becomes smaller than what is to be kept (rule 11.6).
    while (MayGo(segments, plan.by_size, end, committed, plan) &&
           bytes >= bytes_max + segments[plan.by_size].size) {
      bytes -= segments[plan.by_size++].size;
    }
    // Its size, not the bound of what is committed, is what keeps it.
    if (plan.held_back && bytes < bytes_max + segments[plan.by_size].size) plan.held_back = false;
  }
  if (config.retention_ms < 0) return plan;
  for (;;) {
    const size_t next = plan.total();
    RetentionPlan looked;
    const bool may_go = MayGo(segments, next, end, committed, looked);
    if (!may_go && !looked.held_back) return plan;
    if (!segments[next].times_known) {
      plan.unknown = segments[next].base;
      return plan;
    }
    const int64_t newest_ms = segments[next].newest().ms();
    if (now.ms() - newest_ms <= config.retention_ms) {
      int64_t due_ms = 0;
      if (!__builtin_add_overflow(newest_ms, config.retention_ms, &due_ms) &&
          due_ms < std::numeric_limits<int64_t>::max()) {
        plan.due = Timestamp(due_ms + 1);
      }
      return plan;
    }
    if (!may_go) {
      plan.held_back = true;
      return plan;
    }
    ++plan.by_time;
  }
}

}  // namespace millrace

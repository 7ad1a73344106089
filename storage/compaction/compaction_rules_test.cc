#include "storage/compaction/compaction_rules.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

constexpr Timestamp kNow(1'000'000);

// Five segments of ten offsets and a hundred bytes: 0, 10, 20, 30 closed, 40 active. Each is a
// second younger than the one before; the last closed one is a second old.
std::vector<Segment> FiveSegments() {
  std::vector<Segment> segments;
  for (int64_t i = 0; i < 5; ++i) {
    Segment segment(Offset(i * 10), kNow);
    segment.next = Offset(i * 10 + 10);
    segment.size = segment.written = 100;
    const Timestamp at(kNow.ms() - 4000 + i * 1000);
    segment.first_timestamp = at;
    segment.max_time = TimeIndexEntry{at, Offset(i * 10 + 9)};
    segment.times_known = true;
    segments.push_back(segment);
  }
  return segments;
}

CompactionLimits All() { return {Offset(0), Offset(0), Offset(50), Offset(40)}; }

LogConfig Compacted() {
  LogConfig config;
  config.cleanup_compact = true;
  config.cleanup_delete = false;
  return config;
}

}  // namespace

TEST_CASE("PlanCompaction: a log that was never compacted is dirty up to its active segment") {
  const std::vector<Segment> segments = FiveSegments();
  const CompactionPlan plan = PlanCompaction(segments, All(), Compacted(), kNow);
  CHECK(plan.eligible);
  CHECK(plan.dirty_begin == Offset(0));
  CHECK(plan.end == Offset(40));
  CHECK(plan.dirty_bytes == 400);
  CHECK(plan.clean_bytes == 0);
  CHECK_FALSE(plan.held_back);
}

TEST_CASE("PlanCompaction: a topic that is not compacted never is") {
  LogConfig config = Compacted();
  config.cleanup_compact = false;
  CHECK_FALSE(PlanCompaction(FiveSegments(), All(), config, kNow).eligible);
}

TEST_CASE("PlanCompaction: what was compacted counts as clean, and the ratio must be exceeded") {
  CompactionLimits limits = All();
  limits.cleaned_to = Offset(20);
  LogConfig config = Compacted();
  CompactionPlan plan = PlanCompaction(FiveSegments(), limits, config, kNow);
  CHECK(plan.ratio() == 0.5);
  CHECK_FALSE(plan.eligible);
  config.min_cleanable_dirty_ratio = 0.49;
  plan = PlanCompaction(FiveSegments(), limits, config, kNow);
  CHECK(plan.eligible);
  CHECK(plan.dirty_begin == Offset(20));
  limits.cleaned_to = Offset(40);
  config.min_cleanable_dirty_ratio = 0;
  CHECK_FALSE(PlanCompaction(FiveSegments(), limits, config, kNow).eligible);
}

TEST_CASE("PlanCompaction: a segment that was compacted in part is dirty") {
  CompactionLimits limits = All();
  limits.cleaned_to = Offset(25);
  const CompactionPlan plan = PlanCompaction(FiveSegments(), limits, Compacted(), kNow);
  CHECK(plan.dirty_begin == Offset(25));
  CHECK(plan.clean_bytes == 200);
  CHECK(plan.dirty_bytes == 200);
}

TEST_CASE("PlanCompaction: the start of the log bounds what is dirty") {
  CompactionLimits limits = All();
  limits.start = Offset(12);
  CHECK(PlanCompaction(FiveSegments(), limits, Compacted(), kNow).dirty_begin == Offset(12));
}

TEST_CASE("PlanCompaction: nothing that is not committed, or where recovery would begin") {
  CompactionLimits limits = All();
  limits.committed = Offset(29);
  CompactionPlan plan = PlanCompaction(FiveSegments(), limits, Compacted(), kNow);
  CHECK(plan.end == Offset(20));
  CHECK(plan.held_back);
  limits = All();
  limits.recovery_segment = Offset(10);
  plan = PlanCompaction(FiveSegments(), limits, Compacted(), kNow);
  CHECK(plan.end == Offset(10));
  CHECK(plan.held_back);
}

TEST_CASE("PlanCompaction: segments younger than min.compaction.lag.ms wait, and say until when") {
  LogConfig config = Compacted();
  config.min_compaction_lag_ms = 2500;
  CompactionPlan plan = PlanCompaction(FiveSegments(), All(), config, kNow);
  CHECK(plan.end == Offset(20));  // Those of 4 and 3 seconds.
  CHECK(plan.due == Timestamp(kNow.ms() - 2000 + 2500 + 1));
  plan = PlanCompaction(FiveSegments(), All(), config, *plan.due);
  CHECK(plan.end == Offset(30));
  std::vector<Segment> segments = FiveSegments();
  segments[1].times_known = false;
  CHECK(PlanCompaction(segments, All(), config, kNow).unknown_newest == Offset(10));
}

TEST_CASE("PlanCompaction: max.compaction.lag.ms makes the least dirty log's turn come") {
  CompactionLimits limits = All();
  limits.cleaned_to = Offset(30);
  LogConfig config = Compacted();
  config.max_compaction_lag_ms = 1500;
  CompactionPlan plan = PlanCompaction(FiveSegments(), limits, config, kNow);
  CHECK_FALSE(plan.eligible);
  CHECK(plan.due == Timestamp(kNow.ms() - 1000 + 1500 + 1));
  plan = PlanCompaction(FiveSegments(), limits, config, *plan.due);
  CHECK(plan.overdue);
  CHECK(plan.eligible);
  std::vector<Segment> segments = FiveSegments();
  segments[3].first_timestamp.reset();
  CHECK(PlanCompaction(segments, limits, config, kNow).unknown_first == Offset(30));
}

TEST_CASE("GroupSegments: small segments become one, as large as a segment may be") {
  LogConfig config = Compacted();
  config.segment_bytes = 250;
  CHECK(GroupSegments(FiveSegments(), Offset(40), config) == std::vector<size_t>{2, 2});
  config.segment_bytes = 1000;
  CHECK(GroupSegments(FiveSegments(), Offset(40), config) == std::vector<size_t>{4});
  // The one that is compacted in part is written anew, too.
  CHECK(GroupSegments(FiveSegments(), Offset(15), config) == std::vector<size_t>{2});
  config.segment_bytes = 10;
  CHECK(GroupSegments(FiveSegments(), Offset(40), config) == std::vector<size_t>{1, 1, 1, 1});
}

TEST_CASE("GroupSegments: no more offsets in one than an index entry can tell apart") {
  std::vector<Segment> segments = FiveSegments();
  segments[2].base = Offset(int64_t{1} << 31);
  segments[3].base = segments[2].base + OffsetDelta(10);
  segments[4].base = segments[2].base + OffsetDelta(20);
  CHECK(GroupSegments(segments, segments[4].base, Compacted()) == std::vector<size_t>{1, 1, 2});
}

}  // namespace millrace

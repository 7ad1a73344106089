// What retention removes, case by case (rules 11.4-11.8).
#include "storage/retention_rules.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

namespace millrace {
namespace {

constexpr int64_t kDay = 24 * 3600 * 1000;
constexpr Timestamp kNow{100 * kDay};

// Segments of ten records and `bytes` each; number i's newest record is at `newest[i]`.
std::vector<Segment> Segments(const std::vector<int64_t>& newest, uint64_t bytes = 100) {
  std::vector<Segment> segments;
  for (size_t i = 0; i < newest.size(); ++i) {
    Segment& segment =
        segments.emplace_back(Offset(static_cast<int64_t>(i) * 10), Timestamp(50 * kDay));
    segment.next = segment.base + OffsetDelta(10);
    segment.size = bytes;
    segment.max_time = TimeIndexEntry{Timestamp(newest[i]), segment.base};
  }
  return segments;
}

RetentionPlan Plan(const std::vector<Segment>& segments, const LogConfig& config,
                   std::optional<Offset> committed = std::nullopt) {
  const Offset end = segments.back().next;
  return PlanRetention(segments, end, committed.value_or(end), config, kNow);
}

LogConfig ByTime(int64_t retention_ms) {
  LogConfig config;
  config.retention_ms = retention_ms;
  return config;
}

LogConfig BySize(int64_t retention_bytes) {
  LogConfig config;
  config.retention_ms = -1;
  config.retention_bytes = retention_bytes;
  return config;
}

}  // namespace

TEST_CASE("Retention: a segment goes once its newest record is older than retention.ms") {
  const int64_t now = kNow.ms();
  std::vector<Segment> segments = Segments({now - kDay - 1, now - kDay, now});
  RetentionPlan plan = Plan(segments, ByTime(kDay));
  CHECK(plan.by_time == 1);
  CHECK(plan.by_size == 0);
  // The next one is too old from the next millisecond on.
  CHECK(plan.due == Timestamp(now + 1));
}

TEST_CASE("Retention: a segment with a record from the future stays, and so do those behind it") {
  const int64_t now = kNow.ms();
  RetentionPlan plan =
      Plan(Segments({now - 9 * kDay, now + 5 * kDay, now - 9 * kDay, now}), ByTime(kDay));
  CHECK(plan.by_time == 1);
  CHECK(plan.due == Timestamp(now + 6 * kDay + 1));
}

TEST_CASE("Retention: without timestamps a segment is as old as its last append") {
  std::vector<Segment> segments = Segments({-1, -1});
  segments[0].appended = Timestamp(kNow.ms() - kDay - 1);
  segments[1].appended = Timestamp(kNow.ms() - kDay);
  CHECK(Plan(segments, ByTime(kDay)).by_time == 1);
}

TEST_CASE("Retention: without a bound nothing is ever due") {
  RetentionPlan plan = Plan(Segments({0, 0}), ByTime(-1));
  CHECK(plan.total() == 0);
  CHECK_FALSE(plan.due.has_value());
  plan = Plan(Segments({kNow.ms(), kNow.ms()}), ByTime(std::numeric_limits<int64_t>::max()));
  CHECK(plan.total() == 0);
  CHECK_FALSE(plan.due.has_value());
}

TEST_CASE("Retention: the active segment goes with the others when it is as old") {
  CHECK(Plan(Segments({0, 0, 0}), ByTime(kDay)).total() == 3);
  // But not an empty one: there would be no end to it.
  std::vector<Segment> segments = Segments({0, 0});
  segments.emplace_back(Offset(20), Timestamp(0));
  RetentionPlan plan = Plan(segments, ByTime(kDay));
  CHECK(plan.total() == 2);
  CHECK_FALSE(plan.due.has_value());
}

TEST_CASE("Retention: by size the log never becomes smaller than retention.bytes") {
  const std::vector<Segment> segments = Segments({0, 0, 0, 0});
  CHECK(Plan(segments, BySize(400)).by_size == 0);
  CHECK(Plan(segments, BySize(301)).by_size == 0);
  CHECK(Plan(segments, BySize(300)).by_size == 1);
  CHECK(Plan(segments, BySize(299)).by_size == 1);
  CHECK(Plan(segments, BySize(200)).by_size == 2);
  CHECK(Plan(segments, BySize(0)).by_size == 4);
  CHECK(Plan(segments, BySize(-1)).by_size == 0);
  CHECK(Plan(segments, BySize(std::numeric_limits<int64_t>::max())).by_size == 0);
}

TEST_CASE("Retention: size goes first, time judges what is left") {
  const int64_t now = kNow.ms();
  LogConfig config = BySize(300);
  config.retention_ms = kDay;
  RetentionPlan plan = Plan(Segments({now, 0, now, now}), config);
  CHECK(plan.by_size == 1);
  CHECK(plan.by_time == 1);
}

TEST_CASE("Retention: nothing goes that is not wholly below the high watermark") {
  RetentionPlan plan = Plan(Segments({0, 0, 0}), ByTime(kDay), Offset(19));
  CHECK(plan.by_time == 1);
  CHECK(plan.held_back);
  plan = Plan(Segments({0, 0, 0}), ByTime(kDay), Offset(20));
  CHECK(plan.by_time == 2);
  CHECK(plan.held_back);
  plan = Plan(Segments({0, 0, 0}), BySize(0), Offset(9));
  CHECK(plan.total() == 0);
  CHECK(plan.held_back);
  // Held back by its size and not by what is committed: no need to look again.
  plan = Plan(Segments({0, 0, 0}), BySize(250), Offset(9));
  CHECK_FALSE(plan.held_back);
}

TEST_CASE("Retention: of a compacted topic, and of one that keeps everything, nothing goes") {
  LogConfig config = BySize(0);
  config.retention_ms = 0;
  config.cleanup_delete = false;
  CHECK(Plan(Segments({0, 0}), config).total() == 0);
  config.cleanup_compact = true;
  CHECK(Plan(Segments({0, 0}), config).total() == 0);
  config.cleanup_delete = true;
  CHECK(Plan(Segments({0, 0}), config).total() == 2);
}

TEST_CASE("Retention: it asks for the newest timestamp only where that decides") {
  std::vector<Segment> segments = Segments({0, kNow.ms(), 0});
  for (Segment& segment : segments) segment.times_known = false;
  CHECK_FALSE(Plan(segments, BySize(100)).unknown.has_value());
  CHECK(Plan(segments, ByTime(kDay)).unknown == Offset(0));
  segments[0].times_known = true;
  CHECK(Plan(segments, ByTime(kDay)).unknown == Offset(10));
  segments[1].times_known = true;
  CHECK_FALSE(Plan(segments, ByTime(kDay)).unknown.has_value());
}

}  // namespace millrace

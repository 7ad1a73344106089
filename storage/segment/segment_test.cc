// When a segment is closed (rule 11.1), case by case.
#include "storage/segment/segment.h"

#include <catch2/catch.hpp>
#include <limits>

namespace millrace {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

BatchHeader Batch(int64_t base, int64_t timestamp, size_t bytes = 100, int32_t records = 1) {
  return BatchHeader{.base_offset = Offset(base),
                     .size_bytes = bytes,
                     .leader_epoch = LeaderEpoch(0),
                     .crc = 0,
                     .attributes = BatchAttributes(0),
                     .last_offset_delta = records - 1,
                     .base_timestamp = Timestamp(timestamp),
                     .max_timestamp = Timestamp(timestamp),
                     .producer = std::nullopt,
                     .record_count = records};
}

// A segment from offset 0 on, made at kNow, with one batch.
Segment WithOne(const LogConfig& config, int64_t timestamp, size_t bytes = 100) {
  Segment segment(Offset(0), Timestamp(kNow));
  segment.Add(Batch(0, timestamp, bytes), config);
  return segment;
}

bool Rolls(const Segment& segment, const BatchHeader& batch, const LogConfig& config,
           int64_t now = kNow, int64_t jitter_ms = 0) {
  return MustRoll(segment, batch, config, jitter_ms, Timestamp(now));
}

}  // namespace

TEST_CASE("Segment: it is closed when a batch would make it larger than segment.bytes") {
  LogConfig config;
  config.segment_bytes = 300;
  Segment segment = WithOne(config, kNow, 200);
  CHECK_FALSE(Rolls(segment, Batch(1, kNow, 100), config));
  CHECK(Rolls(segment, Batch(1, kNow, 101), config));
}

TEST_CASE("Segment: its age counts from its first batch's timestamp to the incoming one's") {
  LogConfig config;
  config.segment_ms = 1000;
  Segment segment = WithOne(config, 5000);
  CHECK_FALSE(Rolls(segment, Batch(1, 6000), config));
  CHECK(Rolls(segment, Batch(1, 6001), config));
  // What came between does not matter, nor does the clock.
  segment.Add(Batch(1, 5900), config);
  CHECK_FALSE(Rolls(segment, Batch(2, 6000), config, kNow + 1'000'000));
  CHECK(Rolls(segment, Batch(2, 6001), config));
  // A record without a time is older than everything.
  CHECK_FALSE(Rolls(segment, Batch(2, -1), config, kNow + 1'000'000));
}

TEST_CASE("Segment: one whose first batch has no timestamp goes by the wall clock") {
  LogConfig config;
  config.segment_ms = 1000;
  Segment segment = WithOne(config, -1);
  CHECK_FALSE(Rolls(segment, Batch(1, kNow * 2), config, kNow + 1000));
  CHECK(Rolls(segment, Batch(1, -1), config, kNow + 1001));
}

TEST_CASE("Segment: the jitter that was drawn is taken off segment.ms") {
  LogConfig config;
  config.segment_ms = 1000;
  Segment segment = WithOne(config, 5000);
  CHECK_FALSE(Rolls(segment, Batch(1, 5700), config, kNow, 300));
  CHECK(Rolls(segment, Batch(1, 5701), config, kNow, 300));
}

TEST_CASE("Segment: a full offset index closes it, and a time index with one entry left") {
  LogConfig config;
  config.index_interval_bytes = 1;
  config.segment_index_bytes = 10 * kOffsetIndexEntryBytes;
  Segment segment = WithOne(config, 5000);
  // All at one time: only the offset index grows.
  int64_t offset = 1;
  while (segment.indexes.entries() < 10) {
    CHECK_FALSE(Rolls(segment, Batch(offset, 5000), config));
    segment.Add(Batch(offset++, 5000), config);
  }
  CHECK(Rolls(segment, Batch(offset, 5000), config));

  config.segment_index_bytes = 10 * kTimeIndexEntryBytes;
  segment = WithOne(config, 5000);
  for (offset = 1; segment.indexes.time_entries() < 9; ++offset) {
    CHECK_FALSE(Rolls(segment, Batch(offset, 5000 + offset), config));
    segment.Add(Batch(offset, 5000 + offset), config);
  }
  CHECK(Rolls(segment, Batch(offset, 5000 + offset), config));
}

TEST_CASE("Segment: offsets beyond what its index can say go to another, even if it is empty") {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  LogConfig config;
  Segment segment = WithOne(config, 5000);
  CHECK_FALSE(Rolls(segment, Batch(kMax, 5000), config));
  CHECK(Rolls(segment, Batch(kMax, 5000, 100, 2), config));
  Segment empty(Offset(0), Timestamp(kNow));
  CHECK(Rolls(empty, Batch(kMax + 1, 5000), config));
  CHECK_FALSE(Rolls(empty, Batch(7, 5000, size_t{2} << 30), config));
}

}  // namespace millrace

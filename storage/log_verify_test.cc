#include "storage/log_verify.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

// A segment of three batches of ten records from offset 100 on, and indexes that fit it.
struct Sample {
  std::vector<uint8_t> log;
  std::vector<uint8_t> offset_index;
  std::vector<uint8_t> time_index;
  std::vector<size_t> positions;

  explicit Sample(Compression codec = Compression::kNone) {
    for (int64_t base : {100, 110, 120}) {
      BatchBuilder builder(
          {.compression = codec, .base_offset = Offset(base), .leader_epoch = LeaderEpoch(3)});
      for (int64_t offset = base; offset < base + 10; ++offset) {
        const std::string value = fmt::format("value {}", offset);
        builder.Append(Timestamp(offset), std::nullopt,
                       std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
      }
      const Slice bytes = builder.Build()->bytes();
      positions.push_back(log.size());
      log.insert(log.end(), bytes.begin(), bytes.end());
    }
    AddOffset(119, positions[1]);
    AddOffset(129, positions[2]);
    AddTime(119, 119);
    AddTime(129, 129);
  }
  void AddOffset(int64_t offset, size_t position) {
    auto entry =
        EncodeOffsetIndexEntry({Offset(offset), static_cast<uint32_t>(position)}, Offset(100));
    offset_index.insert(offset_index.end(), entry.begin(), entry.end());
  }
  void AddTime(int64_t ms, int64_t offset) {
    auto entry = EncodeTimeIndexEntry({Timestamp(ms), Offset(offset)}, Offset(100));
    time_index.insert(time_index.end(), entry.begin(), entry.end());
  }
};

Task<absl::StatusOr<SegmentReport>> WriteAndVerify(Disk* disk, const Sample* sample,
                                                   Offset offset_min) {
  MR_CO_RETURN_IF_ERROR(co_await disk->CreateDirectories("/t-0"));
  for (const auto& [suffix, bytes] : {std::pair(kLogSuffix, &sample->log),
                                      {kIndexSuffix, &sample->offset_index},
                                      {kTimeIndexSuffix, &sample->time_index}}) {
    MR_CO_RETURN_IF_ERROR(
        co_await ReplaceFile(*disk, JoinPath("/t-0", SegmentFileName(Offset(100), suffix)),
                             std::string(bytes->begin(), bytes->end())));
  }
  co_return co_await VerifySegment(
      *disk, JoinPath("/t-0", SegmentFileName(Offset(100), kLogSuffix)), offset_min);
}

SegmentReport Verify(const Sample& sample, Offset offset_min = Offset(0)) {
  SimWorld world(1);
  Env& env = world.AddNode("n").Boot();
  absl::StatusOr<SegmentReport> report =
      world.Run(env, WriteAndVerify(&env.disk, &sample, offset_min));
  REQUIRE(report.ok());
  return *report;
}

// The one finding that is expected.
std::string OnlyFinding(const SegmentReport& report) {
  REQUIRE(report.findings.count() == 1);
  return report.findings.list().front();
}

bool Contains(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("VerifySegment: a sound segment has no findings, with any codec") {
  for (Compression codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                            Compression::kLz4, Compression::kZstd}) {
    const Sample sample(codec);
    SegmentReport report = Verify(sample, Offset(100));
    CHECK(report.findings.count() == 0);
    CHECK(report.batches == 3);
    CHECK(report.records == 30);
    CHECK(report.begin == Offset(100));
    CHECK(report.end == Offset(130));
    CHECK(report.bytes == sample.log.size());
  }
}

TEST_CASE("VerifySegment: zeroes behind the batches and the entries are space taken in advance") {
  Sample sample;
  const size_t bytes = sample.log.size();
  sample.log.resize(bytes + 5000);
  sample.offset_index.resize(4096);
  sample.time_index.resize(1200);
  SegmentReport report = Verify(sample);
  CHECK(report.findings.count() == 0);
  CHECK(report.bytes == bytes);
  CHECK(report.unused_bytes == 5000);
}

TEST_CASE("VerifySegment: every flipped bit behind the leader epoch of a batch is found") {
  // Base offset and leader epoch lie outside the CRC; their order is checked instead.
  const Sample sound;
  for (size_t position = sound.positions[1] + 16; position < sound.positions[2]; ++position) {
    Sample sample;
    sample.log[position] ^= 0x10;
    CHECK(Verify(sample).findings.count() > 0);
  }
}

TEST_CASE("VerifySegment: goes on behind a batch whose CRC does not hold") {
  Sample sample;
  sample.log[sample.positions[1] + 70] ^= 1;
  SegmentReport report = Verify(sample);
  CHECK(report.batches == 3);
  CHECK(Contains(OnlyFinding(report), fmt::format("position {}, offset 110", sample.positions[1])));
}

TEST_CASE("VerifySegment: a batch that is cut off says from where on the file cannot be read") {
  Sample sample;
  sample.log.resize(sample.log.size() - 7);
  SegmentReport report = Verify(sample);
  CHECK(!report.readable);
  CHECK(report.end == Offset(120));
  CHECK(Contains(OnlyFinding(report), fmt::format("position {}: ", sample.positions[2])));
}

TEST_CASE("VerifySegment: offsets that overlap those of the segment before it are found") {
  CHECK(Contains(OnlyFinding(Verify(Sample(), Offset(101))), "ends at 101"));
}

TEST_CASE("VerifySegment: an offset index that leads nowhere, or past its offset, is found") {
  Sample sample;
  sample.offset_index.clear();
  sample.AddOffset(119, sample.positions[1] + 1);
  CHECK(Contains(OnlyFinding(Verify(sample)), "where no batch begins"));

  sample.offset_index.clear();
  sample.AddOffset(105, sample.positions[1]);
  CHECK(Contains(OnlyFinding(Verify(sample)), "the batch there begins at offset 110"));

  sample.offset_index.clear();
  sample.AddOffset(129, sample.log.size() + 10);
  CHECK(Contains(OnlyFinding(Verify(sample)), "beyond the log"));
}

TEST_CASE("VerifySegment: a time index that hides newer records is found") {
  Sample sample;
  sample.time_index.clear();
  sample.AddTime(105, 109);  // Up to offset 109 there are times up to 109.
  CHECK(Contains(OnlyFinding(Verify(sample)), "a batch is of 109"));

  sample.time_index.clear();
  sample.AddTime(128, 129);
  CHECK(Contains(OnlyFinding(Verify(sample)), "a batch is of 129"));

  sample.time_index.clear();
  sample.AddTime(129, 130);
  CHECK(Verify(sample).findings.count() == 1);
}

TEST_CASE("VerifySegment: a leader epoch that goes back is found") {
  Sample sample;
  sample.log[sample.positions[1] + 15] = 2;  // Outside the CRC.
  CHECK(Contains(OnlyFinding(Verify(sample)), "leader epoch 2 after 3"));
}

TEST_CASE("Findings: further ones are counted") {
  Findings findings;
  for (int i = 0; i < 100; ++i) findings.Add("x");
  CHECK(findings.count() == 100);
  CHECK(findings.list().size() == kFindingsMax);
}

}  // namespace millrace

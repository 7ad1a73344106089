#include "storage/record/record_batch.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

BatchView Build(Offset base, int records) {
  BatchBuilder builder({.base_offset = base, .leader_epoch = LeaderEpoch(3)});
  std::string value(100, 'v');
  for (int i = 0; i < records; ++i) {
    builder.Append(Timestamp(1000 + i), std::nullopt, Slice::OfStatic(value).span());
  }
  auto batch = builder.Build();
  REQUIRE(batch.ok());
  return *batch;
}

}  // namespace

TEST_CASE("RecordBatch: a header written is the header read") {
  BatchHeader header{
      .base_offset = Offset(123456789012),
      .size_bytes = 77,
      .leader_epoch = LeaderEpoch(9),
      .crc = 0xdeadbeef,
      .attributes = BatchAttributes(BatchAttributes::kTransactionalBit).With(Compression::kZstd),
      .last_offset_delta = 5,
      .base_timestamp = Timestamp(-7),
      .max_timestamp = Timestamp(99),
      .producer = BatchProducer{ProducerId(4), ProducerEpoch(2), Sequence(2147483647)},
      .record_count = 6,
  };
  std::vector<uint8_t> bytes(77);
  WriteBatchHeader(header, bytes.data());
  auto read = ParseBatchHeader(bytes);
  REQUIRE(read.ok());
  CHECK(read->base_offset == header.base_offset);
  CHECK(read->size_bytes == 77);
  CHECK(read->leader_epoch == header.leader_epoch);
  CHECK(read->crc == header.crc);
  CHECK(read->attributes == header.attributes);
  CHECK(read->base_timestamp == header.base_timestamp);
  CHECK(read->max_timestamp == header.max_timestamp);
  CHECK(read->producer == header.producer);
  CHECK(read->last_sequence() == Sequence(4));  // Five behind the largest.
  CHECK(read->next_offset() == Offset(123456789018));
}

TEST_CASE("RecordBatch: absent epoch, producer and sequence are absent, not -1") {
  BatchView batch = Build(Offset(0), 1);
  CHECK_FALSE(batch.header().producer.has_value());
  std::vector<uint8_t> bytes(batch.bytes().begin(), batch.bytes().end());
  StoreBig<int32_t>(bytes.data() + 12, -1);
  CHECK_FALSE(ParseBatchHeader(bytes)->leader_epoch.has_value());
}

TEST_CASE("RecordBatch: offset and epoch are set outside the CRC, times inside it") {
  BatchView batch = Build(Offset(0), 3);
  batch.SetBaseOffset(Offset(500));
  batch.SetLeaderEpoch(LeaderEpoch(8));
  CHECK(batch.CheckCrc().ok());
  batch.SetMaxTimestamp(TimestampType::kLogAppendTime, Timestamp(777));
  CHECK(batch.CheckCrc().ok());
  auto read = BatchView::Parse(batch.bytes());
  REQUIRE(read.ok());
  CHECK(read->CheckCrc().ok());
  CHECK(read->header().base_offset == Offset(500));
  CHECK(read->header().last_offset() == Offset(502));
  CHECK(read->header().leader_epoch == LeaderEpoch(8));
  CHECK(read->header().max_timestamp == Timestamp(777));
  CHECK(read->header().attributes.timestamp_type() == TimestampType::kLogAppendTime);
}

TEST_CASE("RecordBatch: a changed byte behind the CRC is found") {
  BatchView batch = Build(Offset(0), 2);
  for (size_t i = 21; i < batch.bytes().size(); ++i) {
    Slice copy = Slice::Copy(batch.bytes().span());
    copy.Patch()[i] ^= 1;
    auto damaged = BatchView::Parse(copy);
    REQUIRE(damaged.ok());
    REQUIRE(KindOf(damaged->CheckCrc()) == ErrorKind::kCorruptMessage);
  }
}

TEST_CASE("RecordBatch: bytes that are no batch are refused") {
  BatchView batch = Build(Offset(0), 1);
  auto with = [&](size_t at, int32_t value, size_t width) {
    std::vector<uint8_t> bytes(batch.bytes().begin(), batch.bytes().end());
    if (width == 1) bytes[at] = static_cast<uint8_t>(value);
    if (width == 4) StoreBig<int32_t>(bytes.data() + at, value);
    return BatchView::Parse(Slice::Copy(std::span<const uint8_t>(bytes))).status();
  };
  auto real_length = static_cast<int32_t>(batch.bytes().size() - kBatchLengthOverhead);
  CHECK(with(8, real_length, 4).ok());
  CHECK(KindOf(with(8, real_length + 1, 4)) == ErrorKind::kCorruptMessage);
  CHECK(KindOf(with(8, 48, 4)) == ErrorKind::kCorruptMessage);
  CHECK(KindOf(with(8, 0, 4)) == ErrorKind::kCorruptMessage);
  CHECK(KindOf(with(8, -1, 4)) == ErrorKind::kCorruptMessage);
  CHECK(KindOf(with(8, 2147483647, 4)) == ErrorKind::kCorruptMessage);
  for (int magic : {0, 1, 3, 9, 0xff}) {
    CHECK(KindOf(with(16, magic, 1)) == ErrorKind::kInvalidRecord);
  }
  for (size_t cut = 0; cut < kBatchHeaderBytes; ++cut) {
    CHECK(KindOf(ParseBatchHeader(batch.bytes().span().first(cut)).status()) ==
          ErrorKind::kCorruptMessage);
  }
}

TEST_CASE("RecordBatch: stored fields that no leader wrote are found") {
  BatchHeader header = Build(Offset(10), 3).header();
  CHECK(CheckBatchFields(header).ok());
  auto with = [&](auto change) {
    BatchHeader changed = header;
    change(changed);
    return CheckBatchFields(changed).ok();
  };
  CHECK(with([](BatchHeader& h) { h.record_count = 0; }));  // Compaction leaves such.
  CHECK(with([](BatchHeader& h) { h.last_offset_delta = 100; }));
  CHECK_FALSE(with([](BatchHeader& h) { h.record_count = -1; }));
  CHECK_FALSE(with([](BatchHeader& h) { h.record_count = 4; }));
  CHECK_FALSE(with([](BatchHeader& h) { h.last_offset_delta = -1; }));
  CHECK_FALSE(with([](BatchHeader& h) { h.base_offset = Offset(-1); }));
  CHECK_FALSE(with([](BatchHeader& h) { h.base_offset = Offset(9223372036854775806); }));
  CHECK_FALSE(with([](BatchHeader& h) { h.attributes = BatchAttributes(5); }));
}

TEST_CASE("BatchReader: batches in a row are read up to one that is cut off") {
  Chain chain;
  std::vector<size_t> ends = {0};
  for (int64_t i = 0; i < 4; ++i) {
    chain.Append(Build(Offset(10 * i), static_cast<int>(i) + 1).bytes());
    ends.push_back(chain.size());
  }
  Slice bytes = chain.Flatten();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    BatchReader reader(bytes.Sub(0, cut));
    size_t batches = 0;
    while (true) {
      auto next = reader.Next();
      REQUIRE(next.ok());
      if (!next->has_value()) break;
      REQUIRE((*next)->header().base_offset == Offset(10 * static_cast<int64_t>(batches)));
      REQUIRE((*next)->CheckCrc().ok());
      ++batches;
    }
    REQUIRE(ends[batches] <= cut);
    REQUIRE((batches == 4 || ends[batches + 1] > cut));
    REQUIRE(reader.position() == ends[batches]);
  }
}

TEST_CASE("BatchReader: a broken header is an error, at its place") {
  Chain chain;
  chain.Append(Build(Offset(0), 1).bytes());
  size_t first = chain.size();
  chain.Append(Slice::Copy(std::string(100, '\0')));
  BatchReader reader(chain.Flatten());
  CHECK(reader.Next()->has_value());
  CHECK_FALSE(reader.Next().ok());
  CHECK(reader.position() == first);
}

TEST_CASE("Sequence: advancing and rewinding wrap at 2^31") {
  CHECK(AdvanceSequence(Sequence(2147483647), 1) == Sequence(0));
  CHECK(AdvanceSequence(Sequence(2147483640), 20) == Sequence(12));
  CHECK(RewindSequence(Sequence(0), 1) == Sequence(2147483647));
  CHECK(RewindSequence(Sequence(12), 20) == Sequence(2147483640));
}

}  // namespace millrace

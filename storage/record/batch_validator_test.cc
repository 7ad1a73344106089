#include "storage/record/batch_validator.h"

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

constexpr Timestamp kNow{1'700'000'000'000};
constexpr Compression kAllCodecs[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                                      Compression::kLz4, Compression::kZstd};

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Three records one millisecond apart, the newest in the middle.
BatchView Build(BatchBuilderOptions options = {}) {
  BatchBuilder builder(options);
  builder.Append(kNow, Bytes("a"), Bytes("one"));
  builder.Append(Timestamp(kNow.ms() + 2), Bytes("b"), Bytes("two"));
  builder.Append(Timestamp(kNow.ms() + 1), Bytes("c"), std::nullopt);
  auto batch = builder.Build();
  REQUIRE(batch.ok());
  return *batch;
}

// The batch with some bytes changed and, unless told otherwise, its CRC made right again.
BatchView Changed(const BatchView& batch, const std::function<void(uint8_t*)>& change,
                  bool fix_crc = true) {
  Slice copy = Slice::Copy(batch.bytes().span());
  change(copy.Patch());
  if (fix_crc) StoreBig<uint32_t>(copy.Patch() + 17, ComputeBatchCrc(copy.span()));
  auto parsed = BatchView::Parse(copy);
  REQUIRE(parsed.ok());
  return *parsed;
}

// A batch around records given as bytes, with a right CRC.
BatchView Around(const std::vector<uint8_t>& records, int32_t count,
                 Compression compression = Compression::kNone) {
  BatchHeader header = Build().header();
  header.size_bytes = kBatchHeaderBytes + records.size();
  header.attributes = BatchAttributes(0).With(compression);
  header.record_count = count;
  header.last_offset_delta = count - 1;
  MutableBuffer buffer(header.size_bytes);
  std::copy(records.begin(), records.end(), buffer.data() + kBatchHeaderBytes);
  SealBatch(header, {buffer.data(), header.size_bytes});
  return BatchView(std::move(buffer).Freeze(header.size_bytes), header);
}

std::expected<ValidatedBatch, BatchRejection> Validate(
    BatchView batch, const AppendRules& rules = {}, AppendOrigin origin = AppendOrigin::kClient) {
  BatchValidator validator;
  return validator.Validate(std::move(batch), rules, origin, "topic-0", kNow);
}

// Nothing if the batch is taken.
std::optional<ErrorKind> Refused(BatchView batch, const AppendRules& rules = {},
                                 AppendOrigin origin = AppendOrigin::kClient) {
  auto result = Validate(std::move(batch), rules, origin);
  if (result.has_value()) return std::nullopt;
  return KindOf(result.error().status);
}

std::vector<Timestamp> Timestamps(const BatchView& batch) {
  auto records = Decompress(*batch.header().attributes.compression(), batch.records(), 1 << 20);
  REQUIRE(records.ok());
  RecordReader reader(records->span(), batch.header().record_count);
  std::vector<Timestamp> times;
  RecordView record;
  while (reader.Next(record)) {
    REQUIRE(record.offset_delta == static_cast<int32_t>(times.size()));
    times.emplace_back(batch.header().base_timestamp.ms() + record.timestamp_delta);
  }
  REQUIRE(reader.status().ok());
  return times;
}

}  // namespace

TEST_CASE("Batch validator: what is more work than the limits is left alone") {
  struct Case {
    Compression source;
    std::optional<Compression> target;
    size_t bytes;  // Uncompressed.
    bool quick;
  };
  const Case cases[] = {
      {Compression::kNone, std::nullopt, 1 << 20, true},
      {Compression::kNone, std::nullopt, 3 << 20, false},
      {Compression::kGzip, std::nullopt, 200 << 10, true},
      // Few bytes that become many: no size in the header says so.
      {Compression::kGzip, std::nullopt, 300 << 10, false},
      {Compression::kSnappy, std::nullopt, 300 << 10, false},
      {Compression::kLz4, std::nullopt, 300 << 10, false},
      {Compression::kZstd, std::nullopt, 300 << 10, false},
      {Compression::kNone, Compression::kGzip, 3 << 10, true},
      {Compression::kNone, Compression::kGzip, 5 << 10, false},
      {Compression::kZstd, Compression::kLz4, 5 << 10, false},
      {Compression::kNone, Compression::kZstd, 60 << 10, true},
      {Compression::kNone, Compression::kZstd, 70 << 10, false},
      {Compression::kGzip, Compression::kNone, 70 << 10, false},
  };
  for (const Case& c : cases) {
    CAPTURE(CompressionName(c.source), c.target.has_value(), c.bytes);
    BatchBuilder builder({.compression = c.source});
    const std::vector<uint8_t> value(1000, 'v');
    for (size_t i = 0; i < c.bytes / value.size(); ++i) builder.Append(kNow, std::nullopt, value);
    const BatchView batch = *builder.Build();
    const Slice before = Slice::Copy(batch.bytes().span());
    const AppendRules rules = {.timestamp_type = TimestampType::kLogAppendTime,
                               .message_bytes_max = 100 << 20,
                               .compression = c.target};
    BatchValidator validator;
    std::optional<ValidationOutcome> outcome = validator.TryValidate(
        batch, rules, AppendOrigin::kClient, "topic-0", kNow, kQuickValidation);
    CHECK(outcome.has_value() == c.quick);
    if (outcome.has_value()) {
      CHECK(outcome->has_value());
    } else {
      CHECK(batch.bytes() == before);
      CHECK(validator.Validate(batch, rules, AppendOrigin::kClient, "topic-0", kNow).has_value());
    }
  }
}

TEST_CASE("Batch validator: many records, and offsets to be repaired, are work too") {
  BatchBuilder many;
  for (int i = 0; i < 33 << 10; ++i) many.Append(kNow, std::nullopt, std::nullopt);
  BatchBuilder gaps({.compression = Compression::kLz4});
  const std::vector<uint8_t> value(1000, 'v');
  for (int i = 0; i < 10; ++i) gaps.AppendAt(9 - i, kNow, std::nullopt, value);
  for (const BatchBuilder* builder : {&many, &gaps}) {
    BatchView batch = *builder->Build();
    if (builder == &gaps) {
      batch = Changed(batch, [](uint8_t* bytes) { StoreBig<int32_t>(bytes + 23, 9); });
    }
    BatchValidator validator;
    CHECK_FALSE(
        validator.TryValidate(batch, {}, AppendOrigin::kClient, "topic-0", kNow, kQuickValidation)
            .has_value());
    CHECK(validator.Validate(batch, {}, AppendOrigin::kClient, "topic-0", kNow).has_value());
  }
}

TEST_CASE("Produce records: exactly one whole batch of magic 2 is taken (1.10)") {
  BatchView batch = Build();
  CHECK(CheckProduceRecords(batch.bytes(), true).ok());
  CHECK(KindOf(CheckProduceRecords(Slice(), true).status()) == ErrorKind::kInvalidRecord);

  Chain two(batch.bytes());
  two.Append(batch.bytes());
  CHECK(KindOf(CheckProduceRecords(two.Flatten(), true).status()) == ErrorKind::kInvalidRecord);
  Chain garbage(batch.bytes());
  garbage.Append(Slice::OfStatic("garbage"));
  CHECK(KindOf(CheckProduceRecords(garbage.Flatten(), true).status()) ==
        ErrorKind::kCorruptMessage);
  CHECK(
      KindOf(CheckProduceRecords(batch.bytes().Sub(0, batch.bytes().size() - 1), true).status()) ==
      ErrorKind::kCorruptMessage);

  for (uint8_t magic : {0, 1, 9}) {
    Slice copy = Slice::Copy(batch.bytes().span());
    copy.Patch()[16] = magic;
    CHECK(KindOf(CheckProduceRecords(copy, true).status()) == ErrorKind::kInvalidRecord);
  }
}

TEST_CASE("Produce records: unknown codecs, and zstd from old clients, are refused (1.10)") {
  BatchView zstd = Build({.compression = Compression::kZstd});
  CHECK(CheckProduceRecords(zstd.bytes(), true).ok());
  CHECK(KindOf(CheckProduceRecords(zstd.bytes(), false).status()) ==
        ErrorKind::kUnsupportedCompression);
  for (uint8_t codec : {5, 6, 7}) {
    BatchView unknown = Changed(Build(), [&](uint8_t* at) { at[22] = codec; });
    CHECK(KindOf(CheckProduceRecords(unknown.bytes(), true).status()) ==
          ErrorKind::kUnsupportedCompression);
    CHECK(Refused(unknown) == ErrorKind::kUnsupportedCompression);
  }
}

TEST_CASE("Validator: the usual batch is taken without touching a byte (1.18)") {
  for (Compression codec : kAllCodecs) {
    BatchView batch = Build({.compression = codec});
    std::string before(batch.bytes().view());
    auto result = Validate(batch);
    REQUIRE(result.has_value());
    CHECK(result->batch.bytes().data() == batch.bytes().data());
    CHECK(result->batch.bytes().view() == before);
    CHECK_FALSE(result->rebuilt);
    CHECK(result->max_timestamp == Timestamp(kNow.ms() + 2));
    CHECK(result->max_timestamp_delta == OffsetDelta(1));
    CHECK_FALSE(result->log_append_time.has_value());
  }
}

TEST_CASE("Validator: a bad CRC is found before anything else of the contents (1.12)") {
  BatchView batch = Build();
  for (size_t i = 21; i < batch.bytes().size(); ++i) {
    BatchView damaged = Changed(batch, [&](uint8_t* at) { at[i] ^= 0x10; }, /*fix_crc=*/false);
    REQUIRE(Refused(damaged) == ErrorKind::kCorruptMessage);
  }
}

TEST_CASE("Validator: header fields of clients must agree with each other (1.11)") {
  BatchView batch = Build();
  auto set32 = [&](size_t field, int32_t value) {
    return Refused(Changed(batch, [&](uint8_t* at) { StoreBig<int32_t>(at + field, value); }));
  };
  CHECK(set32(57, 3) == std::nullopt);
  for (int32_t count : {0, -1, 2, 4, 2147483647})
    CHECK(set32(57, count) == ErrorKind::kInvalidRecord);
  for (int32_t delta : {0, -1, -2, 3, 2147483647})
    CHECK(set32(23, delta) == ErrorKind::kInvalidRecord);
  // Both lie alike: then the records do not suffice.
  CHECK(Refused(Changed(batch, [&](uint8_t* at) {
          StoreBig<int32_t>(at + 23, 2147483646);
          StoreBig<int32_t>(at + 57, 2147483647);
        })) == ErrorKind::kInvalidRecord);
  // Base offset.
  CHECK(Refused(Changed(batch, [](uint8_t* at) { StoreBig<int64_t>(at, 1); })) ==
        ErrorKind::kInvalidRecord);
  CHECK(Refused(Changed(batch, [](uint8_t* at) { StoreBig<int64_t>(at, -1); })) ==
        ErrorKind::kInvalidRecord);
}

TEST_CASE("Validator: control batches are for coordinators (1.11)") {
  BatchView control = Build({.control = true});
  CHECK(Refused(control) == ErrorKind::kInvalidRecord);
  CHECK_FALSE(Refused(control, {}, AppendOrigin::kCoordinator).has_value());
  // Nor are they compressed for them.
  AppendRules rules;
  rules.compression = Compression::kGzip;
  auto result = Validate(control, rules, AppendOrigin::kCoordinator);
  REQUIRE(result.has_value());
  CHECK_FALSE(result->rebuilt);
}

TEST_CASE("Validator: a producer needs a sequence (1.11)") {
  BatchView batch =
      Build({.producer = BatchProducer{ProducerId(1), ProducerEpoch(0), std::nullopt}});
  CHECK(Refused(batch) == ErrorKind::kInvalidRecord);
}

TEST_CASE("Validator: sizes are bounded by message and by segment (1.13)") {
  BatchView batch = Build();
  AppendRules rules;
  rules.message_bytes_max = batch.bytes().size();
  CHECK_FALSE(Refused(batch, rules).has_value());
  rules.message_bytes_max = batch.bytes().size() - 1;
  CHECK(Refused(batch, rules) == ErrorKind::kMessageTooLarge);
  rules.message_bytes_max = 1 << 20;
  rules.segment_bytes_max = batch.bytes().size() - 1;
  CHECK(Refused(batch, rules) == ErrorKind::kRecordListTooLarge);
}

TEST_CASE(
    "Validator: what decompresses beyond the topic's bound is refused when it must be stored so") {
  BatchBuilder builder({.compression = Compression::kZstd});
  std::string value(100'000, 'x');
  builder.Append(kNow, std::nullopt, Bytes(value));
  BatchView batch = *builder.Build();
  AppendRules rules;
  rules.message_bytes_max = 50'000;
  CHECK_FALSE(Refused(batch, rules).has_value());
  rules.compression = Compression::kNone;
  CHECK(Refused(batch, rules) == ErrorKind::kMessageTooLarge);
}

TEST_CASE("Validator: a compacted topic refuses records without a key, and names them (1.14)") {
  for (Compression codec : kAllCodecs) {
    BatchBuilder builder({.compression = codec});
    builder.Append(kNow, Bytes("k"), Bytes("v"));
    builder.Append(kNow, std::nullopt, Bytes("v"));
    builder.Append(kNow, Bytes(""), Bytes("v"));
    builder.Append(kNow, std::nullopt, Bytes("v"));
    AppendRules rules;
    rules.compacted = true;
    auto result = Validate(*builder.Build(), rules);
    REQUIRE_FALSE(result.has_value());
    CHECK(KindOf(result.error().status) == ErrorKind::kInvalidRecord);
    REQUIRE(result.error().record_errors.size() == 2);
    CHECK(result.error().record_errors[0].index == 1);
    CHECK(result.error().record_errors[1].index == 3);
    CHECK(result.error().record_errors[0].message.find("topic-0") != std::string::npos);
    CHECK_FALSE(Refused(*builder.Build()).has_value());
  }
}

TEST_CASE("Validator: no more record errors are listed than an answer should hold") {
  BatchBuilder builder;
  for (int i = 0; i < 5000; ++i) builder.Append(kNow, std::nullopt, std::nullopt);
  AppendRules rules;
  rules.compacted = true;
  auto result = Validate(*builder.Build(), rules);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().record_errors.size() == kRecordErrorsMax);
}

TEST_CASE("Validator: create times must lie in the topic's window, whatever their extreme (1.15)") {
  AppendRules rules;
  rules.timestamp_before_ms_max = 1000;
  rules.timestamp_after_ms_max = 2000;
  auto refused = [&](int64_t timestamp, const AppendRules& with) {
    BatchBuilder builder;
    builder.Append(Timestamp(timestamp), std::nullopt, Bytes("v"));
    return Refused(*builder.Build(), with);
  };
  CHECK_FALSE(refused(kNow.ms() - 1000, rules).has_value());
  CHECK(refused(kNow.ms() - 1001, rules) == ErrorKind::kInvalidTimestamp);
  CHECK_FALSE(refused(kNow.ms() + 2000, rules).has_value());
  CHECK(refused(kNow.ms() + 2001, rules) == ErrorKind::kInvalidTimestamp);
  CHECK_FALSE(refused(-1, rules).has_value());  // No timestamp.
  AppendRules defaults;
  CHECK_FALSE(refused(0, defaults).has_value());
  CHECK(refused(std::numeric_limits<int64_t>::max(), defaults) == ErrorKind::kInvalidTimestamp);
  CHECK(refused(std::numeric_limits<int64_t>::min(), defaults) == ErrorKind::kInvalidTimestamp);
  AppendRules any;
  any.timestamp_after_ms_max = std::numeric_limits<int64_t>::max();
  CHECK_FALSE(refused(std::numeric_limits<int64_t>::max(), any).has_value());
}

TEST_CASE("Validator: a base timestamp and delta that overflow are an invalid timestamp") {
  BatchView batch = Changed(Build(), [](uint8_t* at) {
    StoreBig<int64_t>(at + 27, std::numeric_limits<int64_t>::max());
  });
  AppendRules any;
  any.timestamp_after_ms_max = std::numeric_limits<int64_t>::max();
  auto result = Validate(batch, any);
  REQUIRE_FALSE(result.has_value());
  CHECK(KindOf(result.error().status) == ErrorKind::kInvalidTimestamp);
  CHECK(result.error().record_errors[0].index == 1);
}

TEST_CASE("Validator: a LogAppendTime topic stamps the batch and checks no record (1.16, 1.17)") {
  AppendRules rules;
  rules.timestamp_type = TimestampType::kLogAppendTime;
  rules.timestamp_before_ms_max = 0;
  for (Compression codec : kAllCodecs) {
    BatchBuilder builder({.compression = codec});
    builder.Append(Timestamp(5), Bytes("k"), Bytes("v"));
    builder.Append(Timestamp(7), Bytes("k"), Bytes("v"));
    BatchView batch = *builder.Build();
    auto result = Validate(batch, rules);
    REQUIRE(result.has_value());
    CHECK(result->log_append_time == kNow);
    CHECK(result->max_timestamp == kNow);
    CHECK(result->max_timestamp_delta == OffsetDelta(0));
    CHECK_FALSE(result->rebuilt);
    auto stored = BatchView::Parse(result->batch.bytes());
    CHECK(stored->CheckCrc().ok());
    CHECK(stored->header().attributes.timestamp_type() == TimestampType::kLogAppendTime);
    CHECK(stored->header().max_timestamp == kNow);
    CHECK(Timestamps(*stored) == std::vector{Timestamp(5), Timestamp(7)});  // As sent.
  }
}

TEST_CASE("Validator: clients may not set LogAppendTime themselves (1.15)") {
  BatchView claims = Build({.timestamp_type = TimestampType::kLogAppendTime});
  AppendRules append_time;
  append_time.timestamp_type = TimestampType::kLogAppendTime;
  CHECK(Refused(claims, append_time) == ErrorKind::kInvalidTimestamp);
  // As Kafka: on a CreateTime topic only records without a time are refused; the bit is cleared.
  auto result = Validate(claims);
  REQUIRE(result.has_value());
  CHECK(result->batch.header().attributes.timestamp_type() == TimestampType::kCreateTime);
  CHECK(result->batch.CheckCrc().ok());
  BatchBuilder builder({.timestamp_type = TimestampType::kLogAppendTime});
  builder.Append(kNoTimestamp, Bytes("k"), Bytes("v"));
  CHECK(Refused(*builder.Build()) == ErrorKind::kInvalidTimestamp);
}

TEST_CASE("Validator: the largest timestamp is found in the records, not believed (1.19)") {
  for (Compression codec : kAllCodecs) {
    BatchView lies =
        Changed(Build({.compression = codec}), [](uint8_t* at) { StoreBig<int64_t>(at + 35, 42); });
    auto result = Validate(lies);
    REQUIRE(result.has_value());
    CHECK(result->batch.header().max_timestamp == Timestamp(kNow.ms() + 2));
    auto stored = BatchView::Parse(result->batch.bytes());
    CHECK(stored->CheckCrc().ok());
    CHECK(stored->header().max_timestamp == Timestamp(kNow.ms() + 2));
  }
}

TEST_CASE("Validator: a rejected batch is left as it was") {
  AppendRules rules;
  rules.timestamp_type = TimestampType::kLogAppendTime;
  rules.segment_bytes_max = 10;
  BatchView batch = Build();
  std::string before(batch.bytes().view());
  REQUIRE_FALSE(Validate(batch, rules).has_value());
  CHECK(batch.bytes().view() == before);
}

TEST_CASE("Validator: wrong offset deltas are put right in a new batch (1.21)") {
  for (Compression codec : kAllCodecs) {
    BatchBuilder builder({.compression = codec});
    builder.AppendAt(0, kNow, Bytes("a"), Bytes("one"));
    builder.AppendAt(700, Timestamp(kNow.ms() + 1), Bytes("b"), Bytes("two"));
    builder.AppendAt(2, Timestamp(kNow.ms() + 2), Bytes("c"), Bytes("three"));
    BatchView batch = *builder.Build();
    auto result = Validate(batch);
    REQUIRE(result.has_value());
    CHECK(result->rebuilt);
    CHECK(result->batch.CheckCrc().ok());
    CHECK(result->batch.header().attributes.compression() == codec);
    CHECK(Timestamps(result->batch).size() == 3);  // Which checks the deltas.
  }
}

TEST_CASE("Validator: recompression keeps producer, sequence and times (1.20)") {
  AppendRules rules;
  rules.compression = Compression::kLz4;
  BatchBuilderOptions options{
      .compression = Compression::kGzip,
      .producer = BatchProducer{ProducerId(9), ProducerEpoch(1), Sequence(5)},
      .transactional = true};
  BatchView batch = Build(options);
  auto result = Validate(batch, rules);
  REQUIRE(result.has_value());
  CHECK(result->rebuilt);
  CHECK(result->batch.CheckCrc().ok());
  CHECK(result->batch.header().producer == options.producer);
  CHECK(result->batch.header().attributes.is_transactional());
  CHECK(result->batch.header().attributes.compression() == Compression::kLz4);
  CHECK(Timestamps(result->batch) == Timestamps(batch));
}

TEST_CASE("Validator: hostile records are invalid in every codec") {
  const std::vector<std::vector<uint8_t>> hostile = {
      {},                                                    // Fewer records than the count.
      {1},                                                   // Negative size.
      {0xfe, 0xff, 0xff, 0xff, 0x0f},                        // Size beyond the batch.
      {12, 0, 0, 0, 3, 1, 0},                                // Negative key length.
      {22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0},  // Header-count bomb.
      {12, 0, 0, 0, 1, 1, 0, 0},                             // A byte left over.
      {0xff, 0xff, 0xff, 0xff, 0xff, 0x01},                  // Overlong varint.
  };
  for (Compression codec : kAllCodecs) {
    for (const auto& records : hostile) {
      Compressor compressor(codec, {});
      REQUIRE(compressor.Write(records).ok());
      REQUIRE(compressor.Finish().ok());
      INFO(CompressionName(codec) << " " << records.size());
      CHECK(Refused(Around(compressor.output(), 1, codec)) == ErrorKind::kInvalidRecord);
    }
  }
}

TEST_CASE("Validator: compressed data that is not is corrupt") {
  for (Compression codec :
       {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    INFO(CompressionName(codec));
    CHECK(Refused(Around({1, 2, 3, 4, 5, 6, 7, 8}, 1, codec)) == ErrorKind::kCorruptMessage);
    CHECK(Refused(Around({}, 1, codec)).has_value());
  }
}

TEST_CASE("Validator: a decompression bomb is refused, in one record or in many") {
  std::vector<uint8_t> zeroes(1 << 20);
  for (Compression codec : {Compression::kGzip, Compression::kZstd}) {
    Compressor one(codec, {});
    uint8_t head[32];
    uint8_t* at = WriteVarlong(head, 1'000'000'000);
    *at++ = 0;
    *at++ = 0;
    *at++ = 0;
    *at++ = 1;
    at = WriteVarlong(at, 999'999'990);
    REQUIRE(one.Write({head, at}).ok());
    for (int i = 0; i < 80; ++i) REQUIRE(one.Write(zeroes).ok());
    REQUIRE(one.Finish().ok());
    CHECK(Refused(Around(one.output(), 1, codec)) == ErrorKind::kMessageTooLarge);

    Compressor many(codec, {});
    std::vector<uint8_t> records;
    while (records.size() < zeroes.size()) {
      at = WriteVarlong(head, 4009);
      at = std::copy_n(zeroes.begin(), 3, at);
      *at++ = 1;
      at = WriteVarlong(at, 4002);
      records.insert(records.end(), head, at);
      records.insert(records.end(), 4003, 0);
    }
    for (int i = 0; i < 80; ++i) REQUIRE(many.Write(records).ok());
    REQUIRE(many.Finish().ok());
    CHECK(Refused(Around(many.output(), 100'000'000, codec)) == ErrorKind::kMessageTooLarge);
  }
}

}  // namespace millrace

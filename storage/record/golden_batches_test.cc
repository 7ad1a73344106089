// Batches written by Kafka's Java client (test/golden/records) against our readers and writers.
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "common/bytes/slice.h"
#include "storage/record/batch_builder.h"
#include "storage/record/batch_validator.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"

namespace millrace {
namespace {

std::vector<uint8_t> FromHex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

constexpr struct {
  const char* name;
  const char* hex;
} kGolden[] = {
#include "test/golden/records/batches.inc"
};

// By name, each in memory of its own.
std::map<std::string, Slice> GoldenBatches() {
  std::map<std::string, Slice> batches;
  for (const auto& [name, hex] : kGolden) {
    batches[name] = Slice::Copy(std::span<const uint8_t>(FromHex(hex)));
  }
  REQUIRE(batches.size() == 13);
  return batches;
}

std::string Text(const std::optional<std::span<const uint8_t>>& bytes) {
  if (!bytes.has_value()) return "(null)";
  return std::string(bytes->begin(), bytes->end());
}

// One line per record: offset delta, timestamp, key, value, headers.
std::string Describe(const BatchView& batch) {
  auto records = Decompress(*batch.header().attributes.compression(), batch.records(), 64 << 20);
  REQUIRE(records.ok());
  RecordReader reader(records->span(), batch.header().record_count);
  RecordView record;
  std::string text;
  while (reader.Next(record)) {
    text += fmt::format("{} {} {}={}", record.offset_delta,
                        batch.header().base_timestamp.ms() + record.timestamp_delta,
                        Text(record.key), Text(record.value));
    HeaderReader headers(record);
    while (auto header = headers.Next()) {
      text += fmt::format(" {}:{}", Text(header->key), Text(header->value));
    }
    text += "\n";
  }
  REQUIRE(reader.status().ok());
  return text;
}

constexpr char kThree[] =
    "0 1700000000000 k0=value zero h:x null:(null)\n"
    "1 1700000000500 k1=(null)\n"
    "2 1699999999000 (null)=\n";

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The three records that the golden batches hold.
BatchView BuildThree(BatchBuilderOptions options) {
  BatchBuilder builder(options);
  RecordHeaderView headers[] = {{Bytes("h"), Bytes("x")}, {Bytes("null"), std::nullopt}};
  builder.Append(Timestamp(1700000000000), Bytes("k0"), Bytes("value zero"), headers);
  builder.Append(Timestamp(1700000000500), Bytes("k1"), std::nullopt);
  builder.Append(Timestamp(1699999999000), std::nullopt, Bytes(""));
  auto batch = builder.Build();
  REQUIRE(batch.ok());
  return *batch;
}

AppendRules AnyTime() {
  AppendRules rules;
  rules.timestamp_after_ms_max = std::numeric_limits<int64_t>::max();
  return rules;
}

constexpr Timestamp kNow{1700000001000};

}  // namespace

TEST_CASE("Golden batches: the three records of each codec read back as Kafka wrote them") {
  auto golden = GoldenBatches();
  for (const char* name :
       {"none", "gzip", "snappy", "lz4", "zstd", "idempotent", "transactional"}) {
    INFO(name);
    auto batch = BatchView::Parse(golden[name]);
    REQUIRE(batch.ok());
    CHECK(batch->CheckCrc().ok());
    CHECK(CheckBatchFields(batch->header()).ok());
    CHECK(batch->bytes().size() == golden[name].size());
    CHECK(batch->header().record_count == 3);
    CHECK(batch->header().last_offset_delta == 2);
    CHECK(batch->header().leader_epoch == LeaderEpoch(7));
    CHECK(batch->header().max_timestamp == Timestamp(1700000000500));
    CHECK(Describe(*batch) == kThree);
  }
}

TEST_CASE("Golden batches: large ones of each codec have all their records") {
  auto golden = GoldenBatches();
  for (const char* name : {"gzip-large", "snappy-large", "lz4-large", "zstd-large"}) {
    INFO(name);
    auto batch = BatchView::Parse(golden[name]);
    REQUIRE(batch.ok());
    std::string expected;
    for (int i = 0; i < 600; ++i) {
      expected += fmt::format("{} {} key-{}={}\n", i, 1700000000000 + i, i,
                              std::string(200, static_cast<char>('a' + i % 26)));
    }
    CHECK(Describe(*batch) == expected);
  }
}

TEST_CASE("Golden batches: producer fields and attributes are read") {
  auto golden = GoldenBatches();
  auto idempotent = BatchView::Parse(golden["idempotent"]);
  REQUIRE(idempotent.ok());
  REQUIRE(idempotent->header().producer.has_value());
  CHECK(idempotent->header().producer->id == ProducerId(4242));
  CHECK(idempotent->header().producer->epoch == ProducerEpoch(3));
  CHECK(idempotent->header().producer->base_sequence == Sequence(2147483646));
  CHECK(idempotent->header().last_sequence() == Sequence(0));  // 2^31 - 2, 2^31 - 1, 0.
  CHECK_FALSE(idempotent->header().attributes.is_transactional());

  auto transactional = BatchView::Parse(golden["transactional"]);
  REQUIRE(transactional.ok());
  CHECK(transactional->header().attributes.is_transactional());

  auto append_time = BatchView::Parse(golden["append-time"]);
  REQUIRE(append_time.ok());
  CHECK(append_time->header().attributes.timestamp_type() == TimestampType::kLogAppendTime);
  CHECK(append_time->header().max_timestamp == Timestamp(1700000009000));

  auto marker = BatchView::Parse(golden["commit-marker"]);
  REQUIRE(marker.ok());
  CHECK(marker->header().attributes.is_control());
  CHECK(marker->header().size_bytes == 78);
  CHECK(marker->header().base_offset == Offset(100));
  CHECK_FALSE(marker->header().producer->base_sequence.has_value());
}

TEST_CASE("Golden batches: our builder writes the bytes that Kafka writes") {
  auto golden = GoldenBatches();
  BatchBuilderOptions options{.leader_epoch = LeaderEpoch(7)};
  CHECK(BuildThree(options).bytes().view() == golden["none"].view());
  options.producer = BatchProducer{ProducerId(4242), ProducerEpoch(3), Sequence(2147483646)};
  CHECK(BuildThree(options).bytes().view() == golden["idempotent"].view());
  options.producer->base_sequence = Sequence(0);
  options.transactional = true;
  CHECK(BuildThree(options).bytes().view() == golden["transactional"].view());
}

TEST_CASE("Golden batches: snappy frames have Kafka's header and block size") {
  // The compressed blocks themselves depend on the library's version; the cuts do not.
  auto golden = GoldenBatches();
  auto batch = BatchView::Parse(golden["snappy-large"]);
  REQUIRE(batch.ok());
  auto records = Decompress(Compression::kSnappy, batch->records(), 64 << 20);
  REQUIRE(records.ok());
  Compressor ours(Compression::kSnappy, {});
  REQUIRE(ours.Write(records->span()).ok());
  REQUIRE(ours.Finish().ok());
  CHECK(std::equal(ours.output().begin(), ours.output().begin() + 16, batch->records().begin()));
}

TEST_CASE("Golden batches: the validator takes each client batch as it is") {
  for (auto& [name, bytes] : GoldenBatches()) {
    if (name == "append-time" || name == "commit-marker") continue;
    INFO(name);
    auto batch = CheckProduceRecords(bytes, /*zstd_allowed=*/true);
    REQUIRE(batch.ok());
    std::string before(bytes.view());
    BatchValidator validator;
    auto validated = validator.Validate(*batch, AnyTime(), AppendOrigin::kClient, "t-0", kNow);
    REQUIRE(validated.has_value());
    CHECK_FALSE(validated->rebuilt);
    CHECK(validated->batch.bytes().view() == before);
    CHECK_FALSE(validated->log_append_time.has_value());
  }
}

TEST_CASE("Golden batches: each converts to every codec of a topic and keeps its records") {
  for (auto& [name, bytes] : GoldenBatches()) {
    if (name == "append-time" || name == "commit-marker") continue;
    for (Compression target : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                               Compression::kLz4, Compression::kZstd}) {
      INFO(name << " to " << CompressionName(target));
      auto batch = CheckProduceRecords(bytes, /*zstd_allowed=*/true);
      REQUIRE(batch.ok());
      AppendRules rules = AnyTime();
      rules.compression = target;
      BatchValidator validator;
      auto validated = validator.Validate(*batch, rules, AppendOrigin::kClient, "t-0", kNow);
      REQUIRE(validated.has_value());
      CHECK(validated->rebuilt == (batch->header().attributes.compression() != target));
      auto again = BatchView::Parse(validated->batch.bytes());
      REQUIRE(again.ok());
      CHECK(again->CheckCrc().ok());
      CHECK(again->header().attributes.compression() == target);
      CHECK(again->header().producer == batch->header().producer);
      CHECK(Describe(*again) == Describe(*batch));
    }
  }
}

}  // namespace millrace

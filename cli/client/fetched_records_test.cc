#include "cli/client/fetched_records.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

Slice Batch(int64_t base, int count, BatchBuilderOptions options = {}) {
  options.base_offset = Offset(base);
  BatchBuilder builder(options);
  for (int i = 0; i < count; ++i) {
    const std::string value = fmt::format("value {}", base + i);
    builder.Append(Timestamp(1000 + base + i), std::nullopt,
                   std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
  }
  return builder.Build()->bytes();
}

Slice Together(const std::vector<Slice>& pieces) {
  Chain chain;
  for (const Slice& piece : pieces) chain.Append(piece);
  return chain.Flatten();
}

struct Outcome {
  std::vector<int64_t> offsets;
  int64_t next;
  absl::Status status;
};

Outcome ReadAll(Slice bytes, int64_t from) {
  FetchedRecords records(std::move(bytes), Offset(from));
  Outcome outcome{};
  FetchedRecord record;
  for (;;) {
    absl::StatusOr<bool> more = records.Next(record);
    outcome.status = more.status();
    if (!more.ok() || !*more) break;
    const std::string_view value(reinterpret_cast<const char*>(record.view.value->data()),
                                 record.view.value->size());
    CHECK(value == fmt::format("value {}", record.offset));
    CHECK(record.timestamp == Timestamp(1000 + record.offset.value()));
    outcome.offsets.push_back(record.offset.value());
  }
  outcome.next = records.next_offset().value();
  return outcome;
}

}  // namespace

TEST_CASE("FetchedRecords: a batch that begins before the offset gives its later records only") {
  Outcome outcome = ReadAll(Together({Batch(0, 5), Batch(5, 5), Batch(10, 2)}), 7);
  CHECK(outcome.status.ok());
  CHECK(outcome.offsets == std::vector<int64_t>{7, 8, 9, 10, 11});
  CHECK(outcome.next == 12);
}

TEST_CASE("FetchedRecords: every codec is read") {
  for (Compression codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                            Compression::kLz4, Compression::kZstd}) {
    CAPTURE(CompressionName(codec));
    Outcome outcome = ReadAll(Batch(3, 100, {.compression = codec}), 3);
    CHECK(outcome.status.ok());
    CHECK(outcome.offsets.size() == 100);
    CHECK(outcome.next == 103);
  }
}

TEST_CASE("FetchedRecords: control batches give no records but are passed") {
  BatchBuilderOptions control;
  control.transactional = true;
  control.control = true;
  control.producer = BatchProducer{ProducerId(1), ProducerEpoch(0), std::nullopt};
  Outcome outcome = ReadAll(Together({Batch(0, 2), Batch(2, 1, control)}), 0);
  CHECK(outcome.status.ok());
  CHECK(outcome.offsets == std::vector<int64_t>{0, 1});
  CHECK(outcome.next == 3);
}

TEST_CASE("FetchedRecords: a batch that is cut off comes with the next fetch") {
  Slice bytes = Together({Batch(0, 2), Batch(2, 2)});
  Outcome outcome = ReadAll(bytes.Sub(0, bytes.size() - 1), 0);
  CHECK(outcome.status.ok());
  CHECK(outcome.offsets == std::vector<int64_t>{0, 1});
  CHECK(outcome.next == 2);
}

TEST_CASE("FetchedRecords: a flipped bit is an error, after what was before it") {
  Slice damaged = Batch(2, 2);
  damaged.Patch()[damaged.size() - 3] ^= 1;
  Outcome outcome = ReadAll(Together({Batch(0, 2), damaged}), 0);
  CHECK(!outcome.status.ok());
  CHECK(outcome.offsets == std::vector<int64_t>{0, 1});
  CHECK(outcome.next == 2);
}

TEST_CASE("FetchedRecords: the broker's time counts where the topic says so") {
  Slice bytes = Batch(0, 2, {.timestamp_type = TimestampType::kLogAppendTime});
  FetchedRecords records(bytes, Offset(0));
  FetchedRecord record;
  REQUIRE(*records.Next(record));
  CHECK(record.timestamp_type == TimestampType::kLogAppendTime);
  CHECK(record.timestamp == Timestamp(1001));  // The newest of the batch.
}

}  // namespace millrace

// Any bytes as the records of a produce and as a stored log: every walk ends with a status, what
// the validator takes can be read, and what it rewrites is right.
//
// The first byte chooses topic rules. CRCs are made right, or the fuzzer would never get past them.
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/check.h"
#include "storage/record/batch_validator.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"

namespace millrace {
namespace {

constexpr Timestamp kNow{1'700'000'000'000};
constexpr size_t kCrcAt = 17;

// The records of a batch that was taken must be readable, in order, with deltas 0..n-1.
void CheckReadable(const BatchView& batch) {
  MR_CHECK(batch.CheckCrc().ok());
  MR_CHECK(CheckBatchFields(batch.header()).ok());
  auto records = Decompress(*batch.header().attributes.compression(), batch.records(),
                            UncompressedBytesMax(batch.bytes().size()));
  MR_CHECK(records.ok());
  RecordReader reader(records->span(), batch.header().record_count);
  RecordView record;
  while (reader.Next(record)) {
    MR_CHECK(record.offset_delta == reader.index() - 1);
    HeaderReader headers(record);
    while (headers.Next().has_value()) {
    }
  }
  MR_CHECK(reader.status().ok());
  MR_CHECK(reader.index() == batch.header().record_count);
}

void Produce(Slice bytes, uint8_t choice) {
  if (bytes.size() >= kBatchHeaderBytes) {
    StoreBig<uint32_t>(bytes.Patch() + kCrcAt, ComputeBatchCrc(bytes.span()));
  }
  auto batch = CheckProduceRecords(bytes, (choice & 1) != 0);
  if (!batch.ok()) return;
  AppendRules rules;
  rules.timestamp_type =
      (choice & 2) != 0 ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  rules.timestamp_after_ms_max = (choice & 4) != 0 ? std::numeric_limits<int64_t>::max() : 1000;
  rules.compacted = (choice & 8) != 0;
  int codec = choice >> 4;
  if (codec <= 4) rules.compression = static_cast<Compression>(codec);
  BatchValidator validator;
  auto origin = codec == 15 ? AppendOrigin::kCoordinator : AppendOrigin::kClient;
  // Within limits it is the same, or not begun: what follows sees the batch as it came.
  const Slice copy = Slice::Copy(bytes.span());
  auto quick = validator.TryValidate(*BatchView::Parse(copy), rules, origin, "t-0", kNow,
                                     {.records = 100,
                                      .uncompressed_bytes = 1000,
                                      .compressed_bytes = 1000,
                                      .decompressed_bytes = 2000,
                                      .slowly_rebuilt_bytes = 100,
                                      .rebuilt_bytes = 500});
  auto result = validator.Validate(*std::move(batch), rules, origin, "t-0", kNow);
  if (quick.has_value()) {
    MR_CHECK(quick->has_value() == result.has_value());
    if (result.has_value()) MR_CHECK((*quick)->batch.bytes() == result->batch.bytes());
  }
  if (!result.has_value()) {
    MR_CHECK(!result.error().status.ok());
    MR_CHECK(result.error().record_errors.size() <= kRecordErrorsMax);
    return;
  }
  result->batch.SetBaseOffset(Offset(1000));
  result->batch.SetLeaderEpoch(LeaderEpoch(5));
  auto stored = BatchView::Parse(result->batch.bytes());
  MR_CHECK(stored.ok());
  CheckReadable(*stored);
}

void ReadStored(const Slice& bytes) {
  BatchReader reader(bytes);
  while (true) {
    auto next = reader.Next();
    if (!next.ok() || !next->has_value()) break;
    (void)(*next)->CheckCrc();
    (void)CheckBatchFields((*next)->header());
  }
  MR_CHECK(reader.position() <= bytes.size());
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::span<const uint8_t> bytes(data + 1, size - 1);
  millrace::Produce(millrace::Slice::Copy(bytes), data[0]);
  millrace::ReadStored(millrace::Slice::Copy(bytes));
  return 0;
}

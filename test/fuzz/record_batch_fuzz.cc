// Any bytes as the records of a produce and as a stored log: every walk ends with a status, what
// the validator takes can be read, and what it rewrites is right.
//
// The first byte chooses topic rules. CRCs are made right, or the fuzzer would never get past them.
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/check.h"
#include "storage/batch_validator.h"
#include "storage/leader_epoch_cache.h"
#include "storage/offset_index.h"
#include "storage/producer_snapshot.h"
#include "storage/record.h"
#include "storage/record_batch.h"
#include "storage/time_index.h"

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
  auto result = validator.Validate(*std::move(batch), rules, origin, "t-0", kNow);
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

  OffsetIndexView offsets(bytes.span(), Offset(10));
  (void)offsets.Lookup(Offset(500));
  (void)offsets.Check(1 << 20);
  TimeIndexView times(bytes.span(), Offset(10));
  (void)times.LookupBefore(kNow);
  (void)times.Check(Offset(1 << 20));
  (void)LeaderEpochCache::Decode(bytes.view());
}

void ReadSnapshot(Slice bytes) {
  constexpr size_t kCoveredFrom = 6;
  if (bytes.size() > kCoveredFrom) {
    StoreBig<uint16_t>(bytes.Patch(), 1);
    StoreBig<uint32_t>(bytes.Patch() + 2, Crc32c(bytes.span().subspan(kCoveredFrom)));
  }
  auto state = DecodeProducerSnapshot(bytes.span(), kNow);
  if (!state.ok()) return;
  auto again = DecodeProducerSnapshot(EncodeProducerSnapshot(*state).span(), kNow);
  MR_CHECK(again.ok());
  MR_CHECK(again->entries() == state->entries());
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::span<const uint8_t> bytes(data + 1, size - 1);
  millrace::Produce(millrace::Slice::Copy(bytes), data[0]);
  millrace::ReadStored(millrace::Slice::Copy(bytes));
  millrace::ReadSnapshot(millrace::Slice::Copy(bytes));
  return 0;
}

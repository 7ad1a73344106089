// Builds v2 batches from records: for our own producer, coordinators and tests.
//
// Shard:    any; pure.
// Lifetime: keys and values are copied by Append().
// Units:    milliseconds; bytes.
// Errors:   Build(): kInvalidRecord without records, kMessageTooLarge beyond 2 GiB; a codec without
// memory. Source:   KIP-98.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/time.h"
#include "storage/record/compression.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"

namespace millrace {

struct BatchBuilderOptions {
  Compression compression = Compression::kNone;
  CompressionLevels levels = {};
  TimestampType timestamp_type = TimestampType::kCreateTime;
  std::optional<BatchProducer> producer = {};
  bool transactional = false;
  bool control = false;
  Offset base_offset{0};
  std::optional<LeaderEpoch> leader_epoch = {};
};

class BatchBuilder {
 public:
  explicit BatchBuilder(BatchBuilderOptions options = {}) : options_(options) {}

  // Adds a record with the next offset.
  void Append(Timestamp timestamp, std::optional<std::span<const uint8_t>> key,
              std::optional<std::span<const uint8_t>> value,
              std::span<const RecordHeaderView> headers = {});

  // The same with an offset delta of the caller's choice, for what compaction leaves and for bad
  // batches in tests. The next Append() without one continues behind it.
  void AppendAt(int32_t offset_delta, Timestamp timestamp,
                std::optional<std::span<const uint8_t>> key,
                std::optional<std::span<const uint8_t>> value,
                std::span<const RecordHeaderView> headers = {});

  int32_t record_count() const { return record_count_; }
  // Of the batch as it would be without compression.
  size_t uncompressed_bytes() const { return kBatchHeaderBytes + records_.size(); }

  // The batch, in memory of its own. The builder stays as it is.
  absl::StatusOr<BatchView> Build() const;

 private:
  BatchBuilderOptions options_;
  std::vector<uint8_t> records_;
  int32_t record_count_ = 0;
  int32_t last_offset_delta_ = -1;
  Timestamp base_timestamp_ = kNoTimestamp;  // Of the first record.
  Timestamp max_timestamp_ = kNoTimestamp;
};

}  // namespace millrace

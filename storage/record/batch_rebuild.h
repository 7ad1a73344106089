// Writes a batch anew with another codec and offset deltas 0..n-1, as a stream: neither the old nor
// the new records are ever whole in memory uncompressed.
//
// Shard:    any; `decompressor` is lent for the call.
// Errors:   kMessageTooLarge: the new batch would exceed `batch_bytes_max`; what the decompressor
// says.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>

#include "common/time.h"
#include "storage/record/compression.h"
#include "storage/record/record_batch.h"

namespace millrace {

struct RebuildOptions {
  Compression compression = Compression::kNone;
  CompressionLevels levels = {};
  TimestampType timestamp_type = TimestampType::kCreateTime;
  Timestamp max_timestamp = kNoTimestamp;
  size_t batch_bytes_max = 0;
  size_t uncompressed_bytes_max = 0;
};

// Everything the options do not name stays as it is in `batch`, base timestamp and deltas included.
absl::StatusOr<BatchView> RebuildBatch(const BatchView& batch, const RebuildOptions& options,
                                       Decompressor& decompressor);

}  // namespace millrace

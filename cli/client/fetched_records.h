// FetchedRecords: the records in the bytes of a Fetch answer, from the offset that was asked for
// on.
//
// An answer may begin with a batch that contains the offset but starts before it (those records are
// passed over), may end with a batch that is cut off (it comes again), and has control batches,
// which are for clients and not for people.
//
// Shard:    any; pure.
// Lifetime: what Next() gives points into the answer or into memory of this object, until the next
//           Next().
// Errors:   kCorruptMessage, kInvalidRecord: the bytes are no batches, or a CRC fails.
//           kMessageTooLarge: a batch decompresses to more than kBatchOutputBytesMax.
// Bounds:   one decompressed batch.
#pragma once

#include <absl/status/statusor.h>

#include <optional>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"

namespace millrace {

struct FetchedRecord {
  Offset offset{0};
  Timestamp timestamp{0};
  TimestampType timestamp_type = TimestampType::kCreateTime;
  RecordView view;  // Key, value and headers.
};

class FetchedRecords {
 public:
  // A broker's largest batch is some MiB; this is for what it decompresses to.
  static constexpr size_t kBatchOutputBytesMax = 1 << 30;

  FetchedRecords(Slice bytes, Offset from) : batches_(std::move(bytes)), next_(from) {}

  // The next record at or behind the offset; false at the end.
  absl::StatusOr<bool> Next(FetchedRecord& record);

  // Where the next fetch goes on: behind every batch that has been read to its end, whatever it
  // held.
  Offset next_offset() const { return next_; }
  // How many bytes whole batches took; 0 after the end: not one whole batch was there.
  size_t position() const { return batches_.position(); }

 private:
  absl::StatusOr<bool> OpenBatch();

  BatchReader batches_;
  Offset next_;
  std::optional<BatchView> batch_;
  Slice records_;  // Of the batch, decompressed.
  std::optional<RecordReader> reader_;
};

}  // namespace millrace

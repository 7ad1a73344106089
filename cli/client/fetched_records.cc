#include "cli/client/fetched_records.h"

#include <algorithm>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/compression.h"

namespace millrace {

absl::StatusOr<bool> FetchedRecords::OpenBatch() {
  for (;;) {
    MR_ASSIGN_OR_RETURN(std::optional<BatchView> batch, batches_.Next());
    if (!batch.has_value()) return false;
    const BatchHeader& header = batch->header();
    MR_RETURN_IF_ERROR(CheckBatchFields(header));
    MR_RETURN_IF_ERROR(batch->CheckCrc());
    if (header.next_offset() <= next_) continue;
    if (header.attributes.is_control()) {
      next_ = header.next_offset();
      continue;
    }
    const Compression codec = *header.attributes.compression();  // CheckBatchFields() knows it.
    if (codec == Compression::kNone) {
      records_ = batch->bytes().From(kBatchHeaderBytes);
    } else {
      MR_ASSIGN_OR_RETURN(records_, Decompress(codec, batch->records(), kBatchOutputBytesMax));
    }
    reader_.emplace(records_.span(), header.record_count);
    batch_ = std::move(batch);
    return true;
  }
}

absl::StatusOr<bool> FetchedRecords::Next(FetchedRecord& record) {
  for (;;) {
    if (!batch_.has_value()) {
      MR_ASSIGN_OR_RETURN(bool opened, OpenBatch());
      if (!opened) return false;
    }
    const BatchHeader& header = batch_->header();
    if (!reader_->Next(record.view)) {
      MR_RETURN_IF_ERROR(reader_->status());
      next_ = std::max(next_, header.next_offset());
      batch_.reset();
      continue;
    }
    record.offset = header.base_offset + OffsetDelta(record.view.offset_delta);
    if (record.offset < next_) continue;
    if (record.offset > header.last_offset()) {
      return MakeError(ErrorKind::kInvalidRecord, "a record lies behind the end of its batch");
    }
    record.timestamp_type = header.attributes.timestamp_type();
    record.timestamp =
        record.timestamp_type == TimestampType::kLogAppendTime
            ? header.max_timestamp
            : Timestamp(static_cast<int64_t>(static_cast<uint64_t>(header.base_timestamp.ms()) +
                                             static_cast<uint64_t>(record.view.timestamp_delta)));
    next_ = record.offset + OffsetDelta(1);
    return true;
  }
}

}  // namespace millrace

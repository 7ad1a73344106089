#include "storage/record/batch_builder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

using Field = std::optional<std::span<const uint8_t>>;

void PutNumber(std::vector<uint8_t>& to, int64_t value) {
  uint8_t bytes[kVarlongBytesMax];
  uint8_t* end = WriteVarlong(bytes, value);
  to.insert(to.end(), bytes, end);
}

size_t FieldSize(const Field& field) {
  if (!field.has_value()) return VarlongSize(-1);
  return VarlongSize(static_cast<int64_t>(field->size())) + field->size();
}

void PutField(std::vector<uint8_t>& to, const Field& field) {
  PutNumber(to, field.has_value() ? static_cast<int64_t>(field->size()) : -1);
  if (field.has_value()) to.insert(to.end(), field->begin(), field->end());
}

}  // namespace

void BatchBuilder::Append(Timestamp timestamp, Field key, Field value,
                          std::span<const RecordHeaderView> headers) {
  AppendAt(last_offset_delta_ + 1, timestamp, key, value, headers);
}

void BatchBuilder::AppendAt(int32_t offset_delta, Timestamp timestamp, Field key, Field value,
                            std::span<const RecordHeaderView> headers) {
  if (record_count_ == 0) base_timestamp_ = timestamp;
  // Wraps as the reader's addition does, so that any two times can share a batch.
  int64_t timestamp_delta = static_cast<int64_t>(static_cast<uint64_t>(timestamp.ms()) -
                                                 static_cast<uint64_t>(base_timestamp_.ms()));
  size_t size = 1 + VarlongSize(timestamp_delta) + VarlongSize(offset_delta) + FieldSize(key) +
                FieldSize(value) + VarlongSize(static_cast<int64_t>(headers.size()));
  for (const RecordHeaderView& header : headers) {
    size += FieldSize(header.key) + FieldSize(header.value);
  }
  PutNumber(records_, static_cast<int64_t>(size));
  records_.push_back(0);  // Attributes.
  PutNumber(records_, timestamp_delta);
  PutNumber(records_, offset_delta);
  PutField(records_, key);
  PutField(records_, value);
  PutNumber(records_, static_cast<int64_t>(headers.size()));
  for (const RecordHeaderView& header : headers) {
    PutField(records_, header.key);
    PutField(records_, header.value);
  }
  ++record_count_;
  last_offset_delta_ = offset_delta;
  max_timestamp_ = std::max(max_timestamp_, timestamp);
}

absl::StatusOr<BatchView> BatchBuilder::Build() const {
  if (record_count_ == 0) {
    return MakeError(ErrorKind::kInvalidRecord, "A batch needs at least one record");
  }
  Compressor compressor(options_.compression, options_.levels, records_.size());
  MR_RETURN_IF_ERROR(compressor.Write(records_));
  MR_RETURN_IF_ERROR(compressor.Finish());
  const std::vector<uint8_t>& records = compressor.output();
  if (records.size() > std::numeric_limits<int32_t>::max() - kBatchHeaderBytes) {
    return MakeError(ErrorKind::kMessageTooLarge, "The batch exceeds 2 GiB");
  }
  int16_t bits =
      static_cast<int16_t>((options_.transactional ? BatchAttributes::kTransactionalBit : 0) |
                           (options_.control ? BatchAttributes::kControlBit : 0));
  BatchHeader header{
      .base_offset = options_.base_offset,
      .size_bytes = kBatchHeaderBytes + records.size(),
      .leader_epoch = options_.leader_epoch,
      .crc = 0,
      .attributes = BatchAttributes(bits).With(options_.compression).With(options_.timestamp_type),
      .last_offset_delta = last_offset_delta_,
      .base_timestamp = base_timestamp_,
      .max_timestamp = max_timestamp_,
      .producer = options_.producer,
      .record_count = record_count_,
  };
  MutableBuffer buffer(header.size_bytes);
  std::memcpy(buffer.data() + kBatchHeaderBytes, records.data(), records.size());
  SealBatch(header, {buffer.data(), header.size_bytes});
  return BatchView(std::move(buffer).Freeze(header.size_bytes), header);
}

}  // namespace millrace

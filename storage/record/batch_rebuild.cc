#include "storage/record/batch_rebuild.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/record_stream.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

// The head of a record whose rest is copied behind it.
std::span<const uint8_t> EncodeHead(const RecordHead& head, int32_t offset_delta,
                                    std::span<uint8_t> buffer) {
  size_t body_bytes =
      1 + VarlongSize(head.timestamp_delta) + VarlongSize(offset_delta) + head.rest_bytes;
  uint8_t* at = WriteVarlong(buffer.data(), static_cast<int64_t>(body_bytes));
  *at++ = 0;  // Attributes.
  at = WriteVarlong(at, head.timestamp_delta);
  at = WriteVarlong(at, offset_delta);
  return buffer.first(static_cast<size_t>(at - buffer.data()));
}

}  // namespace

absl::StatusOr<BatchView> RebuildBatch(const BatchView& batch, const RebuildOptions& options,
                                       Decompressor& decompressor) {
  BatchHeader header = batch.header();
  size_t records_bytes_max =
      options.batch_bytes_max < kBatchHeaderBytes ? 0 : options.batch_bytes_max - kBatchHeaderBytes;
  Compressor compressor(options.compression, options.levels, header.size_bytes, records_bytes_max);
  RecordStream stream(decompressor);
  stream.Start(header.attributes.compression().value_or(Compression::kNone), batch.records(),
               header.record_count, options.uncompressed_bytes_max);
  RecordHead head;
  uint8_t buffer[4 * kVarlongBytesMax];
  for (int32_t i = 0; stream.Next(head); ++i) {
    MR_RETURN_IF_ERROR(compressor.Write(EncodeHead(head, i, buffer)));
    MR_RETURN_IF_ERROR(stream.CopyRest(compressor));
  }
  MR_RETURN_IF_ERROR(stream.Finish());
  MR_RETURN_IF_ERROR(compressor.Finish());

  const std::vector<uint8_t>& records = compressor.output();
  header.size_bytes = kBatchHeaderBytes + records.size();
  header.attributes = header.attributes.With(options.compression).With(options.timestamp_type);
  header.max_timestamp = options.max_timestamp;
  MutableBuffer buffer_out(header.size_bytes);
  std::memcpy(buffer_out.data() + kBatchHeaderBytes, records.data(), records.size());
  SealBatch(header, {buffer_out.data(), header.size_bytes});
  return BatchView(std::move(buffer_out).Freeze(header.size_bytes), header);
}

}  // namespace millrace

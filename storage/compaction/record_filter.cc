#include "storage/compaction/record_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "storage/record/batch_validator.h"
#include "storage/record/record.h"
#include "storage/record/transaction_marker.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

absl::Status Unreadable(const BatchHeader& header, const absl::Status& why) {
  return absl::DataLossError(
      fmt::format("the batch at {}: {}", header.base_offset, std::string(why.message())));
}

// Timestamps and their deltas come from clients: they wrap instead of overflowing.
int64_t Add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t Subtract(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

void AppendRecord(const RecordView& record, int64_t timestamp_delta, std::vector<uint8_t>& to) {
  uint8_t head[3 * kVarlongBytesMax + 1];
  const size_t body_bytes =
      1 + VarlongSize(timestamp_delta) + VarlongSize(record.offset_delta) + record.rest.size();
  uint8_t* at = WriteVarlong(head, static_cast<int64_t>(body_bytes));
  *at++ = 0;  // Attributes.
  at = WriteVarlong(at, timestamp_delta);
  at = WriteVarlong(at, record.offset_delta);
  to.insert(to.end(), head, at);
  to.insert(to.end(), record.rest.begin(), record.rest.end());
}

BatchView Sealed(BatchHeader header, std::span<const uint8_t> records) {
  header.size_bytes = kBatchHeaderBytes + records.size();
  MutableBuffer buffer(header.size_bytes);
  if (!records.empty()) {
    std::memcpy(buffer.data() + kBatchHeaderBytes, records.data(), records.size());
  }
  SealBatch(header, {buffer.data(), header.size_bytes});
  return BatchView(std::move(buffer).Freeze(header.size_bytes), header);
}

// The header alone: it still says how far the offsets go, and what its producer wrote last.
BatchView Emptied(BatchHeader header) {
  header.attributes = BatchAttributes(static_cast<int16_t>(
      header.attributes.With(Compression::kNone).bits() & ~BatchAttributes::kDeleteHorizonBit));
  header.base_timestamp = header.max_timestamp;
  header.record_count = 0;
  return Sealed(header, {});
}

void SetHorizon(BatchHeader& header, Timestamp horizon) {
  header.base_timestamp = horizon;
  header.attributes = BatchAttributes(
      static_cast<int16_t>(header.attributes.bits() | BatchAttributes::kDeleteHorizonBit));
}

// A marker as it is, with a horizon.
absl::StatusOr<BatchView> WithHorizon(const BatchView& batch, Timestamp horizon) {
  BatchHeader header = batch.header();
  std::vector<uint8_t> records;
  RecordReader reader(batch.records(), header.record_count);
  for (RecordView record; reader.Next(record);) {
    const int64_t at = Add(header.base_timestamp.ms(), record.timestamp_delta);
    AppendRecord(record, Subtract(at, horizon.ms()), records);
  }
  if (!reader.status().ok()) return Unreadable(header, reader.status());
  SetHorizon(header, horizon);
  return Sealed(header, records);
}

absl::StatusOr<BatchView> Rebuilt(BatchHeader header, std::span<const uint8_t> records) {
  const Compression codec = header.attributes.compression().value_or(Compression::kNone);
  if (codec == Compression::kNone) return Sealed(header, records);
  Compressor compressor(codec, CompressionLevels{}, records.size());
  absl::Status written = compressor.Write(records);
  if (written.ok()) written = compressor.Finish();
  // Of this log alone: its directory has nothing to do with it.
  if (!written.ok()) {
    return absl::DataLossError(fmt::format("the batch at {} cannot be compressed again: {}",
                                           header.base_offset, std::string(written.message())));
  }
  return Sealed(header, compressor.output());
}

}  // namespace

absl::StatusOr<std::span<const uint8_t>> BatchUnpacker::Unpack(const BatchView& batch) {
  const BatchHeader& header = batch.header();
  const Compression codec = header.attributes.compression().value_or(Compression::kNone);
  if (codec == Compression::kNone || header.record_count == 0) return batch.records();
  bytes_.clear();
  decompressor_.Start(codec, batch.records(), UncompressedBytesMax(header.size_bytes));
  for (;;) {
    absl::StatusOr<std::span<const uint8_t>> chunk = decompressor_.Next();
    if (!chunk.ok()) return Unreadable(header, chunk.status());
    if (chunk->empty()) return std::span<const uint8_t>(bytes_);
    bytes_.insert(bytes_.end(), chunk->begin(), chunk->end());
  }
}

absl::StatusOr<bool> KeyCollector::Add(const BatchView& batch) {
  const BatchHeader& header = batch.header();
  bool whole = true;
  if (header.attributes.is_control()) {
    absl::StatusOr<std::optional<TransactionMarker>> marker = ParseTransactionMarker(batch);
    if (!marker.ok()) return Unreadable(header, marker.status());
    if (marker->has_value()) transactions_.OnMarker(header, (*marker)->commit);
  } else if (!transactions_.OnData(header) && header.next_offset() > begin_) {
    MR_ASSIGN_OR_RETURN(whole, AddRecords(batch));
  }
  if (whole) end_ = std::max(end_, header.next_offset());
  return whole;
}

absl::StatusOr<bool> KeyCollector::AddRecords(const BatchView& batch) {
  const BatchHeader& header = batch.header();
  MR_ASSIGN_OR_RETURN(std::span<const uint8_t> records, unpacker_.Unpack(batch));
  RecordReader reader(records, header.record_count);
  for (RecordView record; reader.Next(record);) {
    const Offset offset = header.base_offset + OffsetDelta(record.offset_delta);
    if (offset < begin_ || !record.key.has_value()) continue;
    if (!map_.Put(*record.key, offset)) {
      end_ = std::max(end_, offset);
      return false;
    }
  }
  if (!reader.status().ok()) return Unreadable(header, reader.status());
  return true;
}

bool RecordFilter::IsLastOfProducer(const BatchHeader& header) const {
  if (!header.producer) return false;
  auto found = options_.producers.find(header.producer->id);
  if (found == options_.producers.end()) return false;
  if (found->second.data) return header.last_offset() == *found->second.data;
  // All that is left of it is a marker, which has its epoch.
  return header.attributes.is_control() && header.producer->epoch == found->second.epoch;
}

std::optional<Timestamp> RecordFilter::NewHorizon(const BatchHeader& header) const {
  if (header.attributes.has_delete_horizon()) return std::nullopt;
  int64_t at = 0;
  if (__builtin_add_overflow(options_.now.ms(), options_.delete_retention_ms, &at)) {
    at = std::numeric_limits<int64_t>::max();
  }
  return Timestamp(at);
}

absl::StatusOr<std::optional<BatchView>> RecordFilter::Filter(const BatchView& batch, bool last) {
  const BatchHeader& header = batch.header();
  if (header.attributes.is_control()) return FilterMarker(batch, last);
  const bool aborted = transactions_.OnData(header);
  if (header.base_offset >= options_.map_end) return batch;
  const bool stays = last || IsLastOfProducer(header);
  Verdict verdict;
  std::optional<Timestamp> horizon;
  std::span<const uint8_t> records;
  if (!aborted && header.record_count > 0) {
    MR_ASSIGN_OR_RETURN(records, unpacker_.Unpack(batch));
    MR_ASSIGN_OR_RETURN(verdict, Judge(batch, records, std::nullopt, /*copy=*/false));
    // What the map does not know may still have older values in front of it.
    if (verdict.tombstones && header.next_offset() <= options_.map_end) {
      horizon = NewHorizon(header);
    }
  }
  records_removed_ += static_cast<uint64_t>(header.record_count - verdict.kept);
  if (verdict.kept == 0) {
    if (!stays) return std::nullopt;
    if (header.record_count == 0) return batch;
    return Emptied(header);
  }
  if (verdict.kept == header.record_count && !horizon) return batch;
  MR_ASSIGN_OR_RETURN(verdict, Judge(batch, records, horizon, /*copy=*/true));
  BatchHeader written = header;
  if (horizon) SetHorizon(written, *horizon);
  written.record_count = verdict.kept;
  if (header.attributes.timestamp_type() == TimestampType::kCreateTime) {
    written.max_timestamp = verdict.newest;
  }
  return Rebuilt(written, verdict.records);
}

absl::StatusOr<RecordFilter::Verdict> RecordFilter::Judge(const BatchView& batch,
                                                          std::span<const uint8_t> records,
                                                          std::optional<Timestamp> horizon,
                                                          bool copy) {
  const BatchHeader& header = batch.header();
  Verdict verdict;
  if (copy) verdict.records.reserve(records.size());
  RecordReader reader(records, header.record_count);
  for (RecordView record; reader.Next(record);) {
    if (!Survives(header, record)) continue;
    ++verdict.kept;
    verdict.tombstones = verdict.tombstones || !record.value.has_value();
    const int64_t at = Add(header.base_timestamp.ms(), record.timestamp_delta);
    verdict.newest = std::max(verdict.newest, Timestamp(at));
    if (!copy) continue;
    AppendRecord(record, horizon ? Subtract(at, horizon->ms()) : record.timestamp_delta,
                 verdict.records);
  }
  if (!reader.status().ok()) return Unreadable(header, reader.status());
  return verdict;
}

bool RecordFilter::Survives(const BatchHeader& header, const RecordView& record) const {
  const Offset offset = header.base_offset + OffsetDelta(record.offset_delta);
  if (offset >= options_.map_end) return true;
  if (!record.key.has_value()) return false;
  const std::optional<Offset> latest = map_.Find(*record.key);
  if (latest && offset < *latest) return false;
  if (record.value.has_value()) return true;
  return !header.attributes.has_delete_horizon() || options_.now < header.base_timestamp;
}

absl::StatusOr<std::optional<BatchView>> RecordFilter::FilterMarker(const BatchView& batch,
                                                                    bool last) {
  const BatchHeader& header = batch.header();
  absl::StatusOr<std::optional<TransactionMarker>> marker = ParseTransactionMarker(batch);
  if (!marker.ok()) return Unreadable(header, marker.status());
  TransactionTrack::Marker ends{header.record_count == 0, std::nullopt};
  if (marker->has_value()) ends = transactions_.OnMarker(header, (*marker)->commit);
  const bool known = header.next_offset() <= options_.map_end;
  std::optional<BatchView> kept = batch;
  if (known && ends.ends_nothing && !last && !IsLastOfProducer(header)) {
    const bool due =
        header.attributes.has_delete_horizon() && options_.now >= header.base_timestamp;
    if (due || header.record_count == 0) {
      kept = std::nullopt;
    } else if (std::optional<Timestamp> horizon = NewHorizon(header)) {
      MR_ASSIGN_OR_RETURN(kept, WithHorizon(batch, *horizon));
    }
  }
  if (!kept) records_removed_ += static_cast<uint64_t>(header.record_count);
  if (kept && ends.aborted) aborted_.push_back(*ends.aborted);
  return kept;
}

}  // namespace millrace

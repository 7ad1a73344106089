#include "storage/record/record_batch.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

// Where each field starts; the table in the header.
constexpr size_t kLengthAt = 8;
constexpr size_t kLeaderEpochAt = 12;
constexpr size_t kMagicAt = 16;
constexpr size_t kCrcAt = 17;
constexpr size_t kAttributesAt = 21;
constexpr size_t kLastOffsetDeltaAt = 23;
constexpr size_t kBaseTimestampAt = 27;
constexpr size_t kMaxTimestampAt = 35;
constexpr size_t kProducerIdAt = 43;
constexpr size_t kProducerEpochAt = 51;
constexpr size_t kBaseSequenceAt = 53;
constexpr size_t kRecordCountAt = 57;
static_assert(kRecordCountAt + sizeof(int32_t) == kBatchHeaderBytes);
static_assert(kMagicAt + 1 == kBatchMagicEnd);

constexpr int64_t kSequences = int64_t{1} << 31;

absl::Status Corrupt(std::string message) {
  return MakeError(ErrorKind::kCorruptMessage, std::move(message));
}

}  // namespace

const char* CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kGzip:
      return "gzip";
    case Compression::kSnappy:
      return "snappy";
    case Compression::kLz4:
      return "lz4";
    case Compression::kZstd:
      return "zstd";
  }
  return "unknown";
}

Sequence AdvanceSequence(Sequence sequence, int32_t count) {
  return Sequence(static_cast<int32_t>((int64_t{sequence.value()} + count) % kSequences));
}

Sequence RewindSequence(Sequence sequence, int32_t count) {
  return Sequence(
      static_cast<int32_t>((int64_t{sequence.value()} + kSequences - count) % kSequences));
}

Sequence BatchHeader::last_sequence() const {
  return AdvanceSequence(*producer->base_sequence, last_offset_delta);
}

absl::StatusOr<BatchHeader> ParseBatchHeader(std::span<const uint8_t> bytes) {
  if (bytes.size() < kBatchMagicEnd) {
    return Corrupt(fmt::format("{} bytes are too few for a record batch", bytes.size()));
  }
  const uint8_t* at = bytes.data();
  int8_t magic = static_cast<int8_t>(at[kMagicAt]);
  if (magic != 2) {
    return MakeError(ErrorKind::kInvalidRecord,
                     fmt::format("Record batch has magic {}, only magic 2 is accepted", magic));
  }
  int32_t length = LoadBig<int32_t>(at + kLengthAt);
  if (length < static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthOverhead)) {
    return Corrupt(fmt::format("Record batch says it is {} bytes long, less than its header",
                               length + static_cast<int64_t>(kBatchLengthOverhead)));
  }
  if (bytes.size() < kBatchHeaderBytes) {
    return Corrupt(fmt::format("{} bytes are too few for a record batch header", bytes.size()));
  }
  int32_t leader_epoch = LoadBig<int32_t>(at + kLeaderEpochAt);
  int64_t producer_id = LoadBig<int64_t>(at + kProducerIdAt);
  int32_t base_sequence = LoadBig<int32_t>(at + kBaseSequenceAt);
  BatchHeader header{
      .base_offset = Offset(LoadBig<int64_t>(at)),
      .size_bytes = static_cast<size_t>(length) + kBatchLengthOverhead,
      .leader_epoch = std::nullopt,
      .crc = LoadBig<uint32_t>(at + kCrcAt),
      .attributes = BatchAttributes(LoadBig<int16_t>(at + kAttributesAt)),
      .last_offset_delta = LoadBig<int32_t>(at + kLastOffsetDeltaAt),
      .base_timestamp = Timestamp(LoadBig<int64_t>(at + kBaseTimestampAt)),
      .max_timestamp = Timestamp(LoadBig<int64_t>(at + kMaxTimestampAt)),
      .producer = std::nullopt,
      .record_count = LoadBig<int32_t>(at + kRecordCountAt),
  };
  if (leader_epoch >= 0) header.leader_epoch = LeaderEpoch(leader_epoch);
  if (producer_id >= 0) {
    header.producer = BatchProducer{
        .id = ProducerId(producer_id),
        .epoch = ProducerEpoch(LoadBig<int16_t>(at + kProducerEpochAt)),
        .base_sequence = std::nullopt,
    };
    if (base_sequence >= 0) header.producer->base_sequence = Sequence(base_sequence);
  }
  return header;
}

absl::Status CheckBatchFields(const BatchHeader& header) {
  if (header.base_offset.value() < 0 || header.last_offset_delta < 0 ||
      header.base_offset.value() >
          std::numeric_limits<int64_t>::max() - int64_t{header.last_offset_delta} - 1) {
    return Corrupt(fmt::format("Record batch has the impossible offsets {} + {}",
                               header.base_offset, header.last_offset_delta));
  }
  // Compaction leaves gaps, down to a header without records.
  if (header.record_count < 0 || header.record_count > int64_t{header.last_offset_delta} + 1) {
    return Corrupt(fmt::format("Record batch at offset {} has {} records in {} offsets",
                               header.base_offset, header.record_count,
                               int64_t{header.last_offset_delta} + 1));
  }
  if (!header.attributes.compression().has_value()) {
    return Corrupt(fmt::format("Record batch at offset {} has the unknown codec {}",
                               header.base_offset,
                               header.attributes.bits() & BatchAttributes::kCodecMask));
  }
  return absl::OkStatus();
}

uint32_t ComputeBatchCrc(std::span<const uint8_t> batch) {
  return Crc32c(batch.subspan(kAttributesAt));
}

absl::StatusOr<BatchView> BatchView::Parse(const Slice& bytes) {
  MR_ASSIGN_OR_RETURN(BatchHeader header, ParseBatchHeader(bytes.span()));
  if (bytes.size() < header.size_bytes) {
    return Corrupt(fmt::format("Record batch says it is {} bytes long, {} are there",
                               header.size_bytes, bytes.size()));
  }
  return BatchView(bytes.Sub(0, header.size_bytes), header);
}

absl::Status BatchView::CheckCrc() const {
  uint32_t computed = ComputeBatchCrc(bytes_.span());
  if (computed == header_.crc) return absl::OkStatus();
  return Corrupt(
      fmt::format("Record is corrupt (stored crc = {}, computed crc = {})", header_.crc, computed));
}

absl::StatusOr<std::optional<BatchView>> BatchReader::Next() {
  size_t left = bytes_.size() - position_;
  if (left < kBatchHeaderBytes) return std::nullopt;
  MR_ASSIGN_OR_RETURN(BatchHeader header, ParseBatchHeader(bytes_.span().subspan(position_)));
  if (left < header.size_bytes) return std::nullopt;
  BatchView view(bytes_.Sub(position_, header.size_bytes), header);
  position_ += header.size_bytes;
  return view;
}

void BatchView::SetBaseOffset(Offset base_offset) {
  StoreBig<int64_t>(bytes_.Patch(), base_offset.value());
  header_.base_offset = base_offset;
}

void BatchView::SetLeaderEpoch(LeaderEpoch epoch) {
  StoreBig<int32_t>(bytes_.Patch() + kLeaderEpochAt, epoch.value());
  header_.leader_epoch = epoch;
}

void BatchView::SetMaxTimestamp(TimestampType type, Timestamp max_timestamp) {
  if (header_.attributes.timestamp_type() == type && header_.max_timestamp == max_timestamp) return;
  header_.attributes = header_.attributes.With(type);
  header_.max_timestamp = max_timestamp;
  uint8_t* at = bytes_.Patch();
  StoreBig<int16_t>(at + kAttributesAt, header_.attributes.bits());
  StoreBig<int64_t>(at + kMaxTimestampAt, max_timestamp.ms());
  header_.crc = ComputeBatchCrc(bytes_.span());
  StoreBig<uint32_t>(at + kCrcAt, header_.crc);
}

void WriteBatchHeader(const BatchHeader& header, uint8_t* at) {
  StoreBig<int64_t>(at, header.base_offset.value());
  StoreBig<int32_t>(at + kLengthAt, static_cast<int32_t>(header.size_bytes - kBatchLengthOverhead));
  StoreBig<int32_t>(at + kLeaderEpochAt, header.leader_epoch ? header.leader_epoch->value() : -1);
  at[kMagicAt] = 2;
  StoreBig<uint32_t>(at + kCrcAt, header.crc);
  StoreBig<int16_t>(at + kAttributesAt, header.attributes.bits());
  StoreBig<int32_t>(at + kLastOffsetDeltaAt, header.last_offset_delta);
  StoreBig<int64_t>(at + kBaseTimestampAt, header.base_timestamp.ms());
  StoreBig<int64_t>(at + kMaxTimestampAt, header.max_timestamp.ms());
  bool sequenced = header.producer.has_value() && header.producer->base_sequence.has_value();
  StoreBig<int64_t>(at + kProducerIdAt, header.producer ? header.producer->id.value() : -1);
  StoreBig<int16_t>(at + kProducerEpochAt,
                    header.producer ? header.producer->epoch.value() : int16_t{-1});
  StoreBig<int32_t>(at + kBaseSequenceAt, sequenced ? header.producer->base_sequence->value() : -1);
  StoreBig<int32_t>(at + kRecordCountAt, header.record_count);
}

void SealBatch(BatchHeader& header, std::span<uint8_t> batch) {
  MR_CHECK(batch.size() == header.size_bytes);
  WriteBatchHeader(header, batch.data());
  header.crc = ComputeBatchCrc(batch);
  StoreBig<uint32_t>(batch.data() + kCrcAt, header.crc);
}

}  // namespace millrace

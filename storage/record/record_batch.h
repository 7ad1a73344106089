// The header of a v2 record batch, and ways to walk and patch batches without copying them.
//
// A batch is 61 bytes of header and then its records, as one compressed block if it has a codec.
// The CRC covers everything behind itself, so base offset and leader epoch may be set without
// touching it.
//
//    0 base offset (8)      16 magic = 2 (1)             27 base timestamp (8)    53 base sequence
//    (4) 8 batch length (4)     17 CRC-32C of 21.. (4)       35 max timestamp (8)     57 record
//    count (4)
//   12 leader epoch (4)     21 attributes (2)            43 producer id (8)       61 records
//                           23 last offset delta (4)     51 producer epoch (2)
//
// Shard:    any; everything here is a value or pure.
// Lifetime: a BatchView keeps the block of its bytes alive.
// Units:    sizes are bytes of the whole batch, header included; timestamps are milliseconds.
// Errors:   kCorruptMessage for bytes that are no batch, kInvalidRecord for another magic. What a
// caller
//           reads from its own disk it reports as kDataLoss.
// Source:   KIP-98; the log format of Apache Kafka 4.4.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/record_types.h"
#include "common/time.h"

namespace millrace {

inline constexpr size_t kBatchHeaderBytes = 61;
// What the length field does not count: base offset and itself.
inline constexpr size_t kBatchLengthOverhead = 12;
// Enough of any message format to see its length and its magic.
inline constexpr size_t kBatchMagicEnd = 17;

// "This record carries no time." A time and not an absence, because readers do arithmetic on base
// timestamps and Kafka lets other negative values through.
inline constexpr Timestamp kNoTimestamp{-1};

enum class Compression : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

// The name that topic configs and tools use: none, gzip, snappy, lz4, zstd.
const char* CompressionName(Compression compression);

class BatchAttributes {
 public:
  static constexpr int16_t kCodecMask = 0x07;
  static constexpr int16_t kLogAppendTimeBit = 0x08;
  static constexpr int16_t kTransactionalBit = 0x10;
  static constexpr int16_t kControlBit = 0x20;
  static constexpr int16_t kDeleteHorizonBit = 0x40;

  constexpr explicit BatchAttributes(int16_t bits) : bits_(bits) {}
  constexpr int16_t bits() const { return bits_; }

  // Nothing for the codec numbers 5 to 7, which no version of the format defines.
  constexpr std::optional<Compression> compression() const {
    int codec = bits_ & kCodecMask;
    if (codec > static_cast<int>(Compression::kZstd)) return std::nullopt;
    return static_cast<Compression>(codec);
  }
  constexpr TimestampType timestamp_type() const {
    return (bits_ & kLogAppendTimeBit) != 0 ? TimestampType::kLogAppendTime
                                            : TimestampType::kCreateTime;
  }
  constexpr bool is_transactional() const { return (bits_ & kTransactionalBit) != 0; }
  constexpr bool is_control() const { return (bits_ & kControlBit) != 0; }
  // The base timestamp then is the time from which tombstones and abort markers may go (KIP-534).
  constexpr bool has_delete_horizon() const { return (bits_ & kDeleteHorizonBit) != 0; }

  constexpr BatchAttributes With(Compression compression) const {
    return BatchAttributes(
        static_cast<int16_t>((bits_ & ~kCodecMask) | static_cast<int16_t>(compression)));
  }
  constexpr BatchAttributes With(TimestampType type) const {
    return BatchAttributes(
        static_cast<int16_t>((bits_ & ~kLogAppendTimeBit) | (static_cast<int16_t>(type) << 3)));
  }

  friend constexpr bool operator==(BatchAttributes, BatchAttributes) = default;

 private:
  int16_t bits_;
};

// Who wrote an idempotent or transactional batch. Transaction markers have no sequence.
struct BatchProducer {
  ProducerId id;
  ProducerEpoch epoch;
  std::optional<Sequence> base_sequence;
  friend constexpr bool operator==(const BatchProducer&, const BatchProducer&) = default;
};

struct BatchHeader {
  Offset base_offset;
  size_t size_bytes;  // Of the whole batch.
  std::optional<LeaderEpoch> leader_epoch;
  uint32_t crc;
  BatchAttributes attributes;
  int32_t last_offset_delta;
  Timestamp base_timestamp;
  Timestamp max_timestamp;
  std::optional<BatchProducer> producer;
  int32_t record_count;

  Offset last_offset() const { return base_offset + OffsetDelta(last_offset_delta); }
  Offset next_offset() const { return last_offset() + OffsetDelta(1); }
  // The sequence of the last record, modulo 2^31. REQUIRES: producer with a base sequence.
  Sequence last_sequence() const;
};

// Reads a header. Of `bytes`, at least the header must be there; the records may be missing.
// Counts and deltas come back as they stand in the bytes: whether they make sense is said by
// CheckBatchFields (our own logs, peers) or by the validator (clients), which words it as Kafka
// does.
absl::StatusOr<BatchHeader> ParseBatchHeader(std::span<const uint8_t> bytes);

// kCorruptMessage if the header of a stored batch cannot be one a leader wrote: negative offset,
// count or delta, a count above the offset span, or an unknown codec.
absl::Status CheckBatchFields(const BatchHeader& header);

// The CRC as it should be. REQUIRES: `batch` is one whole batch.
uint32_t ComputeBatchCrc(std::span<const uint8_t> batch);

// One whole batch: header already parsed, bytes not looked at beyond that.
class BatchView {
 public:
  // Takes the first batch of `bytes`, which must hold all of it.
  static absl::StatusOr<BatchView> Parse(const Slice& bytes);
  BatchView(Slice bytes, BatchHeader header) : bytes_(std::move(bytes)), header_(header) {}

  const BatchHeader& header() const { return header_; }
  const Slice& bytes() const { return bytes_; }
  // Behind the header; compressed if the batch is.
  std::span<const uint8_t> records() const { return bytes_.span().subspan(kBatchHeaderBytes); }

  // kCorruptMessage, naming both values.
  absl::Status CheckCrc() const;

  // These change the bytes in place and header() with them. REQUIRES: nobody else uses these bytes
  // yet.
  void SetBaseOffset(Offset base_offset);  // Outside the CRC.
  void SetLeaderEpoch(LeaderEpoch epoch);  // Outside the CRC.
  // A pass over the batch for its CRC, unless nothing changes.
  void SetMaxTimestamp(TimestampType type, Timestamp max_timestamp);

 private:
  Slice bytes_;
  BatchHeader header_;
};

// Batches back to back, as in a segment, a Fetch answer or a replication frame.
//
// A batch that is cut off by the end of the bytes ends the walk and is no error: the reader of a
// file asks for more, recovery cuts it off. position() tells the two apart.
class BatchReader {
 public:
  explicit BatchReader(Slice bytes) : bytes_(std::move(bytes)) {}

  // The next whole batch, or nothing when no further whole batch is there.
  absl::StatusOr<std::optional<BatchView>> Next();

  // Where the next batch starts; after the end, how many bytes whole batches took.
  size_t position() const { return position_; }

 private:
  Slice bytes_;
  size_t position_ = 0;
};

// Writes the 61 bytes at `at`; header.size_bytes and header.crc as they stand.
void WriteBatchHeader(const BatchHeader& header, uint8_t* at);

// Writes the header in front of records that are already in place, with the CRC over all of it,
// which is also set in `header`. REQUIRES: batch.size() == header.size_bytes.
void SealBatch(BatchHeader& header, std::span<uint8_t> batch);

// The sequence `count` records after `sequence`: after 2147483647 comes 0. REQUIRES: count >= 0.
Sequence AdvanceSequence(Sequence sequence, int32_t count);
// The sequence `count` records before.
Sequence RewindSequence(Sequence sequence, int32_t count);

}  // namespace millrace

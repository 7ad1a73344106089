// The records inside an uncompressed v2 batch, walked in place: no copy, no allocation.
//
// Shard:    any; pure.
// Lifetime: views point into the bytes given to the reader.
// Errors:   kInvalidRecord, once; a reader that failed stays failed. Every length is checked
// against the
//           record it lies in before it is used, so hostile bytes cost no more than reading them.
// Source:   KIP-98. record = varint size, int8 attributes (unused), varlong timestamp delta, varint
// offset
//           delta, varint key size (-1 null), key, varint value size (-1 null), value, varint
//           header count, headers = varint key size, key, varint value size (-1 null), value.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace millrace {

struct RecordHeaderView {
  std::span<const uint8_t> key;
  std::optional<std::span<const uint8_t>> value;
};

struct RecordView {
  int64_t timestamp_delta = 0;  // Milliseconds from the batch's base timestamp.
  int32_t offset_delta = 0;     // From the batch's base offset.
  std::optional<std::span<const uint8_t>> key;
  std::optional<std::span<const uint8_t>> value;
  int32_t header_count = 0;
  std::span<const uint8_t> headers;  // Encoded; HeaderReader walks them.
  std::span<const uint8_t> rest;     // Key, value and headers, encoded.
};

// Why a record was refused, in the words of Kafka's broker; null if it was not.
using RecordFault = const char*;

// Parses what follows a record's offset delta (key, value, headers) and must fill `bytes` exactly.
RecordFault ParseRecordRest(std::span<const uint8_t> bytes, RecordView& record);

// Walks the records of one batch.
class RecordReader {
 public:
  // `records` as in BatchView::records() (or decompressed), `count` as in the batch header.
  RecordReader(std::span<const uint8_t> records, int32_t count)
      : at_(records.data()), end_(records.data() + records.size()), count_(count) {}

  // The next record. False at the end or at an error: then status() tells which.
  bool Next(RecordView& record);

  // OK while all is well; after the last record, also that nothing lies behind it.
  absl::Status status() const;

  // How many records were read.
  int32_t index() const { return index_; }

 private:
  bool Fail(RecordFault fault) {
    fault_ = fault;
    return false;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  int32_t count_;
  int32_t index_ = 0;
  RecordFault fault_ = nullptr;
};

// Walks the headers of a record that RecordReader returned. Cannot fail: that reader has checked
// them.
class HeaderReader {
 public:
  explicit HeaderReader(const RecordView& record)
      : at_(record.headers.data()),
        end_(record.headers.data() + record.headers.size()),
        left_(record.header_count) {}

  std::optional<RecordHeaderView> Next();

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  int32_t left_;
};

}  // namespace millrace

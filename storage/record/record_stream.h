// The records of a batch as they come out of a Decompressor: each one may be cut into several
// chunks.
//
// Only heads are put together; keys and values are checked and passed over (or passed on) where
// they lie, so that a record of any size costs one chunk of memory.
//
// Use:      Start(); then for each record Next(), followed by either SkipRest() or CopyRest(); then
// Finish(). Shard:    owned by one shard, as the Decompressor is. Lifetime: `decompressor` must
// outlive it; the input given to Start() until Finish(). Errors:   kInvalidRecord, worded as
// RecordReader's; what the decompressor says.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/record/compression.h"
#include "storage/record/record.h"

namespace millrace {

struct RecordHead {
  int64_t timestamp_delta = 0;
  int32_t offset_delta = 0;
  size_t rest_bytes = 0;  // Key, value and headers, encoded.
};

// Checks key, value and headers of one record as they arrive in pieces.
class RecordRestScanner {
 public:
  // Null if all is well so far.
  RecordFault Feed(std::span<const uint8_t> bytes);
  // After the last piece.
  RecordFault Finish() const;
  bool has_key() const { return has_key_; }

 private:
  enum class State : uint8_t {
    kKeySize,
    kKey,
    kValueSize,
    kValue,
    kHeaderCount,
    kHeaderKeySize,
    kHeaderKey,
    kHeaderValueSize,
    kHeaderValue,
    kEnd,
  };

  RecordFault TakeNumber(int32_t number);
  void EnterHeader() { state_ = headers_left_ > 0 ? State::kHeaderKeySize : State::kEnd; }

  State state_ = State::kKeySize;
  uint8_t number_[5] = {};  // The bytes of a varint that is not whole yet.
  uint8_t number_bytes_ = 0;
  bool has_key_ = false;
  int32_t headers_left_ = 0;
  size_t skip_ = 0;  // Of the field that is being passed over.
};

class RecordStream {
 public:
  explicit RecordStream(Decompressor& decompressor) : decompressor_(decompressor) {}

  // `count` as in the batch header.
  void Start(Compression compression, std::span<const uint8_t> records, int32_t count,
             size_t output_bytes_max);

  // The next record's head. False after the last one or at an error: status() tells which.
  bool Next(RecordHead& head);
  // Checks the rest of the record and says whether it has a key. False at an error.
  bool SkipRest(bool& has_key);
  // Passes the rest of the record on unchecked.
  absl::Status CopyRest(Compressor& to);

  // OK while all is well; after the last record this reads to the end of the input, so that it also
  // says whether anything is left over and whether the codec's own checksum holds.
  absl::Status Finish();
  const absl::Status& status() const { return status_; }

 private:
  bool Fail(RecordFault fault);
  // Makes `chunk_` non-empty. False at the end of the output or at an error.
  bool Refill();
  // Reads a head whose bytes may lie in several chunks.
  bool NextAcrossChunks(RecordHead& head);
  // One byte of the output. False at its end or at an error.
  bool TakeByte(uint8_t& byte);
  // The bytes of one varint or varlong; returns how many, 0 at the end or at an error.
  size_t TakeNumber(std::span<uint8_t> bytes);

  Decompressor& decompressor_;
  std::span<const uint8_t> chunk_;  // Decompressed and not used yet.
  int32_t count_ = 0;
  int32_t index_ = 0;
  size_t rest_bytes_ = 0;  // Of the current record, not yet skipped or copied.
  absl::Status status_;
};

}  // namespace millrace

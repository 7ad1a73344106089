#include "storage/record/record_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

constexpr size_t kHeadBytesMax = kVarintBytesMax + 1 + kVarlongBytesMax + kVarintBytesMax;
constexpr char kRecordsEndEarly[] = "the records end before the number the batch header gives";

}  // namespace

RecordFault RecordRestScanner::TakeNumber(int32_t number) {
  bool nullable = state_ != State::kHeaderKeySize && state_ != State::kHeaderCount;
  if (number < (nullable ? -1 : 0)) {
    return state_ == State::kHeaderCount ? "negative number of record headers"
                                         : "negative length of a key or value";
  }
  skip_ = static_cast<size_t>(std::max(number, 0));
  switch (state_) {
    case State::kKeySize:
      has_key_ = number >= 0;
      state_ = State::kKey;
      break;
    case State::kValueSize:
      state_ = State::kValue;
      break;
    case State::kHeaderCount:
      skip_ = 0;
      headers_left_ = number;
      EnterHeader();
      break;
    case State::kHeaderKeySize:
      state_ = State::kHeaderKey;
      break;
    case State::kHeaderValueSize:
      state_ = State::kHeaderValue;
      break;
    case State::kKey:
    case State::kValue:
    case State::kHeaderKey:
    case State::kHeaderValue:
    case State::kEnd:
      break;
  }
  return nullptr;
}

RecordFault RecordRestScanner::Feed(std::span<const uint8_t> bytes) {
  while (true) {
    switch (state_) {
      case State::kKey:
      case State::kValue:
      case State::kHeaderKey:
      case State::kHeaderValue: {
        size_t passed = std::min(skip_, bytes.size());
        skip_ -= passed;
        bytes = bytes.subspan(passed);
        if (skip_ > 0) return nullptr;
        if (state_ == State::kKey) {
          state_ = State::kValueSize;
        } else if (state_ == State::kValue) {
          state_ = State::kHeaderCount;
        } else if (state_ == State::kHeaderKey) {
          state_ = State::kHeaderValueSize;
        } else {
          --headers_left_;
          EnterHeader();
        }
        break;
      }
      case State::kKeySize:
      case State::kValueSize:
      case State::kHeaderCount:
      case State::kHeaderKeySize:
      case State::kHeaderValueSize: {
        if (bytes.empty()) return nullptr;
        number_[number_bytes_++] = bytes[0];
        bytes = bytes.subspan(1);
        if (number_[number_bytes_ - 1] >= 0x80 && number_bytes_ < sizeof(number_)) break;
        int32_t number = 0;
        if (ReadVarint(number_, number_ + number_bytes_, number) == nullptr) {
          return "malformed length of a key or value";
        }
        number_bytes_ = 0;
        if (RecordFault fault = TakeNumber(number)) return fault;
        break;
      }
      case State::kEnd:
        return bytes.empty() ? nullptr : "bytes are left over behind its headers";
    }
  }
}

RecordFault RecordRestScanner::Finish() const {
  // Feed() leaves a state as soon as nothing is missing for it, so the end is reached with the last
  // byte.
  return state_ == State::kEnd ? nullptr : "a key or value is longer than its record";
}

void RecordStream::Start(Compression compression, std::span<const uint8_t> records, int32_t count,
                         size_t output_bytes_max) {
  decompressor_.Start(compression, records, output_bytes_max);
  chunk_ = {};
  count_ = count;
  index_ = 0;
  rest_bytes_ = 0;
  status_ = absl::OkStatus();
}

bool RecordStream::Fail(RecordFault fault) {
  if (status_.ok()) {
    status_ = MakeError(ErrorKind::kInvalidRecord,
                        fmt::format("Record {} of the batch is invalid: {}", index_, fault));
  }
  return false;
}

bool RecordStream::Refill() {
  if (!chunk_.empty()) return true;
  if (!status_.ok()) return false;
  absl::StatusOr<std::span<const uint8_t>> next = decompressor_.Next();
  if (!next.ok()) {
    status_ = next.status();
    return false;
  }
  chunk_ = *next;
  return !chunk_.empty();
}

bool RecordStream::TakeByte(uint8_t& byte) {
  if (!Refill()) return false;
  byte = chunk_[0];
  chunk_ = chunk_.subspan(1);
  return true;
}

size_t RecordStream::TakeNumber(std::span<uint8_t> bytes) {
  size_t size = 0;
  while (size < bytes.size()) {
    if (!TakeByte(bytes[size])) return 0;
    if (bytes[size++] < 0x80) break;
  }
  return size;
}

bool RecordStream::NextAcrossChunks(RecordHead& head) {
  uint8_t bytes[kVarlongBytesMax];
  int32_t size = 0;
  size_t taken = TakeNumber({bytes, kVarintBytesMax});
  if (taken == 0 || ReadVarint(bytes, bytes + taken, size) == nullptr)
    return Fail(kRecordsEndEarly);
  if (size < 0) return Fail("negative record size");
  if (size == 0) return Fail("it is empty");

  uint8_t attributes = 0;
  if (!TakeByte(attributes)) return Fail("it is longer than the bytes that are left");
  size_t used = 1;
  taken = TakeNumber({bytes, kVarlongBytesMax});
  if (taken == 0 || ReadVarlong(bytes, bytes + taken, head.timestamp_delta) == nullptr) {
    return Fail("malformed timestamp delta");
  }
  used += taken;
  taken = TakeNumber({bytes, kVarintBytesMax});
  if (taken == 0 || ReadVarint(bytes, bytes + taken, head.offset_delta) == nullptr) {
    return Fail("malformed offset delta");
  }
  used += taken;
  if (used > static_cast<size_t>(size)) return Fail("its size is too small for it");
  head.rest_bytes = static_cast<size_t>(size) - used;
  return true;
}

bool RecordStream::Next(RecordHead& head) {
  if (!status_.ok() || index_ >= count_) return false;
  MR_CHECK(rest_bytes_ == 0);
  if (chunk_.size() < kHeadBytesMax) {
    if (!NextAcrossChunks(head)) return false;
  } else {
    // The same without asking for each byte: the whole head is in this chunk, whatever its numbers
    // are.
    const uint8_t* begin = chunk_.data();
    const uint8_t* end = begin + chunk_.size();
    int32_t size = 0;
    const uint8_t* body = ReadVarint(begin, end, size);
    if (body == nullptr) return Fail(kRecordsEndEarly);
    if (size < 0) return Fail("negative record size");
    if (size == 0) return Fail("it is empty");
    const uint8_t* at = ReadVarlong(body + 1, end, head.timestamp_delta);
    if (at == nullptr) return Fail("malformed timestamp delta");
    at = ReadVarint(at, end, head.offset_delta);
    if (at == nullptr) return Fail("malformed offset delta");
    if (at - body > size) return Fail("its size is too small for it");
    head.rest_bytes = static_cast<size_t>(size - (at - body));
    chunk_ = chunk_.subspan(static_cast<size_t>(at - begin));
  }
  rest_bytes_ = head.rest_bytes;
  return true;
}

bool RecordStream::SkipRest(bool& has_key) {
  if (rest_bytes_ <= chunk_.size()) {  // Nearly always.
    RecordView record;
    if (RecordFault fault = ParseRecordRest(chunk_.first(rest_bytes_), record)) return Fail(fault);
    chunk_ = chunk_.subspan(rest_bytes_);
    has_key = record.key.has_value();
  } else {
    RecordRestScanner scanner;
    while (rest_bytes_ > 0) {
      if (!Refill()) return Fail("it is longer than the bytes that are left");
      std::span<const uint8_t> piece = chunk_.first(std::min(rest_bytes_, chunk_.size()));
      if (RecordFault fault = scanner.Feed(piece)) return Fail(fault);
      chunk_ = chunk_.subspan(piece.size());
      rest_bytes_ -= piece.size();
    }
    if (RecordFault fault = scanner.Finish()) return Fail(fault);
    has_key = scanner.has_key();
  }
  rest_bytes_ = 0;
  ++index_;
  return true;
}

absl::Status RecordStream::CopyRest(Compressor& to) {
  while (rest_bytes_ > 0) {
    if (!Refill()) {
      Fail("it is longer than the bytes that are left");
      return status_;
    }
    std::span<const uint8_t> piece = chunk_.first(std::min(rest_bytes_, chunk_.size()));
    MR_RETURN_IF_ERROR(to.Write(piece));
    chunk_ = chunk_.subspan(piece.size());
    rest_bytes_ -= piece.size();
  }
  ++index_;
  return absl::OkStatus();
}

absl::Status RecordStream::Finish() {
  MR_RETURN_IF_ERROR(status_);
  if (index_ < count_) return status_;
  if (Refill()) {
    status_ =
        MakeError(ErrorKind::kInvalidRecord,
                  fmt::format("Bytes are left over behind the {} records of the batch", count_));
  }
  return status_;
}

}  // namespace millrace

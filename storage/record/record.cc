#include "storage/record/record.h"

#include <fmt/format.h>

#include <string>

#include "common/check.h"
#include "common/error_kind.h"
#include "storage/record/varint.h"

namespace millrace {
namespace {

// A length-prefixed field: -1 is null where `nullable`. Null on success.
RecordFault ReadField(const uint8_t*& at, const uint8_t* end, bool nullable,
                      std::optional<std::span<const uint8_t>>& field) {
  int32_t size = 0;
  const uint8_t* next = ReadVarint(at, end, size);
  if (next == nullptr) return "malformed length of a key or value";
  if (size < 0) {
    if (size != -1 || !nullable) return "negative length of a key or value";
    field.reset();
    at = next;
    return nullptr;
  }
  if (size > end - next) return "a key or value is longer than its record";
  field.emplace(next, static_cast<size_t>(size));
  at = next + size;
  return nullptr;
}

}  // namespace

RecordFault ParseRecordRest(std::span<const uint8_t> bytes, RecordView& record) {
  const uint8_t* at = bytes.data();
  const uint8_t* end = at + bytes.size();
  if (RecordFault fault = ReadField(at, end, /*nullable=*/true, record.key)) return fault;
  if (RecordFault fault = ReadField(at, end, /*nullable=*/true, record.value)) return fault;
  int32_t headers = 0;
  at = ReadVarint(at, end, headers);
  if (at == nullptr) return "malformed number of record headers";
  if (headers < 0) return "negative number of record headers";
  // Each header takes two bytes at least, so a lie is found before the loop below starts.
  if (headers > (end - at) / 2) return "more record headers than its bytes can hold";
  record.header_count = headers;
  record.headers = {at, static_cast<size_t>(end - at)};
  for (int32_t i = 0; i < headers; ++i) {
    std::optional<std::span<const uint8_t>> field;
    if (RecordFault fault = ReadField(at, end, /*nullable=*/false, field)) return fault;
    if (RecordFault fault = ReadField(at, end, /*nullable=*/true, field)) return fault;
  }
  if (at != end) return "bytes are left over behind its headers";
  return nullptr;
}

bool RecordReader::Next(RecordView& record) {
  if (fault_ != nullptr || index_ >= count_) return false;
  int32_t size = 0;
  const uint8_t* at = ReadVarint(at_, end_, size);
  if (at == nullptr) return Fail("the records end before the number the batch header gives");
  if (size < 0) return Fail("negative record size");
  if (size > end_ - at) return Fail("it is longer than the bytes that are left");
  const uint8_t* end = at + size;
  if (at == end) return Fail("it is empty");
  ++at;  // Attributes: nothing is defined for them.
  at = ReadVarlong(at, end, record.timestamp_delta);
  if (at == nullptr) return Fail("malformed timestamp delta");
  at = ReadVarint(at, end, record.offset_delta);
  if (at == nullptr) return Fail("malformed offset delta");
  record.rest = {at, static_cast<size_t>(end - at)};
  if (RecordFault fault = ParseRecordRest(record.rest, record)) return Fail(fault);
  at_ = end;
  ++index_;
  return true;
}

absl::Status RecordReader::status() const {
  if (fault_ != nullptr) {
    return MakeError(ErrorKind::kInvalidRecord,
                     fmt::format("Record {} of the batch is invalid: {}", index_, fault_));
  }
  if (index_ == count_ && at_ != end_) {
    return MakeError(ErrorKind::kInvalidRecord,
                     fmt::format("{} bytes are left over behind the {} records of the batch",
                                 end_ - at_, count_));
  }
  return absl::OkStatus();
}

std::optional<RecordHeaderView> HeaderReader::Next() {
  if (left_ == 0) return std::nullopt;
  --left_;
  std::optional<std::span<const uint8_t>> key;
  std::optional<std::span<const uint8_t>> value;
  MR_CHECK(ReadField(at_, end_, /*nullable=*/false, key) == nullptr);
  MR_CHECK(ReadField(at_, end_, /*nullable=*/true, value) == nullptr);
  return RecordHeaderView{.key = *key, .value = value};
}

}  // namespace millrace

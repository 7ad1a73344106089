#include "proto/kafka/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "common/error_kind.h"
#include "proto/kafka/reader.h"

namespace millrace::kafka {

void Writer::BeginFrame() {
  MR_CHECK(size() == 0);
  frame_size_ = Reserve(sizeof(int32_t));
}

void Writer::Fail(std::string_view reason) {
  if (ok()) error_ = reason;
}

void Writer::FailUnsupported(const char* field, int16_t version) {
  if (ok()) error_ = fmt::format("{} has a value that version {} cannot carry", field, version);
}

absl::StatusOr<Chain> Writer::Finish() && {
  Seal();
  if (sealed_.size() > INT32_MAX) Fail("a message is larger than 2 GiB");
  if (!ok()) {
    return MakeError(ErrorKind::kUnsupportedVersion, absl::StatusCode::kInvalidArgument, error_);
  }
  if (frame_size_ != nullptr) {
    StoreBig(frame_size_, static_cast<int32_t>(sealed_.size() - sizeof(int32_t)));
  }
  return std::move(sealed_);
}

void Writer::Seal() {
  if (at_ == begin_) return;
  size_t offset = static_cast<size_t>(begin_ - buffer_.data());
  sealed_.Append(buffer_.Share(offset, static_cast<size_t>(at_ - begin_)));
  begin_ = at_;
}

void Writer::Grow(size_t count) {
  Seal();
  size_t next = buffer_.empty() ? kBufferFirst : std::min(buffer_.size() * 2, kBufferMax);
  buffer_ = MutableBuffer(std::max(next, count));
  begin_ = at_ = buffer_.data();
  end_ = begin_ + buffer_.size();
}

void Writer::Copy(const uint8_t* bytes, size_t count) {
  // Fills the current buffer before it takes a new one, so that no more than one piece is ever half
  // empty.
  size_t room = std::min(count, static_cast<size_t>(end_ - at_));
  if (room > 0) std::memcpy(Reserve(room), bytes, room);
  if (count > room) std::memcpy(Reserve(count - room), bytes + room, count - room);
}

void Writer::Put(const Slice& bytes) {
  if (bytes.size() < kReferenceMin) return Copy(bytes.data(), bytes.size());
  Seal();
  sealed_.Append(bytes);
}

void Writer::WriteUnsigned(uint64_t value) {
  uint8_t bytes[10];
  size_t count = 0;
  while (value >= 0x80) {
    bytes[count++] = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  bytes[count++] = static_cast<uint8_t>(value);
  std::memcpy(Reserve(count), bytes, count);
}

void Writer::WriteUvarint(uint32_t value) {
  if (value < 0x80) {
    *Reserve(1) = static_cast<uint8_t>(value);
  } else {
    WriteUnsigned(value);
  }
}

void Writer::WriteVarint(int32_t value) {
  WriteUnsigned((static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31));
}

void Writer::WriteVarlong(int64_t value) {
  WriteUnsigned((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void Writer::WriteString(std::string_view value, bool flexible) {
  if (value.size() > kStringBytesMax) return Fail("a string is longer than 32767 bytes");
  if (flexible) {
    WriteUvarint(static_cast<uint32_t>(value.size()) + 1);
  } else {
    WriteInt16(static_cast<int16_t>(value.size()));
  }
  Copy(reinterpret_cast<const uint8_t*>(value.data()), value.size());
}

void Writer::WriteNullableString(const std::optional<std::string>& value, bool flexible,
                                 bool nullable) {
  if (value.has_value()) return WriteString(*value, flexible);
  if (!nullable) return Fail("a string is null that must not be");
  if (flexible) {
    WriteUvarint(0);
  } else {
    WriteInt16(-1);
  }
}

void Writer::WriteLength(size_t length, bool flexible) {
  if (length > INT32_MAX) return Fail("a length does not fit 31 bits");
  if (flexible) {
    WriteUvarint(static_cast<uint32_t>(length) + 1);
  } else {
    WriteInt32(static_cast<int32_t>(length));
  }
}

void Writer::WriteBytes(const Slice& value, bool flexible) {
  WriteLength(value.size(), flexible);
  Put(value);
}

void Writer::WriteNullableBytes(const std::optional<Slice>& value, bool flexible, bool nullable) {
  if (value.has_value()) return WriteBytes(*value, flexible);
  if (!nullable) return Fail("bytes are null that must not be");
  WriteNullArray(flexible, true);  // The same prefix.
}

void Writer::WriteRecords(const Chain& value, bool flexible) {
  WriteLength(value.size(), flexible);
  for (const Slice& piece : value.slices()) Put(piece);
}

void Writer::WriteNullableRecords(const std::optional<Chain>& value, bool flexible, bool nullable) {
  if (value.has_value()) return WriteRecords(*value, flexible);
  if (!nullable) return Fail("records are null that must not be");
  WriteNullArray(flexible, true);  // The same prefix.
}

void Writer::WriteArrayCount(size_t count, bool flexible) { WriteLength(count, flexible); }

void Writer::WriteNullArray(bool flexible, bool nullable) {
  if (!nullable) return Fail("an array is null that must not be");
  if (flexible) {
    WriteUvarint(0);
  } else {
    WriteInt32(-1);
  }
}

void Writer::WritePresence(bool present, bool nullable) {
  if (nullable) {
    WriteInt8(present ? 1 : -1);
  } else if (!present) {
    Fail("a struct is null that must not be");
  }
}

template <typename T>
void Writer::WriteFixedArray(const std::vector<T>& values, bool flexible) {
  WriteArrayCount(values.size(), flexible);
  for (T value : values) WriteFixed(value);
}

void Writer::WriteArray(const std::vector<int8_t>& values, bool flexible) {
  WriteFixedArray(values, flexible);
}
void Writer::WriteArray(const std::vector<int16_t>& values, bool flexible) {
  WriteFixedArray(values, flexible);
}
void Writer::WriteArray(const std::vector<int32_t>& values, bool flexible) {
  WriteFixedArray(values, flexible);
}
void Writer::WriteArray(const std::vector<int64_t>& values, bool flexible) {
  WriteFixedArray(values, flexible);
}

void Writer::WriteArray(const std::vector<Uuid>& values, bool flexible) {
  WriteArrayCount(values.size(), flexible);
  for (const Uuid& value : values) WriteUuid(value);
}

void Writer::WriteArray(const std::vector<std::string>& values, bool flexible) {
  WriteArrayCount(values.size(), flexible);
  for (const std::string& value : values) WriteString(value, flexible);
}

void Writer::WriteTagged(uint32_t tag, Writer payload) {
  if (!payload.ok()) return Fail(payload.error_);
  payload.Seal();
  WriteTag(tag, payload.sealed_.size());
  for (const Slice& piece : payload.sealed_.slices()) Put(piece);
}

}  // namespace millrace::kafka

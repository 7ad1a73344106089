#include "proto/kafka/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes/utf8.h"
#include "common/error_kind.h"

namespace millrace::kafka {

void Reader::FailAs(absl::StatusCode code, const char* reason) {
  if (!ok()) return;
  reason_ = reason;
  code_ = code;
  failed_at_ = static_cast<size_t>(at_ - frame_.data());
  end_ = at_;  // Whatever is read from now on finds nothing left.
}

absl::Status Reader::Finish() {
  if (ok() && at_ != end_) Fail("bytes are left over behind the message");
  if (ok()) return absl::OkStatus();
  return MakeError(ErrorKind::kInvalidRequest, code_,
                   fmt::format("{} (at byte {} of {})", reason_, failed_at_, frame_.size()));
}

uint64_t Reader::ReadUnsigned(int bytes_max, int last_byte_max) {
  uint64_t value = 0;
  for (int i = 0; i < bytes_max; ++i) {
    const uint8_t* byte = Take(1);
    if (byte == nullptr) return 0;
    if (i == bytes_max - 1 && *byte > last_byte_max) break;
    value |= static_cast<uint64_t>(*byte & 0x7f) << (7 * i);
    if ((*byte & 0x80) == 0) return value;
  }
  Fail("a variable-length integer is too long");
  return 0;
}

uint32_t Reader::ReadUvarint() {
  // Lengths, counts and tags are nearly always below 128.
  if (at_ != end_ && *at_ < 0x80) return *at_++;
  return static_cast<uint32_t>(ReadUnsigned(5, 0x0f));
}

int32_t Reader::ReadVarint() {
  uint32_t raw = ReadUvarint();
  return static_cast<int32_t>((raw >> 1) ^ (0 - (raw & 1)));
}

int64_t Reader::ReadVarlong() {
  uint64_t raw = ReadUnsigned(10, 0x01);
  return static_cast<int64_t>((raw >> 1) ^ (0 - (raw & 1)));
}

std::optional<size_t> Reader::ReadLength(bool flexible, bool is_string) {
  if (flexible) {
    uint32_t length_plus_one = ReadUvarint();
    if (length_plus_one == 0) return std::nullopt;
    return length_plus_one - 1;
  }
  int32_t length = is_string ? ReadInt16() : ReadInt32();
  if (length == -1) return std::nullopt;
  if (length < 0) {
    Fail("a length is negative");
    return 0;
  }
  return static_cast<size_t>(length);
}

void Reader::AssignText(std::string& value, size_t length) {
  if (length > kStringBytesMax) return Fail("a string is longer than 32767 bytes");
  const uint8_t* bytes = Take(length);
  if (bytes == nullptr) return;
  if (!IsValidUtf8({bytes, length})) return Fail("a string is not valid UTF-8");
  value.assign(reinterpret_cast<const char*>(bytes), length);
}

void Reader::ReadString(std::string& value, bool flexible) {
  std::optional<size_t> length = ReadLength(flexible, true);
  if (!ok()) return;
  if (!length.has_value()) return Fail("a string is null that must not be");
  AssignText(value, *length);
}

void Reader::ReadNullableString(std::optional<std::string>& value, bool flexible, bool nullable) {
  if (!nullable) return ReadString(value.emplace(), flexible);
  std::optional<size_t> length = ReadLength(flexible, true);
  if (!ok()) return;
  if (!length.has_value()) return value.reset();
  AssignText(value.emplace(), *length);
}

Slice Reader::TakeSlice(size_t length) {
  const uint8_t* bytes = Take(length);
  if (bytes == nullptr || length == 0) return {};
  return frame_.Sub(static_cast<size_t>(bytes - frame_.data()), length);
}

void Reader::ReadBytes(Slice& value, bool flexible) {
  std::optional<size_t> length = ReadLength(flexible, false);
  if (!ok()) return;
  if (!length.has_value()) return Fail("bytes are null that must not be");
  value = TakeSlice(*length);
}

void Reader::ReadNullableBytes(std::optional<Slice>& value, bool flexible, bool nullable) {
  if (!nullable) return ReadBytes(value.emplace(), flexible);
  std::optional<size_t> length = ReadLength(flexible, false);
  if (!ok()) return;
  if (!length.has_value()) return value.reset();
  value = TakeSlice(*length);
}

void Reader::ReadRecords(Chain& value, bool flexible) {
  Slice bytes;
  ReadBytes(bytes, flexible);
  value = Chain(std::move(bytes));
}

void Reader::ReadNullableRecords(std::optional<Chain>& value, bool flexible, bool nullable) {
  if (!nullable) return ReadRecords(value.emplace(), flexible);
  std::optional<size_t> length = ReadLength(flexible, false);
  if (!ok()) return;
  if (!length.has_value()) return value.reset();
  value.emplace(TakeSlice(*length));
}

std::optional<size_t> Reader::ReadCount(bool flexible) {
  if (flexible) {
    uint32_t count_plus_one = ReadUvarint();
    if (count_plus_one == 0) return ok() ? std::nullopt : std::optional<size_t>(0);
    return count_plus_one - 1;
  }
  int32_t count = ReadInt32();
  if (count == -1) return std::nullopt;
  if (count < 0) {
    Fail("an array has a negative number of elements");
    return 0;
  }
  return static_cast<size_t>(count);
}

size_t Reader::CheckCount(size_t count, size_t size_min, size_t size_decoded) {
  if (!ok()) return 0;
  if (count > left() / std::max<size_t>(size_min, 1)) {
    Fail("an array has more elements than the bytes left can hold");
    return 0;
  }
  if (count > kArrayElementsMax) {
    FailAs(absl::StatusCode::kResourceExhausted, "an array has more than 1000000 elements");
    return 0;
  }
  if (count > elements_left_) {
    FailAs(absl::StatusCode::kResourceExhausted, "the message has more elements than allowed");
    return 0;
  }
  if (count * size_decoded > bytes_left_) {  // No overflow: both are bounded.
    FailAs(absl::StatusCode::kResourceExhausted,
           "the message's arrays take more memory than its size allows");
    return 0;
  }
  elements_left_ -= count;
  bytes_left_ -= count * size_decoded;
  return count;
}

size_t Reader::ReadArrayCount(bool flexible, size_t size_min, size_t size_decoded) {
  std::optional<size_t> count = ReadCount(flexible);
  if (!count.has_value()) {
    Fail("an array is null that must not be");
    return 0;
  }
  return CheckCount(*count, size_min, size_decoded);
}

std::optional<size_t> Reader::ReadNullableArrayCount(bool flexible, bool nullable, size_t size_min,
                                                     size_t size_decoded) {
  if (!nullable) return ReadArrayCount(flexible, size_min, size_decoded);
  std::optional<size_t> count = ReadCount(flexible);
  if (!count.has_value()) return std::nullopt;
  return CheckCount(*count, size_min, size_decoded);
}

bool Reader::SkipNull(bool flexible) {
  const uint8_t* before = at_;
  if (!ReadCount(flexible).has_value()) return true;
  if (ok()) at_ = before;
  return false;
}

bool Reader::ReadPresence(bool nullable) {
  if (!nullable) return true;
  int8_t presence = ReadInt8();
  return ok() && presence >= 0;
}

template <typename T>
void Reader::ReadFixedArray(std::vector<T>& values, bool flexible) {
  size_t count = ReadArrayCount(flexible, sizeof(T), sizeof(T));
  const uint8_t* bytes = Take(count * sizeof(T));
  if (bytes == nullptr) return;
  values.resize(count);
  for (size_t i = 0; i < count; ++i) values[i] = LoadBig<T>(bytes + i * sizeof(T));
}

void Reader::ReadArray(std::vector<int8_t>& values, bool flexible) {
  ReadFixedArray(values, flexible);
}
void Reader::ReadArray(std::vector<int16_t>& values, bool flexible) {
  ReadFixedArray(values, flexible);
}
void Reader::ReadArray(std::vector<int32_t>& values, bool flexible) {
  ReadFixedArray(values, flexible);
}
void Reader::ReadArray(std::vector<int64_t>& values, bool flexible) {
  ReadFixedArray(values, flexible);
}

void Reader::ReadArray(std::vector<Uuid>& values, bool flexible) {
  size_t count = ReadArrayCount(flexible, 16, sizeof(Uuid));
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) values.push_back(ReadUuid());
}

void Reader::ReadArray(std::vector<std::string>& values, bool flexible) {
  values.resize(ReadArrayCount(flexible, flexible ? 1 : 2, sizeof(std::string)));
  for (std::string& value : values) {
    if (!ok()) return;
    ReadString(value, flexible);
  }
}

void Reader::SkipTaggedFields() {
  // Nearly every section is empty.
  if (at_ != end_ && *at_ == 0) {
    ++at_;
    return;
  }
  for (TaggedSection section(*this); section.Next();) section.Skip();
}

TaggedSection::TaggedSection(Reader& reader) : reader_(reader), outer_end_(reader.end_) {
  fields_left_ = reader.ReadUvarint();
  if (fields_left_ > kTaggedFieldsMax) {
    reader.Fail("a tagged section has more than 10000 fields");
  } else if (fields_left_ > reader.left() / 2) {
    reader.Fail("a tagged section has more fields than the bytes left can hold");
  }
}

bool TaggedSection::Next() {
  if (!reader_.ok()) return false;
  if (tag_ >= 0) {
    if (reader_.at_ != reader_.end_) {
      reader_.Fail("a tagged field is longer than its type");
      return false;
    }
    reader_.end_ = outer_end_;
  }
  if (fields_left_ == 0) return false;
  --fields_left_;
  uint32_t tag = reader_.ReadUvarint();
  uint32_t size = reader_.ReadUvarint();
  if (!reader_.ok()) return false;
  if (static_cast<int64_t>(tag) <= tag_) {
    reader_.Fail("tags do not increase");
    return false;
  }
  if (size > reader_.left()) {
    reader_.Fail("a tagged field is longer than the bytes left");
    return false;
  }
  tag_ = tag;
  reader_.end_ = reader_.at_ + size;
  return true;
}

}  // namespace millrace::kafka

// Writer: encodes Kafka's primitive types into a chain of buffers. Fails once and stays failed,
// like Reader.
//
// Lifetime: bytes given as a Slice of at least kReferenceMin are not copied: the chain keeps them
// alive. Errors:   Finish(): kInvalidArgument: a value that the version cannot carry (a field that
// does not exist
//           there and is not ignorable, a null where null is not allowed), or a string above 32767
//           bytes.
// Units:    bytes.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/uuid.h"

namespace millrace::kafka {

class Writer {
 public:
  // Below this a reference costs more than the copy: it splits the buffer and adds two pieces to
  // the send.
  static constexpr size_t kReferenceMin = 1024;
  // The first buffer; later ones double up to kBufferMax.
  static constexpr size_t kBufferFirst = 512;
  static constexpr size_t kBufferMax = 64 * 1024;

  Writer() = default;

  // Begins with the int32 size of the frame, which Finish() fills in. REQUIRES: nothing was written
  // yet.
  void BeginFrame();

  // Writes nothing that counts from here on; the first reason is kept.
  void Fail(std::string_view reason);
  // `field` has a value that version `version` has no place for.
  void FailUnsupported(const char* field, int16_t version);
  bool ok() const { return error_.empty(); }
  size_t size() const { return sealed_.size() + static_cast<size_t>(at_ - begin_); }
  // Everything that was written, or why it could not be. The Writer is spent.
  absl::StatusOr<Chain> Finish() &&;

  void WriteBool(bool value) { WriteInt8(value ? 1 : 0); }
  void WriteInt8(int8_t value) { WriteFixed(value); }
  void WriteInt16(int16_t value) { WriteFixed(value); }
  void WriteUint16(uint16_t value) { WriteFixed(value); }
  void WriteInt32(int32_t value) { WriteFixed(value); }
  void WriteUint32(uint32_t value) { WriteFixed(value); }
  void WriteInt64(int64_t value) { WriteFixed(value); }
  void WriteFloat64(double value) { WriteFixed(std::bit_cast<int64_t>(value)); }
  void WriteUuid(const Uuid& value) {
    uint8_t* bytes = Reserve(16);
    StoreBig(bytes, value.high());
    StoreBig(bytes + 8, value.low());
  }
  void WriteUvarint(uint32_t value);
  void WriteVarint(int32_t value);
  void WriteVarlong(int64_t value);

  // `flexible` chooses the compact encoding. `nullable` says whether the version may carry null.
  void WriteString(std::string_view value, bool flexible);
  void WriteNullableString(const std::optional<std::string>& value, bool flexible, bool nullable);
  void WriteBytes(const Slice& value, bool flexible);
  void WriteNullableBytes(const std::optional<Slice>& value, bool flexible, bool nullable);

  // Pieces of at least kReferenceMin leave by reference.
  void WriteRecords(const Chain& value, bool flexible);
  void WriteNullableRecords(const std::optional<Chain>& value, bool flexible, bool nullable);

  void WriteArrayCount(size_t count, bool flexible);
  void WriteNullArray(bool flexible, bool nullable);
  // The int8 in front of a nullable struct; `nullable` false means that the version has no such
  // prefix.
  void WritePresence(bool present, bool nullable);

  void WriteArray(const std::vector<int8_t>& values, bool flexible);
  void WriteArray(const std::vector<int16_t>& values, bool flexible);
  void WriteArray(const std::vector<int32_t>& values, bool flexible);
  void WriteArray(const std::vector<int64_t>& values, bool flexible);
  void WriteArray(const std::vector<Uuid>& values, bool flexible);
  void WriteArray(const std::vector<std::string>& values, bool flexible);
  template <typename T>
  void WriteNullableArray(const std::optional<std::vector<T>>& values, bool flexible,
                          bool nullable) {
    if (values.has_value()) {
      WriteArray(*values, flexible);
    } else {
      WriteNullArray(flexible, nullable);
    }
  }

  // Tag and size of a tagged field whose `size` bytes follow.
  void WriteTag(uint32_t tag, size_t size) {
    WriteUvarint(tag);
    WriteUvarint(static_cast<uint32_t>(size));
  }
  // A tagged field whose payload was written to a Writer of its own, because its size comes first.
  void WriteTagged(uint32_t tag, Writer payload);

 private:
  uint8_t* Reserve(size_t count) {
    if (static_cast<size_t>(end_ - at_) < count) [[unlikely]]
      Grow(count);
    uint8_t* bytes = at_;
    at_ += count;
    return bytes;
  }
  template <typename T>
  void WriteFixed(T value) {
    StoreBig(Reserve(sizeof(T)), value);
  }
  template <typename T>
  void WriteFixedArray(const std::vector<T>& values, bool flexible);
  void WriteUnsigned(uint64_t value);
  void WriteLength(size_t length, bool flexible);
  void Copy(const uint8_t* bytes, size_t count);
  // Copied when small, by reference otherwise.
  void Put(const Slice& bytes);
  // Moves what lies between begin_ and at_ into the chain.
  void Seal();
  void Grow(size_t count);

  Chain sealed_;
  MutableBuffer buffer_;
  uint8_t* begin_ = nullptr;  // Of what is not sealed yet.
  uint8_t* at_ = nullptr;
  uint8_t* end_ = nullptr;
  uint8_t* frame_size_ =
      nullptr;  // Where the frame's size belongs: in a block that the chain keeps alive.
  std::string error_;
};

}  // namespace millrace::kafka

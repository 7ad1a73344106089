// Reader: decodes Kafka's primitive types from one frame. Fails once and stays failed, so a decoder
// is a straight line: read everything, then ask Finish().
//
// Lifetime: holds a reference to the frame. Slices it hands out pin the whole frame; strings are
// copies. Errors:   Finish(): kInvalidArgument: the bytes are not what they should be, or bytes are
// left over.
//           kResourceExhausted: more elements, or more memory for them, than the allowance. After a
//           failure every Read returns 0 or leaves its target as it was, at no cost that grows with
//           the input.
// Bounds:   nothing is allocated before the count that asks for it was checked against the bytes
// left; arrays
//           and the frame as a whole against the allowance; strings are valid UTF-8 of at most
//           32767 bytes.
// Source:   Kafka protocol guide, KIP-482 (compact types, tagged fields).
#pragma once

#include <absl/status/status.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/uuid.h"

namespace millrace::kafka {

// Kafka 4.4's own limits; the second bounds the tagged fields of one section.
inline constexpr size_t kArrayElementsMax = 1'000'000;
inline constexpr size_t kTaggedFieldsMax = 10'000;
inline constexpr size_t kStringBytesMax = 32'767;
// What the elements of a frame's arrays may take in memory: so many times the frame, and this much
// beside it. An element takes up to some 200 bytes, and as few as two on the wire, so that without
// this bound a frame could cost a hundred times what was charged for it. Honest requests stay below
// three times, but for lists of very short names.
inline constexpr size_t kDecodedTimes = 8;
inline constexpr size_t kDecodedBytesFree = 64 << 10;

class Reader {
 public:
  // `elements_max`: how many array elements the frame may decode to in all.
  explicit Reader(Slice frame, size_t elements_max = kArrayElementsMax)
      : frame_(std::move(frame)),
        at_(frame_.data()),
        end_(frame_.data() + frame_.size()),
        elements_left_(elements_max),
        bytes_left_(kDecodedBytesFree + kDecodedTimes * frame_.size()) {}

  // Reads nothing more from here on; the first reason is kept. `reason` must live for ever (a
  // literal).
  void Fail(const char* reason) { FailAs(absl::StatusCode::kInvalidArgument, reason); }
  bool ok() const { return reason_ == nullptr; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  // OK if everything was read, correctly, and nothing is left.
  absl::Status Finish();

  bool ReadBool() { return ReadInt8() != 0; }
  int8_t ReadInt8() { return ReadFixed<int8_t>(); }
  int16_t ReadInt16() { return ReadFixed<int16_t>(); }
  uint16_t ReadUint16() { return ReadFixed<uint16_t>(); }
  int32_t ReadInt32() { return ReadFixed<int32_t>(); }
  uint32_t ReadUint32() { return ReadFixed<uint32_t>(); }
  int64_t ReadInt64() { return ReadFixed<int64_t>(); }
  double ReadFloat64() { return std::bit_cast<double>(ReadFixed<int64_t>()); }
  Uuid ReadUuid() {
    const uint8_t* bytes = Take(16);
    return bytes == nullptr ? Uuid(0, 0)
                            : Uuid(LoadBig<uint64_t>(bytes), LoadBig<uint64_t>(bytes + 8));
  }
  uint32_t ReadUvarint();  // At most 5 bytes.
  int32_t ReadVarint();    // Zigzag, at most 5 bytes.
  int64_t ReadVarlong();   // Zigzag, at most 10 bytes.

  // `flexible` chooses the compact encoding. `nullable` says whether null is allowed at this
  // version.
  void ReadString(std::string& value, bool flexible);
  void ReadNullableString(std::optional<std::string>& value, bool flexible, bool nullable);
  void ReadBytes(Slice& value, bool flexible);
  void ReadNullableBytes(std::optional<Slice>& value, bool flexible, bool nullable);
  // One piece: what was received lies in one frame.
  void ReadRecords(Chain& value, bool flexible);
  void ReadNullableRecords(std::optional<Chain>& value, bool flexible, bool nullable);

  // The number of elements, checked against the bytes left (each takes at least `size_min`) and
  // charged to the allowance, `size_decoded` for each. 0 after a failure.
  size_t ReadArrayCount(bool flexible, size_t size_min, size_t size_decoded);
  std::optional<size_t> ReadNullableArrayCount(bool flexible, bool nullable, size_t size_min,
                                               size_t size_decoded);
  // The int8 in front of a nullable struct: is there one?
  bool ReadPresence(bool nullable);

  void ReadArray(std::vector<int8_t>& values, bool flexible);
  void ReadArray(std::vector<int16_t>& values, bool flexible);
  void ReadArray(std::vector<int32_t>& values, bool flexible);
  void ReadArray(std::vector<int64_t>& values, bool flexible);
  void ReadArray(std::vector<Uuid>& values, bool flexible);
  void ReadArray(std::vector<std::string>& values, bool flexible);
  template <typename T>
  void ReadNullableArray(std::optional<std::vector<T>>& values, bool flexible, bool nullable) {
    if (nullable && SkipNull(flexible)) {
      values.reset();
    } else {
      ReadArray(values.emplace(), flexible);
    }
  }

  // Passes over a tagged section of which no field is known.
  void SkipTaggedFields();

 private:
  friend class TaggedSection;

  const uint8_t* Take(size_t count) {
    if (left() < count) [[unlikely]] {
      Fail("the bytes end in the middle of a field");
      return nullptr;
    }
    const uint8_t* bytes = at_;
    at_ += count;
    return bytes;
  }
  template <typename T>
  T ReadFixed() {
    const uint8_t* bytes = Take(sizeof(T));
    return bytes == nullptr ? T{} : LoadBig<T>(bytes);
  }
  void FailAs(absl::StatusCode code, const char* reason);
  uint64_t ReadUnsigned(int bytes_max, int last_byte_max);
  // A length prefix of a string (2 bytes unless flexible) or of bytes (4): nothing for null.
  std::optional<size_t> ReadLength(bool flexible, bool is_string);
  // A count prefix of an array: nothing for null. Not yet checked.
  std::optional<size_t> ReadCount(bool flexible);
  size_t CheckCount(size_t count, size_t size_min, size_t size_decoded);
  // Whether a null array comes next; if so, passes over it.
  bool SkipNull(bool flexible);
  // Empty, and failed, when so many bytes are not left.
  Slice TakeSlice(size_t length);
  void AssignText(std::string& value, size_t length);
  template <typename T>
  void ReadFixedArray(std::vector<T>& values, bool flexible);

  Slice frame_;
  const uint8_t* at_;
  const uint8_t* end_;  // Of the frame, or of the tagged field that is being read.
  size_t elements_left_;
  size_t bytes_left_;  // For decoded elements.
  const char* reason_ = nullptr;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  size_t failed_at_ = 0;
};

// The tagged section at the end of a struct in a flexible version:
//
//   for (TaggedSection section(reader); section.Next();) {
//     switch (section.tag()) {
//       case 0: cluster_id = ...; break;
//     }                                 // A tag that no case reads is passed over.
//   }
//
// Fails unless tags strictly increase and each known field ends where its size says.
class TaggedSection {
 public:
  explicit TaggedSection(Reader& reader);
  bool Next();
  uint32_t tag() const { return static_cast<uint32_t>(tag_); }
  // Marks the current field as unknown: its bytes are passed over.
  void Skip() { reader_.at_ = reader_.end_; }

 private:
  Reader& reader_;
  const uint8_t* outer_end_;
  size_t fields_left_;
  int64_t tag_ = -1;
};

}  // namespace millrace::kafka

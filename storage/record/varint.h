// Variable-length integers of v2 records: zigzag, then seven bits a byte, least significant group
// first.
//
// Errors: a reader returns null when the bytes end inside the number, when it is longer than 5 (32
// bits) or
//         10 (64 bits) bytes, or when its last byte holds bits beyond the type. No encoder writes
//         such numbers, and two readers could disagree about them.
// Source: KIP-98, Protocol Buffers' encoding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

inline constexpr size_t kVarintBytesMax = 5;
inline constexpr size_t kVarlongBytesMax = 10;

// Reads from [at, end) into `value`. Returns the byte after the number, or null.
inline const uint8_t* ReadUvarlong(const uint8_t* at, const uint8_t* end, uint64_t& value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    if (at == end) return nullptr;
    uint8_t byte = *at++;
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = result;
      return at;
    }
  }
  if (at == end || *at > 1) return nullptr;  // Only one bit is left for the tenth byte.
  value = result | (static_cast<uint64_t>(*at) << 63);
  return at + 1;
}

inline const uint8_t* ReadUvarint(const uint8_t* at, const uint8_t* end, uint32_t& value) {
  if (at != end && *at < 0x80) {  // Nearly every number of a record is one byte long.
    value = *at;
    return at + 1;
  }
  uint32_t result = 0;
  for (int shift = 0; shift < 28; shift += 7) {
    if (at == end) return nullptr;
    uint8_t byte = *at++;
    result |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = result;
      return at;
    }
  }
  if (at == end || *at > 0x0f) return nullptr;
  value = result | (static_cast<uint32_t>(*at) << 28);
  return at + 1;
}

inline constexpr int32_t Unzigzag(uint32_t value) {
  return static_cast<int32_t>((value >> 1) ^ (0U - (value & 1)));
}
inline constexpr int64_t Unzigzag(uint64_t value) {
  return static_cast<int64_t>((value >> 1) ^ (uint64_t{0} - (value & 1)));
}
inline constexpr uint32_t Zigzag(int32_t value) {
  return (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31);
}
inline constexpr uint64_t Zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

inline const uint8_t* ReadVarint(const uint8_t* at, const uint8_t* end, int32_t& value) {
  uint32_t raw = 0;
  at = ReadUvarint(at, end, raw);
  value = Unzigzag(raw);
  return at;
}

inline const uint8_t* ReadVarlong(const uint8_t* at, const uint8_t* end, int64_t& value) {
  uint64_t raw = 0;
  at = ReadUvarlong(at, end, raw);
  value = Unzigzag(raw);
  return at;
}

// Writes `value` at `at` (REQUIRES: kVarlongBytesMax writable bytes) and returns the byte after it.
// The 32-bit form has the same bytes, because sign extension does not change a zigzag code.
inline uint8_t* WriteVarlong(uint8_t* at, int64_t value) {
  uint64_t raw = Zigzag(value);
  while (raw >= 0x80) {
    *at++ = static_cast<uint8_t>(raw) | 0x80;
    raw >>= 7;
  }
  *at++ = static_cast<uint8_t>(raw);
  return at;
}

inline size_t VarlongSize(int64_t value) {
  uint64_t raw = Zigzag(value);
  size_t size = 1;
  for (; raw >= 0x80; raw >>= 7) ++size;
  return size;
}

}  // namespace millrace

#include "broker/groups/coordinator_hash.h"

#include <cstddef>
#include <limits>

namespace millrace {
namespace {

// One code point of UTF-8 at `at`, which moves behind it.
uint32_t NextCodePoint(std::string_view text, size_t& at) {
  const auto byte = [&](size_t index) -> uint32_t {
    return index < text.size() ? static_cast<uint8_t>(text[index]) : 0;
  };
  const uint32_t first = byte(at);
  const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint32_t point = length == 1 ? first : first & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) point = (point << 6) | (byte(at + i) & 0x3f);
  at += length;
  return point;
}

int32_t JavaHash(std::string_view text) {
  constexpr uint32_t kFactor = 31;
  constexpr uint32_t kFirstSupplementary = 0x10000;
  uint32_t hash = 0;
  for (size_t at = 0; at < text.size();) {
    const uint32_t point = NextCodePoint(text, at);
    if (point < kFirstSupplementary) {
      hash = kFactor * hash + point;
    } else {
      const uint32_t rest = point - kFirstSupplementary;
      hash = kFactor * hash + (0xd800 + (rest >> 10));
      hash = kFactor * hash + (0xdc00 + (rest & 0x3ff));
    }
  }
  return static_cast<int32_t>(hash);
}

}  // namespace

PartitionId CoordinatorPartitionOf(std::string_view key, int32_t partitions) {
  const int32_t hash = JavaHash(key);
  if (hash == std::numeric_limits<int32_t>::min()) return PartitionId(0);
  return PartitionId((hash < 0 ? -hash : hash) % partitions);
}

}  // namespace millrace

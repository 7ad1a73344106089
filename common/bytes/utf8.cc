#include "common/bytes/utf8.h"

#include <cstddef>
#include <cstring>

namespace millrace {
namespace {

bool InRange(uint8_t byte, uint8_t low, uint8_t high) { return byte >= low && byte <= high; }

// The length of the multi-byte sequence at `at`, or 0 if there is no valid one.
size_t SequenceLength(const uint8_t* at, size_t left) {
  uint8_t lead = at[0];
  if (InRange(lead, 0xc2, 0xdf)) return left >= 2 && InRange(at[1], 0x80, 0xbf) ? 2 : 0;
  if (InRange(lead, 0xe0, 0xef)) {
    // The second byte's range excludes overlong forms (e0) and surrogates (ed).
    uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return left >= 3 && InRange(at[1], low, high) && InRange(at[2], 0x80, 0xbf) ? 3 : 0;
  }
  if (InRange(lead, 0xf0, 0xf4)) {
    // Here it excludes overlong forms (f0) and what lies above U+10FFFF (f4).
    uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    bool valid = left >= 4 && InRange(at[1], low, high) && InRange(at[2], 0x80, 0xbf) &&
                 InRange(at[3], 0x80, 0xbf);
    return valid ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool IsValidUtf8(std::span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    // Topic and client names are ASCII: eight bytes a step.
    uint64_t word;
    if (left >= sizeof(word)) {
      std::memcpy(&word, at, sizeof(word));
      if ((word & 0x8080808080808080ULL) == 0) {
        at += sizeof(word);
        left -= sizeof(word);
        continue;
      }
    }
    size_t length = *at < 0x80 ? 1 : SequenceLength(at, left);
    if (length == 0) return false;
    at += length;
    left -= length;
  }
  return true;
}

}  // namespace millrace

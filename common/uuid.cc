#include "common/uuid.h"

#include <array>

namespace millrace {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kTextLength =
    22;  // 128 bits in groups of 6, rounded up; the last 4 bits are zero.

constexpr std::array<int8_t, 256> MakeReverse() {
  std::array<int8_t, 256> reverse{};
  reverse.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    reverse[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return reverse;
}
constexpr std::array<int8_t, 256> kReverse = MakeReverse();

}  // namespace

std::string Uuid::ToString() const {
  std::string text(kTextLength, 'A');
  for (size_t i = 0; i < kTextLength; ++i) {
    uint32_t group = 0;
    for (size_t bit = i * 6; bit < i * 6 + 6; ++bit) {
      uint64_t value = 0;
      if (bit < 64) {
        value = (high_ >> (63 - bit)) & 1;
      } else if (bit < 128) {
        value = (low_ >> (127 - bit)) & 1;
      }
      group = (group << 1) | static_cast<uint32_t>(value);
    }
    text[i] = kAlphabet[group];
  }
  return text;
}

std::optional<Uuid> Uuid::Parse(std::string_view text) {
  if (text.size() != kTextLength) return std::nullopt;
  uint64_t high = 0;
  uint64_t low = 0;
  size_t bit = 0;
  for (char c : text) {
    int8_t group = kReverse[static_cast<uint8_t>(c)];
    if (group < 0) return std::nullopt;
    for (int i = 5; i >= 0; --i, ++bit) {
      uint64_t value = (static_cast<uint32_t>(group) >> i) & 1;
      if (bit < 64) {
        high = (high << 1) | value;
      } else if (bit < 128) {
        low = (low << 1) | value;
      } else if (value != 0) {
        return std::nullopt;
      }
    }
  }
  return Uuid(high, low);
}

}  // namespace millrace

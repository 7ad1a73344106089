#include "proto/kafka/testing/golden_filler.h"

#include <fmt/format.h>

namespace millrace::kafka {
namespace {

constexpr uint64_t kFnvOffset = 0xcbf29ce484222325ULL;
constexpr uint64_t kFnvPrime = 0x100000001b3ULL;

uint64_t HashName(uint64_t state, std::string_view name) {
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c != '_') state = (state ^ static_cast<uint8_t>(c)) * kFnvPrime;
  }
  return state;
}

uint64_t BitsOf(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

GoldenFiller::GoldenFiller(std::string_view message, int16_t version)
    : Filler(version), states_{HashName(kFnvOffset, message)} {}

void GoldenFiller::Enter(const FieldInfo& field) {
  states_.push_back(HashName(states_.back(), field.name));
}

void GoldenFiller::EnterElement(size_t index) {
  states_.push_back((states_.back() ^ (0x100 + index)) * kFnvPrime);
}

uint64_t GoldenFiller::Bits() { return BitsOf(states_.back()); }
uint64_t GoldenFiller::LowBits() { return BitsOf(states_.back() + 1); }
bool GoldenFiller::Null() { return (Bits() >> 8 & 3) == 0; }
size_t GoldenFiller::Count() { return 1 + (Bits() >> 16 & 1); }
double GoldenFiller::Number() { return static_cast<int32_t>(Bits()); }

std::string GoldenFiller::Text() {
  uint64_t bits = Bits();
  std::string once = fmt::format("v{:08x}", static_cast<uint32_t>(bits));
  if ((bits >> 40 & 7) == 0) once += "\xc3\xa9\xe2\x82\xac";
  std::string text;
  for (int i = (bits >> 44 & 15) == 0 ? 20 : 1; i > 0; --i) text += once;
  return text;
}

Slice GoldenFiller::Data() {
  uint64_t bits = Bits();
  std::string data(bits >> 48 & 15, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(bits >> 8 * (i % 8));
  return Slice::Copy(data);
}

}  // namespace millrace::kafka

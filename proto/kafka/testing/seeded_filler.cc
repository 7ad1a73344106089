#include "proto/kafka/testing/seeded_filler.h"

namespace millrace::kafka {

// splitmix64.
uint64_t SeededFiller::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

void SeededFiller::Enter(const FieldInfo& field) {
  ++depth_;
  tagged_ = field.tagged;
}

bool SeededFiller::KeepDefault(bool) { return (tagged_ && !with_tagged_) || OneIn(6); }

bool SeededFiller::Null() { return OneIn(4); }

size_t SeededFiller::Count() {
  // Deep arrays multiply: keep the deep ones short.
  return Next() % (depth_ <= 2 ? 4 : 3);
}

uint64_t SeededFiller::Bits() {
  if (OneIn(8)) return 0;
  if (OneIn(8)) return ~uint64_t{0};
  if (OneIn(8)) return 0x8000000000000000ULL;
  return Next();
}

double SeededFiller::Number() { return static_cast<double>(static_cast<int64_t>(Next())) / 1024; }

std::string SeededFiller::Text() {
  static constexpr const char* kAlphabet[] = {
      "a", "Z", "7", "-", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\x8a"};
  // Above 127 bytes a compact length takes two bytes.
  size_t length = OneIn(5) ? 0 : OneIn(10) ? 130 + Next() % 40 : 1 + Next() % 20;
  std::string text;
  while (text.size() < length) text += kAlphabet[Next() % std::size(kAlphabet)];
  return text;
}

Slice SeededFiller::Data() {
  // Above Writer::kReferenceMin bytes are referenced and not copied.
  size_t length = OneIn(5) ? 0 : OneIn(6) ? 1024 + Next() % 3000 : 1 + Next() % 60;
  std::string data(length, '\0');
  for (char& byte : data) byte = static_cast<char>(Next());
  return Slice::Copy(data);
}

}  // namespace millrace::kafka

#include "storage/compaction/key_map.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "common/runtime/sim/sim_random.h"

namespace millrace {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

TEST_CASE("HashKey: it is SipHash-2-4-128, by its authors' test vectors") {
  // Secret 00 01 .. 0f, input 00 01 .. n-1.
  const KeyHash secret{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string input;
  CHECK(HashKey(secret, Bytes(input)) == KeyHash{0xe6a825ba047f81a3, 0x930255c71472f66d});
  input.push_back(0);
  CHECK(HashKey(secret, Bytes(input)) == KeyHash{0x44af996bd8c187da, 0x45fc229b11597634});
}

TEST_CASE("KeyMap: it knows what a map of whole keys knows") {
  SimRandom random(1);
  KeyMap map({random.Next(), random.Next()}, 1 << 20, 0.9, 1000);
  std::map<std::string, Offset> model;
  for (int64_t i = 0; i < 5000; ++i) {
    const std::string key(random.Below(40), static_cast<char>('a' + random.Below(20)));
    if (!model.contains(key) && model.size() == map.keys_max()) {
      CHECK_FALSE(map.Put(Bytes(key), Offset(i)));
      continue;
    }
    CHECK(map.Put(Bytes(key), Offset(i)));
    model.insert_or_assign(key, Offset(i));
  }
  CHECK(map.size() == model.size());
  for (const auto& [key, offset] : model) CHECK(map.Find(Bytes(key)) == offset);
  CHECK_FALSE(map.Find(Bytes("never seen")).has_value());
}

TEST_CASE("KeyMap: a full one takes no new key, and known ones still") {
  KeyMap map({1, 2}, 10 * kKeySlotBytes, 0.5, 1'000'000);
  REQUIRE(map.keys_max() == 5);
  for (int64_t i = 0; i < 5; ++i) REQUIRE(map.Put(Bytes(std::to_string(i)), Offset(i)));
  CHECK_FALSE(map.Put(Bytes("new"), Offset(7)));
  CHECK_FALSE(map.Find(Bytes("new")).has_value());
  CHECK(map.Put(Bytes("3"), Offset(8)));
  CHECK(map.Find(Bytes("3")) == Offset(8));
}

TEST_CASE("KeyMap: however small the memory, there is room for one key") {
  KeyMap map({1, 2}, 0, 1.0, 0);
  CHECK(map.keys_max() == 1);
  CHECK(map.Put(Bytes("a"), Offset(1)));
  CHECK_FALSE(map.Put(Bytes("b"), Offset(2)));
  CHECK_FALSE(map.Find(Bytes("b")).has_value());
}

}  // namespace millrace

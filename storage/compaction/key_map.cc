#include "storage/compaction/key_map.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "common/check.h"

namespace millrace {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Take(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Finish() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t LoadLittle(const uint8_t* at, size_t bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) word |= uint64_t{at[i]} << (8 * i);
  return word;
}

// Slots for so many keys, with one free at least, so that a search ends.
size_t SlotsFor(size_t keys, double load) {
  return std::max(static_cast<size_t>(std::ceil(static_cast<double>(keys) / load)), keys + 1);
}

size_t KeysMax(size_t bytes_max, double load, uint64_t keys) {
  MR_CHECK(load > 0);
  MR_CHECK(load <= 1);
  const size_t slots = std::max<size_t>(bytes_max / kKeySlotBytes, 2);
  const size_t room = std::min(static_cast<size_t>(static_cast<double>(slots) * load), slots - 1);
  return static_cast<size_t>(std::clamp<uint64_t>(keys, 1, std::max<size_t>(room, 1)));
}

}  // namespace

KeyHash HashKey(const KeyHash& secret, std::span<const uint8_t> key) {
  SipState state{0x736f6d6570736575 ^ secret.low, 0x646f72616e646f6d ^ secret.high ^ 0xee,
                 0x6c7967656e657261 ^ secret.low, 0x7465646279746573 ^ secret.high};
  const uint8_t* at = key.data();
  const uint8_t* const end = at + key.size() / 8 * 8;
  for (; at != end; at += 8) {
    if constexpr (std::endian::native == std::endian::little) {
      uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      state.Take(word);
    } else {
      state.Take(LoadLittle(at, 8));
    }
  }
  state.Take((uint64_t{key.size()} << 56) | LoadLittle(at, key.size() % 8));
  state.v2 ^= 0xee;
  const uint64_t low = state.Finish();
  state.v1 ^= 0xdd;
  return {low, state.Finish()};
}

KeyMap::KeyMap(KeyHash secret, size_t bytes_max, double load, uint64_t keys)
    : secret_(secret),
      keys_max_(KeysMax(bytes_max, load, keys)),
      slots_(SlotsFor(keys_max_, load)) {}

size_t KeyMap::Probe(const KeyHash& hash) const {
  // Spreads the hash over [0, size) without a division.
  size_t at = static_cast<size_t>((static_cast<unsigned __int128>(hash.low) * slots_.size()) >> 64);
  while (slots_[at].offset != kFree && slots_[at].hash != hash) {
    if (++at == slots_.size()) at = 0;
  }
  return at;
}

bool KeyMap::Put(std::span<const uint8_t> key, Offset offset) {
  const KeyHash hash = HashKey(secret_, key);
  Slot& slot = slots_[Probe(hash)];
  if (slot.offset == kFree) {
    if (size_ == keys_max_) return false;
    ++size_;
    slot.hash = hash;
  }
  slot.offset = offset.value();
  return true;
}

std::optional<Offset> KeyMap::Find(std::span<const uint8_t> key) const {
  const Slot& slot = slots_[Probe(HashKey(secret_, key))];
  if (slot.offset == kFree) return std::nullopt;
  return Offset(slot.offset);
}

}  // namespace millrace

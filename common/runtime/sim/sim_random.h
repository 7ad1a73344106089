// SimRandom: the simulator's generator (xoshiro256**, seeded through splitmix64): integers only, so
// that the same seed gives the same numbers in every process and on every machine.
//
// Shard:    any; one thread runs the whole simulated world.
// Note:     each consumer (scheduler, a node's disk, the network, a shard) has a generator of its
// own, forked by name, so that one more draw here does not shift every draw there.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "common/random.h"
#include "common/time.h"

namespace millrace {

// One step of splitmix64: a good mixing function of 64 bits.
constexpr uint64_t MixBits(uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

// The same for text; not std::hash, which may differ between builds.
constexpr uint64_t MixText(uint64_t state, std::string_view text) {
  for (char c : text) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return MixBits(state ^ text.size());
}

// A probability in parts per million; integers keep floating point out of every decision.
struct PerMillion {
  uint32_t value = 0;
};

class SimRandom final : public Random {
 public:
  explicit SimRandom(uint64_t seed) {
    for (uint64_t& word : state_) word = seed = MixBits(seed);
  }

  // An independent generator that depends on this one's seed and `name` only, not on its draws.
  static SimRandom Derived(uint64_t seed, std::string_view name, uint64_t number = 0) {
    return SimRandom(MixBits(MixText(seed, name) ^ MixBits(number)));
  }

  uint64_t Next() override {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  bool Chance(PerMillion probability) { return Below(1'000'000) < probability.value; }
  bool Coin() { return (Next() >> 63) != 0; }

  // Uniform in [first, last]. REQUIRES: first <= last.
  uint64_t Between(uint64_t first, uint64_t last) {
    MR_CHECK(first <= last);
    return first + Below(last - first + 1);
  }
  Duration Between(Duration first, Duration last) {
    return Duration(static_cast<int64_t>(
        Between(static_cast<uint64_t>(first.count()), static_cast<uint64_t>(last.count()))));
  }

 private:
  static uint64_t Rotate(uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
  }
  uint64_t state_[4];
};

}  // namespace millrace

// Random: the only source of randomness; seeded in the simulator, from the kernel in production.
#pragma once

#include <cstdint>

#include "common/uuid.h"

namespace millrace {

class Random {
 public:
  virtual ~Random() = default;
  // Uniform over all 64-bit values.
  virtual uint64_t Next() = 0;

  // Uniform in [0, bound). REQUIRES: bound > 0. The bias of the multiplication is below 2^-32 for
  // any bound under 2^32.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  // A version-4 uuid that Kafka would also hand out: its text form never starts with '-', because
  // command lines would take it for a flag.
  Uuid NextUuid() {
    for (;;) {
      uint64_t high = (Next() & ~uint64_t{0xF000}) | 0x4000;
      uint64_t low = (Next() & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
      if ((high >> 58) != 62) return Uuid(high, low);
    }
  }
};

}  // namespace millrace

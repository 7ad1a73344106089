// RealRandom: the kernel's generator, drawn in batches so that a number costs no system call.
//
// Shard: one each.
#pragma once

#include <array>
#include <cstddef>

#include "common/random.h"

namespace millrace {

class RealRandom final : public Random {
 public:
  uint64_t Next() override;

 private:
  // At most 256 bytes at once: that many, getrandom() gives whole and uninterrupted.
  std::array<uint64_t, 32> batch_;
  size_t left_ = 0;
};

}  // namespace millrace

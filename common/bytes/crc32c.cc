#include "common/bytes/crc32c.h"

#include <isa-l/crc.h>

namespace millrace {

uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t before) {
  // crc32_iscsi takes an int length: feed at most 1 GiB a time. It neither inverts in nor out.
  constexpr size_t kStep = size_t{1} << 30;
  uint32_t crc = ~before;
  while (!bytes.empty()) {
    size_t step = bytes.size() < kStep ? bytes.size() : kStep;
    // ISA-L's prototype lacks the const; it does not write.
    crc = crc32_iscsi(const_cast<unsigned char*>(bytes.data()), static_cast<int>(step), crc);
    bytes = bytes.subspan(step);
  }
  return ~crc;
}

}  // namespace millrace

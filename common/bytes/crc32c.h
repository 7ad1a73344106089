// CRC-32C (Castagnoli) through ISA-L: several GB/s. Used by record batches, the journal and
// snapshots.
#pragma once

#include <cstdint>
#include <span>

namespace millrace {

// The CRC of `bytes`, continued from the CRC of what came before it (0 at the start).
uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t before = 0);

}  // namespace millrace

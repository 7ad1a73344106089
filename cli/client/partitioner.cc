#include "cli/client/partitioner.h"

#include <algorithm>

#include "common/check.h"

namespace millrace {

int32_t Murmur2(std::span<const uint8_t> bytes) {
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kRotation = 24;
  const size_t size = bytes.size();
  uint32_t hash = kSeed ^ static_cast<uint32_t>(size);
  size_t at = 0;
  for (; at + 4 <= size; at += 4) {  // Little-endian words, whatever machine this is.
    uint32_t word = uint32_t{bytes[at]} | uint32_t{bytes[at + 1]} << 8 |
                    uint32_t{bytes[at + 2]} << 16 | uint32_t{bytes[at + 3]} << 24;
    word *= kMultiplier;
    word ^= word >> kRotation;
    word *= kMultiplier;
    hash = (hash * kMultiplier) ^ word;
  }
  if (at < size) {
    for (size_t i = size; i-- > at;) hash ^= uint32_t{bytes[i]} << (8 * (i - at));
    hash *= kMultiplier;
  }
  hash ^= hash >> 13;
  hash *= kMultiplier;
  hash ^= hash >> 15;
  return static_cast<int32_t>(hash);
}

PartitionId PartitionOfKey(std::span<const uint8_t> key, int32_t partitions) {
  MR_CHECK(partitions > 0);
  return PartitionId((Murmur2(key) & 0x7fffffff) % partitions);
}

PartitionId StickyPartitioner::Next(const std::vector<PartitionId>& available, size_t bytes) {
  MR_CHECK(!available.empty());
  const bool gone =
      !current_.has_value() || std::ranges::find(available, *current_) == available.end();
  if (gone || bytes_left_ == 0) {
    // Not the same again, where there is a choice.
    std::vector<PartitionId> others;
    for (PartitionId partition : available) {
      if (partition != current_ || available.size() == 1) others.push_back(partition);
    }
    current_ = others[random_.Below(others.size())];
    bytes_left_ = kBytesPerTurn;
  }
  bytes_left_ -= std::min(bytes_left_, std::max<size_t>(bytes, 1));
  return *current_;
}

}  // namespace millrace

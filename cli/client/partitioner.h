// Which partition a record goes to, as Java's default partitioner chooses it, so that records with
// one key written by either client stay together and in order.
//
// Shard:  any; pure.
// Source: the partitioner of Kafka's Java client; murmur2 of a key, sticky partitions without one
//         (KIP-480, KIP-794).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/random.h"

namespace millrace {

// 32-bit MurmurHash2 with the seed of Kafka's clients.
int32_t Murmur2(std::span<const uint8_t> bytes);

// The partition of a key. REQUIRES: partitions > 0.
PartitionId PartitionOfKey(std::span<const uint8_t> key, int32_t partitions);

// Records without a key: all to one partition until it has got `bytes_per_turn`, then on to another
// one at random, so that batches fill and partitions do too.
class StickyPartitioner {
 public:
  // Higher: larger batches and fewer requests; lower: partitions fill more evenly.
  static constexpr size_t kBytesPerTurn = 64 << 10;

  explicit StickyPartitioner(Random& random) : random_(random) {}

  // The partition for a record of `bytes`, one of `available`. REQUIRES: that is not empty.
  PartitionId Next(const std::vector<PartitionId>& available, size_t bytes);

 private:
  Random& random_;
  std::optional<PartitionId> current_;
  size_t bytes_left_ = 0;
};

}  // namespace millrace

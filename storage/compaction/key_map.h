// KeyMap: the latest offset of every key in a stretch of a log, for compaction, in memory that does
// not grow: keys are kept as 128-bit hashes, and when the map is full, it says so.
//
// Two keys with one hash would lose the older one's latest value. With SipHash under a key that is
// drawn per map nobody can look for such a pair, and by chance 10^9 keys have one with a likelihood
// of 10^-21.
//
// Shard:   any, one at a time.
// Bounds:  bytes_max; kKeySlotBytes a slot, of which `load` are used at most.
// Source:  Kafka's log.cleaner.dedupe.buffer.size and log.cleaner.io.buffer.load.factor; SipHash
//          with 128 bits of output (Aumasson and Bernstein).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct KeyHash {
  uint64_t low;
  uint64_t high;
  friend bool operator==(const KeyHash&, const KeyHash&) = default;
};

// SipHash-2-4 with a result of 128 bits.
KeyHash HashKey(const KeyHash& secret, std::span<const uint8_t> key);

inline constexpr size_t kKeySlotBytes = 24;

class KeyMap {
 public:
  // Room for `keys` of them, or for as many as bytes_max allows; at least one. REQUIRES: 0 < load
  // <= 1.
  KeyMap(KeyHash secret, size_t bytes_max, double load, uint64_t keys);

  // The key was seen at `offset`. False: it is new, and there is no room. REQUIRES: offsets go up.
  bool Put(std::span<const uint8_t> key, Offset offset);
  // Where it was seen last.
  std::optional<Offset> Find(std::span<const uint8_t> key) const;

  size_t size() const { return size_; }
  size_t keys_max() const { return keys_max_; }

 private:
  struct Slot {
    KeyHash hash{0, 0};
    int64_t offset = kFree;
  };
  static_assert(sizeof(Slot) == kKeySlotBytes);
  static constexpr int64_t kFree = -1;

  // The slot that has the hash, or the free one where it would go.
  size_t Probe(const KeyHash& hash) const;

  // Constant after construction.
  const KeyHash secret_;
  const size_t keys_max_;

  // State.
  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace millrace

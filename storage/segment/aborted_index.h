// The bytes of a `.txnindex` file: the transactions whose abort marker lies in the segment beside
// it, in the order of the markers. Readers of committed records skip what they name.
//
//   34 bytes each: int16 version = 0, int64 producer id, int64 first offset, int64 last offset (the
//   marker's), int64 last stable offset (once this one had ended, all else committed).
//
// Shard:  any; pure.
// Errors: kDataLoss: the bytes are no such file.
// Source: Kafka's transaction index (AbortedTxn).
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct AbortedTransaction {
  ProducerId producer;
  Offset first;
  Offset last;         // Of the marker.
  Offset last_stable;  // No transaction that ends later begins below it.
  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

inline constexpr size_t kAbortedEntryBytes = 34;

std::array<uint8_t, kAbortedEntryBytes> EncodeAbortedEntry(const AbortedTransaction& entry);

// The first entry of `bytes`. REQUIRES: it is whole.
absl::StatusOr<AbortedTransaction> DecodeAbortedEntry(std::span<const uint8_t> bytes);

// The entries of a whole file of a segment that covers [begin, end): whole, of version 0, with
// markers inside the segment, in order.
absl::StatusOr<std::vector<AbortedTransaction>> DecodeAbortedIndex(std::span<const uint8_t> file,
                                                                   Offset begin, Offset end);

// The entries with markers in [begin, end), of a file of which only these were synced: they are its
// beginning, and anything may stand behind them. kDataLoss if one of them has changed, or if there
// are fewer than `count_min`.
absl::StatusOr<std::vector<AbortedTransaction>> SoundAbortedBelow(std::span<const uint8_t> file,
                                                                  Offset begin, Offset end,
                                                                  size_t count_min);

}  // namespace millrace

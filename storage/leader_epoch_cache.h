// The leader epochs of one log and where each begins: how two replicas find the point at which they
// differ.
//
// Shard:     one; owned by its Log.
// Invariant: epochs and start offsets strictly increase from entry to entry.
// Errors:    Decode: kDataLoss for text that is not such a list.
// Source:    KIP-101, KIP-279; rules 4.1, 4.2, 4.5, 4.7 of Kafka's broker behaviour.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"

namespace millrace {

struct EpochStart {
  LeaderEpoch epoch;
  Offset start_offset;
  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};

struct EpochEndOffset {
  LeaderEpoch epoch;
  Offset end_offset;
  friend bool operator==(const EpochEndOffset&, const EpochEndOffset&) = default;
};

class LeaderEpochCache {
 public:
  // The epoch begins at `start_offset`. Entries that contradict it (a later start, or a higher
  // epoch at or before it) were never committed and go. Returns whether anything changed: the
  // latest epoch again is what nearly every append says.
  bool Assign(LeaderEpoch epoch, Offset start_offset);

  std::optional<LeaderEpoch> latest_epoch() const {
    if (entries_.empty()) return std::nullopt;
    return entries_.back().epoch;
  }
  const std::vector<EpochStart>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  // The largest known epoch not above `epoch`, and where the next one begins (or `log_end` for the
  // latest). For an epoch below all known ones: itself, and where the first begins. Nothing for one
  // above all (Kafka's -1, -1).
  std::optional<EpochEndOffset> EndOffsetFor(LeaderEpoch epoch, Offset log_end) const;

  // The epoch of the record at `offset`, if known.
  std::optional<LeaderEpoch> EpochFor(Offset offset) const;

  // The log now ends at `end_offset`. Returns whether anything changed, as the next one does.
  bool TruncateFromEnd(Offset end_offset);
  // The log now starts at `start_offset`: the epoch in force there is kept, and begins there.
  bool TruncateFromStart(Offset start_offset);
  void Clear() { entries_.clear(); }

  // The text of `leader-epoch-checkpoint`.
  std::string Encode() const;
  static absl::StatusOr<LeaderEpochCache> Decode(std::string_view text);

 private:
  std::vector<EpochStart> entries_;
};

}  // namespace millrace

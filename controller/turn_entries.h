// TurnEntries: the decisions of one turn, as the entries of the log that they are committed in.
//
// Bound:    an entry has at most kRecordsPerEntryMax records, of at most as many bytes as it is
//           told. A decision that fits into an entry is never cut. One that does not (the fencing of
//           a broker with very many partitions) is cut, each part an entry of its own; the last
//           part is filled first, so that what a decision ends with stays together. Whoever makes
//           such a decision orders its records so that the image is valid after each of them.
// Pure.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "controller/decision.h"

namespace millrace {

// A turn takes no further request when it has so many records; a decision alone may have more.
inline constexpr size_t kRecordsPerTurnMax = 10'000;
inline constexpr size_t kRecordsPerEntryMax = 30'000;
static_assert(kRecordsPerTurnMax < kRecordsPerEntryMax);

class TurnEntries {
 public:
  explicit TurnEntries(size_t entry_bytes_max) : entry_bytes_max_(entry_bytes_max) {}

  // kPolicyViolation: one of the records alone does not fit into an entry; then nothing was added.
  absl::Status Add(MetadataRecords decision);

  // The turn is as large as it should get.
  bool full() const { return records_ >= kRecordsPerTurnMax || bytes_ >= entry_bytes_max_; }

  size_t count() const { return entries_.size(); }

  // In the order in which they are to be committed; none is empty.
  std::vector<MetadataRecords> Take() { return std::move(entries_); }

 private:
  void AddPart(MetadataRecords part, size_t bytes);

  const size_t entry_bytes_max_;
  std::vector<MetadataRecords> entries_;
  size_t last_bytes_ = 0;  // Of the last entry.
  size_t records_ = 0;
  size_t bytes_ = 0;
};

}  // namespace millrace

// ScannedBatches: what recovery remembers of the batches that it has read in a log's files: which
// entries of a journal the files have already, and from where on the files are written again.
//
// A log without a checkpoint is read from end to end and may be large, so of such a one only this is
// kept (LimitTo()): batches between the first and the last that a journal has; in front of those, and
// at the end, the batches that are too large for a journal, which may have waited for the same sync;
// and the one in front of these.
//
// Shard:     one; a value without I/O.
// Bounds:    32 bytes per batch that is kept. The journal is bounded; of batches too large for one,
//            bytes without end go by first.
// Invariant: bases strictly increase.
// Source:    docs/storage.md, Recovery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "storage/record/record_batch.h"

namespace millrace {

struct ScannedBatch {
  Offset base;
  Offset next;
  uint32_t crc;
  uint32_t bytes;
  std::optional<uint32_t> position;  // In its segment; of what a replay has added none is known.
  friend bool operator==(const ScannedBatch&, const ScannedBatch&) = default;
};

// Where the batches begin that journals have of a log: the lowest and the highest.
struct JournaledBases {
  Offset first;
  Offset last;
};

class ScannedBatches {
 public:
  // Until LimitTo() every batch is kept.
  ScannedBatches() = default;

  // Nothing: no journal has a batch of the log. REQUIRES: empty.
  void LimitTo(std::optional<JournaledBases> journaled);

  // Forgets those that begin at or behind it: none, but where somebody has put files side by side
  // that overlap.
  void Add(const ScannedBatch& batch);

  // Whether this very batch was read. REQUIRES: a journal has it.
  bool Has(const BatchHeader& header) const;

  // Those that begin at or behind `end` are gone.
  void CutFrom(Offset end);
  void Clear() { batches_.clear(); }

  // Where what may have waited for a sync begins: with the batch at `base`, the first of those that
  // a journal has, or where there is none at the end; and in front of that those too large for a
  // journal. Null where nothing begins there.
  const ScannedBatch* FirstUnsynced(std::optional<Offset> base) const;

  size_t size() const { return batches_.size(); }

 private:
  bool IsJournaled(Offset base) const;

  bool limited_ = false;
  std::optional<JournaledBases> journaled_;
  std::vector<ScannedBatch> batches_;
};

}  // namespace millrace

// What a partition remembers of its idempotent and transactional producers, so that a batch sent
// twice is stored once and none is skipped.
//
//   no entry ----------------- any batch --------------------> window of one batch (KIP-360: any
//   sequence) epoch e, last sequence s - batch (e, s+1) ----------------> window + 1, the oldest of
//   five dropped epoch e ----------------- batch equal to one of the window > duplicate: nothing
//   changes epoch e ----------------- batch (e' > e, 0) --------------> epoch e', window of one
//   batch epoch e ----------------- control batch (e' >= e) --------> open transaction ended; e' >
//   e empties the window any ---------------------- expired, not in a transaction -> no entry
//
// Check() decides, Apply() changes: a leader calls both in one turn; followers and recovery only
// Apply(). Cutting a log back means: load a snapshot (producer_snapshot.h) and Apply() the batches
// behind it.
//
// Shard:    one; owned by its Log. Not thread-safe.
// Units:    milliseconds; offsets.
// Errors:   Check(): kOutOfOrderSequence, kInvalidProducerEpoch, kInvalidTxnState. No others.
// Bounds:   kProducersMax entries; beyond them those longest inactive go, as if expired. What all
//           logs of a shard remember together its ProducerLedger bounds, where there is one.
// Source:   KIP-98, KIP-360; rules 1.30-1.43 of Kafka's broker behaviour.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "common/ids.h"
#include "common/time.h"
#include "storage/producer/producer_ledger.h"
#include "storage/record/record_batch.h"
#include "storage/record/transaction_marker.h"
#include "storage/segment/aborted_index.h"

namespace millrace {

// Kafka has no bound but expiry.
inline constexpr size_t kProducersMax = 100'000;

// As many as a client may have in flight.
inline constexpr size_t kProducerBatchesKept = 5;

struct ProducerBatch {
  Sequence last_sequence{0};
  int32_t offset_delta = 0;  // From the first offset to the last; also from first sequence to last.
  Offset last_offset{0};
  Timestamp timestamp{0};  // The batch's largest.

  Sequence first_sequence() const { return RewindSequence(last_sequence, offset_delta); }
  Offset base_offset() const { return last_offset - OffsetDelta(offset_delta); }
  friend bool operator==(const ProducerBatch&, const ProducerBatch&) = default;
};

class ProducerEntry {
 public:
  explicit ProducerEntry(ProducerEpoch epoch) : epoch_(epoch) {}

  ProducerEpoch epoch() const { return epoch_; }
  // Oldest first; empty if only control batches were seen in this epoch.
  std::span<const ProducerBatch> batches() const { return {batches_.data(), count_}; }
  std::optional<Sequence> last_sequence() const {
    if (count_ == 0) return std::nullopt;
    return batches_[count_ - 1].last_sequence;
  }
  const ProducerBatch* FindDuplicate(const BatchHeader& batch) const;

  void AddBatch(const ProducerBatch& batch);
  // Another epoch starts with an empty window.
  void SetEpoch(ProducerEpoch epoch);

  Timestamp last_timestamp{0};  // Of the last batch: what Kafka shows and stores.
  Timestamp last_active{0};     // When we saw it, which expiry goes by: records may be years old.
  std::optional<int32_t> coordinator_epoch = {};
  std::optional<Offset> open_transaction = {};  // Its first offset.
  ProducerPlace place;

  // Without last_active and place, which are not stored.
  friend bool operator==(const ProducerEntry& a, const ProducerEntry& b);

 private:
  ProducerEpoch epoch_;
  uint8_t count_ = 0;
  std::array<ProducerBatch, kProducerBatchesKept> batches_;
};

// What one producer takes: its entry, and what a node of a map and the allocator add.
inline constexpr size_t kProducerBytes =
    sizeof(std::pair<const ProducerId, ProducerEntry>) + 6 * sizeof(void*);

// The answer to a batch that is already in the log. It may be there and not yet durable: the answer
// waits for its last offset as the first one did.
struct DuplicateBatch {
  Offset base_offset;
  Offset last_offset;
  Timestamp timestamp;
};

// A transaction that a marker has ended. [first, last]: its first record and the marker, with
// records of others in between.
struct CompletedTransaction {
  ProducerId producer;
  Offset first;
  Offset last;
  bool aborted;
  // Where the oldest transaction that is still open begins, or behind the marker when none is.
  Offset last_stable;
};

// REQUIRES: it was aborted.
AbortedTransaction AbortedOf(const CompletedTransaction& completed);

class ProducerState {
 public:
  ProducerState() = default;
  // Its producers count in `ledger`, which may make it forget some.
  explicit ProducerState(ProducerLedger& ledger) : ledger_(&ledger) {}
  // REQUIRES: `from` is in no ledger. What is assigned to stays in its own.
  ProducerState(ProducerState&& from) noexcept;
  ProducerState& operator=(ProducerState&& from) noexcept;
  ~ProducerState() = default;

  // What to do with a batch that passed the validator: append it (nothing), or answer with the
  // place it already has. A batch without a producer is always appended.
  absl::StatusOr<std::optional<DuplicateBatch>> Check(const BatchHeader& batch) const;

  // The batch is in the log, with its final offsets. Never fails: the log is the truth. `marker` is
  // what a control batch says (transaction_marker.h); without it a control batch changes nothing.
  // Returns the transaction that it ended, if that had any records.
  std::optional<CompletedTransaction> Apply(
      const BatchHeader& batch, Timestamp now,
      const std::optional<TransactionMarker>& marker = std::nullopt);

  // The same with the marker read from the batch. One that cannot be read is none.
  std::optional<CompletedTransaction> ApplyBatch(const BatchView& batch, Timestamp now);

  // Where readers of committed records must stop, apart from the high watermark: at the oldest
  // transaction that is open, or whose marker is not known to be committed itself. Nothing if there
  // is none.
  std::optional<Offset> first_unstable() const;
  // Everything below `high_watermark` is committed, markers included.
  void OnCommitted(Offset high_watermark);

  struct ExpiryPass {
    size_t dropped = 0;
    std::optional<Timestamp> oldest = {};  // When the longest silent of those left was seen.
  };
  // Drops producers that sent nothing for `expiration`, never one with an open transaction.
  ExpiryPass Expire(Timestamp now, milliseconds expiration);

  void Clear();
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const ProducerEntry* Find(ProducerId id) const;
  // In the order of ids.
  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }

  // The ledger wants it to go, as if expired. REQUIRES: it has no open transaction.
  void Forget(ProducerId id) { entries_.erase(id); }

  // Sets an entry, as a snapshot has it.
  void Restore(ProducerId id, const ProducerEntry& entry);

 private:
  void Count(ProducerId id, ProducerEntry& entry);
  void EvictIfFull();
  std::optional<CompletedTransaction> EndTransaction(ProducerId id, ProducerEntry& entry,
                                                     Offset marker_offset, bool aborted);

  ProducerLedger* ledger_ = nullptr;
  std::map<ProducerId, ProducerEntry> entries_;
  std::map<Offset, ProducerId> open_;  // Transactions by their first offset.
  std::map<Offset, Offset> ended_;     // Marker -> first offset, until the marker is committed.
};

}  // namespace millrace

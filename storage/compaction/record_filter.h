// RecordFilter: what of a batch survives a compaction, and the batch written anew with it.
//
//   a record          its key's last one, with a value                        stays
//                     its key's last one, without (a tombstone)               stays until the batch's
//                                                                             delete horizon
//                     without a key, or there is a later one of its key       goes
//                     of an aborted transaction                               goes
//   a marker          records of its transaction are left                     stays
//                     none is                                                 stays until its horizon
//   a batch           without records, the last one of an active producer,    stays, empty
//                     or the last one of what is written
//                     without records otherwise                               goes
//
// The first compaction that sees a tombstone, or a marker that ends nothing, sets the batch's
// horizon (now + delete.retention.ms) in the base timestamp, and the attribute that says so
// (KIP-534). By then every older value of the tombstone's key is gone durably: they lie in front of
// it, and what is in front is replaced first. So a reader that has seen such a value has that long
// to see the tombstone, and none comes back when it goes.
//
// Offsets never change: first and last offset of a batch stay, whatever is between them.
//
// Shard:    any, one at a time. Pure.
// Lifetime: `map` must outlive it.
// Errors:   kDataLoss: the batch cannot be read, so nobody knows what of it may go: the caller leaves
//           the log alone.
// Bounds:   memory: one batch uncompressed (UncompressedBytesMax()) and one written anew.
// Source:   rules 13.3-13.6, 13.9 of Kafka's broker behaviour; KIP-534.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "storage/compaction/key_map.h"
#include "storage/producer/transaction_track.h"
#include "storage/record/compression.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"
#include "storage/segment/aborted_index.h"

namespace millrace {

// The records of a batch, uncompressed. One at a time: the bytes are valid until the next call.
class BatchUnpacker {
 public:
  absl::StatusOr<std::span<const uint8_t>> Unpack(const BatchView& batch);

 private:
  Decompressor decompressor_;
  std::vector<uint8_t> bytes_;
};

// Puts the keys of records from `begin` on into a map, batch by batch.
class KeyCollector {
 public:
  // `map` must outlive it.
  KeyCollector(KeyMap& map, Offset begin) : map_(map), begin_(begin), end_(begin) {}

  TransactionTrack& transactions() { return transactions_; }
  // False: the map was full before the end of the batch.
  absl::StatusOr<bool> Add(const BatchView& batch);
  // Every record in [begin, end) is in the map.
  Offset end() const { return end_; }

 private:
  absl::StatusOr<bool> AddRecords(const BatchView& batch);

  KeyMap& map_;
  const Offset begin_;
  Offset end_;
  TransactionTrack transactions_;
  BatchUnpacker unpacker_;
};

// What an active producer is remembered by.
struct LastOfProducer {
  std::optional<Offset> data;  // The last offset of its last batch with records, if it has one.
  ProducerEpoch epoch;
};

class RecordFilter {
 public:
  struct Options {
    Offset map_end;  // Records at and above it are not in the map, and stay as they are.
    Timestamp now;
    int64_t delete_retention_ms;
    std::map<ProducerId, LastOfProducer> producers;
  };

  RecordFilter(const KeyMap& map, Options options) : map_(map), options_(std::move(options)) {}

  TransactionTrack& transactions() { return transactions_; }

  // What becomes of the batch: nothing, the same, or another. `last`: it is the last one of what is
  // written. Batches must come in order, all from the first one of the log on.
  absl::StatusOr<std::optional<BatchView>> Filter(const BatchView& batch, bool last);

  // Aborted transactions whose marker has survived, in order, since the last call.
  std::vector<AbortedTransaction> TakeAborted() { return std::exchange(aborted_, {}); }
  uint64_t records_removed() const { return records_removed_; }

 private:
  // What of the records survives.
  struct Verdict {
    int32_t kept = 0;
    bool tombstones = false;  // Among those.
    Timestamp newest = kNoTimestamp;
    std::vector<uint8_t> records;  // Those, if not all are.
  };

  absl::StatusOr<std::optional<BatchView>> FilterMarker(const BatchView& batch, bool last);
  absl::StatusOr<Verdict> Judge(const BatchView& batch, std::span<const uint8_t> records,
                                std::optional<Timestamp> horizon, bool copy);
  bool Survives(const BatchHeader& header, const RecordView& record) const;
  bool IsLastOfProducer(const BatchHeader& header) const;
  std::optional<Timestamp> NewHorizon(const BatchHeader& header) const;

  // Constant after construction.
  const KeyMap& map_;
  const Options options_;

  // State.
  TransactionTrack transactions_;
  BatchUnpacker unpacker_;
  std::vector<AbortedTransaction> aborted_;
  uint64_t records_removed_ = 0;
};

}  // namespace millrace

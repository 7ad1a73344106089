// LogCompaction: compacts one log once. Two passes, as in Kafka:
//
//   1. the keys of the dirty part are put into a map of bounded size (key_map.h); when it is full,
//      the round ends there, and the rest is for the next one;
//   2. all of the log up to there is read, and what survives (record_filter.h) is written, group of
//      segments by group, oldest first, each put in place durably before the next one is begun
//      (segment_swap.h).
//
// A crash between two groups leaves a log of which some is compacted further than the rest: every
// key's latest value is there, because a record goes only for one that lies behind it; and the
// first dirty offset has not moved, so the next round does all of it again. Oldest first, because
// a tombstone that got its horizon promises that nothing older is left of its key.
//
// Shard:    one; decompressing, hashing and building batches are done by the helper pool.
// Lifetime: `context` outlives it; the caller is inside the log's gate.
// Errors:   kAborted, kCancelled: the log, or what is wanted of it, has changed: another round may
//           begin. kDataLoss: it holds what cannot be read. kResourceExhausted: no room for the new
//           files. In all of these the log is whole. Others: as Disk, the directory has failed.
// Bounds:   memory: CleanerOptions::map_bytes_max, and a few times buffer_bytes or the largest
//           batch. I/O: bytes_per_second.
// Source:   docs/storage.md, Compaction; rules 13.1-13.10.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"
#include "storage/compaction/compaction_rules.h"
#include "storage/compaction/record_filter.h"
#include "storage/log_state.h"
#include "storage/log_store.h"

namespace millrace {

struct StoreContext;

struct CompactionReport {
  Offset begin;  // Of the dirty part that was compacted: [begin, end).
  Offset end;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t records_removed = 0;
  size_t keys = 0;
  size_t segments_before = 0;
  size_t segments_after = 0;
};

class LogCompaction {
 public:
  // `options` says what holds now, each time that it is asked.
  LogCompaction(StoreContext& context, Log::State& state, CancellationToken token,
                std::function<const CleanerOptions&()> options);
  ~LogCompaction();

  Task<absl::StatusOr<CompactionReport>> Run(CompactionPlan plan);

 private:
  // What the helpers work on. One piece at a time, so nobody else looks at it meanwhile.
  struct Work;
  // Whole batches in a row.
  struct Piece {
    std::vector<BatchView> batches;
    uint64_t position = 0;  // Of the first one.
    uint64_t bytes = 0;
    bool last = false;  // Its last one is the last of the group.
  };
  struct PieceResult {
    absl::Status status;
    bool damaged = false;  // A checksum does not hold.
    bool more = true;      // The map takes more.
    Slice bytes;           // To be written.
  };

  Task<absl::StatusOr<CompactionReport>> RunRound(CompactionPlan plan);
  static PieceResult CollectPiece(Work& work, const Piece& piece);
  static PieceResult FilterPiece(Work& work, const Piece& piece);

  Task<absl::Status> CollectKeys(CompactionPlan plan);
  Task<absl::Status> CompactGroup(std::vector<Offset> bases);
  Task<absl::Status> WriteGroup(File* file, std::vector<Offset> bases);
  // Reads segment `base` piece by piece and gives each to the helpers. `file`: what they return is
  // written there. `last`: the group ends with it.
  Task<absl::Status> WalkSegment(Offset base, File* file, bool last);
  Task<absl::Status> DoPiece(Piece piece, Offset base, File* file);
  Task<absl::Status> AddAborted(Offset base, bool filtering);
  // So long as the rate asks for, in slices: who waits for the log's gate is not made to wait for
  // all of it.
  Task<void> Pause(uint64_t bytes);
  // OK while the round may go on.
  absl::Status CheckGoesOn() const;
  // The bases of the segments that are written into one file each.
  std::vector<std::vector<Offset>> Groups(Offset end) const;

  // Borrowed.
  StoreContext& context_;
  Log::State& state_;

  // Constant after construction.
  const CancellationToken token_;
  const std::function<const CleanerOptions&()> options_;
  const uint64_t truncations_;
  const LogDirectory* const directory_;  // Where the log was when the round began.

  // State.
  std::shared_ptr<Work> work_;
  CompactionReport report_;
  bool map_full_ = false;
  uint64_t write_position_ = 0;
};

}  // namespace millrace

// The log of one partition on this broker: records in offset order, readable from memory and from
// disk.
//
//   start_offset <= recovery point <= written end <= end_offset
//   durable_end <= end_offset
//
// Appending is synchronous: Append() gives the offsets, updates producer state and leader epochs,
// keeps the bytes in memory and queues them for the journal, all in one turn, so that appends
// happen in the order in which they are called. What waits is done around it: LogStore::Admit()
// before (memory), durable_end() after (the disk). Segment files are written behind, by the store
// (segment_writer.h).
//
// Shard:      one; every method runs on the shard of its LogStore. Not thread-safe.
// Lifetime:   owned by its LogStore. A Log* is valid until LogStore::Delete() of it, or Stop(),
// begins; keep
//             none across a co_await without a reason why neither can have happened.
// Units:      offsets are Kafka offsets; sizes are bytes of whole batches.
// Errors:     kStorageError: the log directory is offline or full: nothing was appended.
//             kOffsetOutOfRange: see Read(). kDataLoss with kCorruptMessage: bytes on disk fail
//             their CRC and are not served. kCancelled: the store is stopping. No others.
// Durability: Durability::kDisk: durable_end() is what survives power loss; it advances in order.
//             Durability::kPageCache: durable_end() == end_offset() at once (Kafka's promise).
// Invariant:  batches do not overlap; offsets and file positions strictly increase.
// Source:     docs/storage.md; rules 1.30-1.42, 2.6-2.8, 3, 4 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "storage/record/record_batch.h"
#include "storage/segment/aborted_index.h"
#include "storage/segment/log_config.h"

namespace millrace {

class Admission;
class LeaderEpochCache;
class Log;
class LogStore;
class ProducerState;

// Told when something changed about a log; called on its shard, from the loop, never inside a call
// into that Log. One per log (its partition); costs nothing for logs on which nothing happens.
class LogObserver {
 public:
  virtual ~LogObserver() = default;
  // `durable_end` has advanced to this. Not called for Durability::kPageCache, where Append() has
  // done it.
  virtual void OnDurable(Log& log, Offset durable_end) = 0;
  // The log takes no appends any more, for good (`cause`: the directory failed).
  virtual void OnFailed(Log& log, absl::Status cause) = 0;
  // A segment on disk does not hold what was written to it (Log::damage()). Once per segment.
  virtual void OnDamaged(Log&) {}
  // Asked by retention: nothing at or above it is removed. The high watermark.
  virtual Offset CommittedEnd(const Log& log) const;
};

// A place in a segment from which on it is not sound.
struct LogDamage {
  Offset segment;
  uint64_t position;
  std::string why;
};

struct AppendInfo {
  Offset base_offset;
  Offset last_offset;
  Offset next_offset() const { return last_offset + OffsetDelta(1); }
};

struct LogRead {
  // Whole batches, in order. The first one may begin before the offset asked for.
  Chain batches;
  // Where the next read goes on: behind the last batch, or the offset asked for when there is none.
  Offset next_offset;
};

struct OffsetAndTimestamp {
  Offset offset;
  Timestamp timestamp;
  std::optional<LeaderEpoch> leader_epoch;  // Of the batch.
};

struct EpochEnd {
  LeaderEpoch epoch;
  Offset end_offset;
};

struct LogReadOptions {
  size_t bytes_max;
  // Nothing that begins at or after this is returned: the high watermark, the last stable offset,
  // or the log end. REQUIRES: it is the boundary of a batch, or at least end_offset().
  Offset upper_bound;
  // The first batch comes whole even if it is larger than bytes_max (KIP-74).
  bool at_least_one_batch = false;
};

class Log {
 public:
  // Made by LogStore only; the pieces are in log_state.h.
  struct State;
  explicit Log(std::unique_ptr<State> state);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  const TopicPartitionId& id() const;
  const std::string& topic() const;
  PartitionId partition() const { return id().partition; }
  const LogConfig& config() const;
  // Takes effect with the next append and the next look for old segments, but for `durability`,
  // which changes at the next roll.
  void set_config(LogConfig config);

  Offset start_offset() const;
  Offset end_offset() const;
  Offset durable_end() const;
  // Bytes of all batches from the first segment on.
  uint64_t size_bytes() const;
  // What readers or the scrub found, until a repair replaces it; at most a few.
  const std::vector<LogDamage>& damage() const;
  // Path of the log directory it is in.
  const std::string& directory() const;
  // Why appends are refused, or OK.
  absl::Status failure() const;
  // They are refused while there is none, too.
  bool has_room() const;
  // When its directory was full last; nothing: never.
  std::optional<Instant> last_full() const;

  // At most one observer; null removes it. It must outlive the log or be removed before. Retention
  // removes nothing from a log without one: nobody knows what of it is committed.
  void set_observer(LogObserver* observer);

  // --- Appending
  // ------------------------------------------------------------------------------------

  // As leader: the batch gets the offsets from end_offset() on and the epoch, in place.
  // REQUIRES: `batch` was validated (batch_validator.h) and its bytes belong to the caller alone;
  // its producer was checked against producers() in this turn; `epoch` is not below the latest
  // epoch; `admission` holds at least the batch's size (LogStore::Admit), which is taken out of it.
  absl::StatusOr<AppendInfo> Append(BatchView batch, LeaderEpoch epoch, Admission& admission);

  // As follower: offsets and epoch are the leader's, as they stand in the batch.
  // Errors: kOffsetOutOfRange when its base offset is below end_offset(); kCorruptMessage without
  // an epoch or with fields that make no sense. REQUIRES: its CRC was checked.
  absl::StatusOr<AppendInfo> AppendAsFollower(BatchView batch, Admission& admission);

  // The state of idempotent producers as of end_offset(); the duplicate check reads it before
  // Append().
  const ProducerState& producers() const;
  ProducerState& producers();

  // Where readers of committed records must stop, apart from the high watermark: the oldest
  // transaction that is open, or whose marker is not committed. Nothing if there is none.
  std::optional<Offset> first_unstable_offset() const;
  // The high watermark has moved: markers below it count.
  void OnCommitted(Offset high_watermark);

  // Leader epochs and where they start (rule 4.1). Becoming leader adds the new epoch at
  // end_offset().
  const LeaderEpochCache& epochs() const;
  void BeginEpoch(LeaderEpoch epoch);
  // Epochs that begin at end_offset() go: this replica led them and appended nothing. What it is to
  // follow now may have records of an earlier epoch there.
  void DropEmptyEpochs();
  std::optional<LeaderEpoch> latest_epoch() const;
  // Rule 4.2; nothing for an epoch above all known ones (the wire's -1, -1).
  std::optional<EpochEnd> EndOffsetForEpoch(LeaderEpoch epoch) const;

  // --- Reading
  // --------------------------------------------------------------------------------------

  // From memory alone, without suspending: nothing if any of it would have to come from disk.
  // Errors: kOffsetOutOfRange when from < start_offset() or from > end_offset().
  // An empty answer (from at or above the bound) is an answer.
  absl::StatusOr<std::optional<LogRead>> TryReadCached(Offset from, const LogReadOptions& options);

  // The same from wherever it is. May return less than bytes_max although more is there (at a
  // segment's end, or where memory begins): the caller reads on from next_offset. When the log is
  // truncated or its start moves meanwhile, the answer is as if the read had begun after that.
  Task<absl::StatusOr<LogRead>> Read(Offset from, LogReadOptions options);

  // The aborted transactions with records in [from, to), by first offset. REQUIRES: nothing at or
  // above `to` is unstable. When the log is cut meanwhile, as if the search had begun after that.
  Task<absl::StatusOr<std::vector<AbortedTransaction>>> AbortedTransactions(Offset from, Offset to);

  // The first record with a timestamp of at least `timestamp` below `upper_bound` (rule 3.6).
  Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> OffsetForTimestamp(Timestamp timestamp,
                                                                             Offset upper_bound);
  // The first record with the largest timestamp; nothing for an empty log or when that record is at
  // or above `upper_bound` (rule 3.4).
  Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> MaxTimestamp(Offset upper_bound);

  // --- Cutting
  // --------------------------------------------------------------------------------------

  // Removes everything from `offset` on; a batch that straddles it goes whole, so end_offset() may
  // come out lower. Producer state and epochs go back with it. Durable when it returns. REQUIRES:
  // no append runs until it returns.
  Task<absl::Status> Truncate(Offset offset);

  // Whether compaction may have taken something below `offset` for which a record at or above it
  // stands: who cuts there has to begin anew, or keys are lost that the leader still has.
  bool MayBeCompactedAcross(Offset offset) const;

  // Empties the log; the next append has `offset`. As Truncate().
  Task<absl::Status> TruncateFullyAndStartAt(Offset offset);

  // Moves start_offset() forward (DeleteRecords, retention, the leader's start); never back, and
  // not beyond end_offset(). Segments wholly below it are removed later. Durable when it returns.
  Task<absl::Status> AdvanceStart(Offset offset);

  // Everything so far is in segment files and synced, and the recovery point is at the end.
  Task<absl::Status> Flush();

  State& state() { return *state_; }  // For the storage folder only.

 private:
  std::unique_ptr<State> state_;
};

}  // namespace millrace

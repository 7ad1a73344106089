// The journal of one shard in one log directory: what makes appends of all its partitions durable
// with one small sequential write. "Durability is the journal's, layout is the segments'."
//
// Enqueue() copies an entry into the frame that is being filled and returns at once. One write is
// in flight at any time; whatever is enqueued meanwhile, by all partitions of the shard, goes into
// the next frame (natural batching: no timer, no linger). A frame's completion makes all its
// entries durable. Entries stay in the journal until the caller says that segments hold them,
// synced (Recycle()); then their extent is written over.
//
// Shard:      one. Listeners are called on it, from the writing task, in order of position.
// Lifetime:   `env` must outlive it; a listener must outlive its entries or be taken out with
//             Forget(). Stop() must have finished before destruction (CHECKed).
// Units:      bytes. Positions count entries, from 1, within this journal's generation.
// Errors:     the first failed write or sync is final (`status()`): the log directory is offline,
//             every waiter and listener gets the error, nothing is retried, and what was in flight
//             may or may not be found by recovery. kUnavailable after Stop() has begun.
//             kCancelled where a token was given; the entry is written all the same.
// Durability: an entry survives power loss once durable_position() has reached it, not before.
// Bounds:     Options. Memory: pending entries (Admit()) rounded up to chunks of 64 KiB per
//             frame, and at most two frames of chunks kept for reuse. Disk: bytes_max; when it is
//             used up writing waits for Recycle(), and Admit() holds producers back.
// Invariant:  recycled_position <= durable_position <= last_position.
// Source:     docs/storage.md, Journal. Recovery: storage/journal/journal_recovery.h, which must have run
//             (and discarded what it found) before a journal is opened.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/journal/journal_entry.h"
#include "storage/journal/journal_extents.h"
#include "storage/journal/journal_frame.h"

namespace millrace {

// Told what became of entries. Both are called from the journal's writing task: they must not
// suspend or destroy the journal; they may call Enqueue() and Recycle().
class JournalListener {
 public:
  virtual ~JournalListener() = default;
  // Every entry enqueued with this listener up to `position` is durable. `position` is that of the
  // last such entry in the frame; it may come several times for one frame.
  virtual void OnJournalDurable(JournalPosition position) = 0;
  // The journal failed for good; none of the entries that were still pending is known to be
  // durable.
  virtual void OnJournalFailed(const absl::Status& status) = 0;
};

// Told that recycling should hurry: whoever writes segments.
class JournalPressureListener {
 public:
  virtual ~JournalPressureListener() = default;
  // Writing begins a new extent while more than Options::pressure_ratio of the journal waits to be
  // recycled, or writing waits because all of it does.
  virtual void OnJournalPressure() = 0;
};

class Journal {
 public:
  struct Options {
    // Bytes of one extent file. Larger: fewer files and less lost at their ends; smaller: recycled
    // sooner.
    uint64_t extent_bytes = uint64_t{4} << 20;
    // What the journal may grow to on disk. Larger: segments may be written later and in larger
    // pieces, and recovery takes longer. REQUIRES: at least two extents.
    uint64_t bytes_max = uint64_t{64} << 20;
    // A frame is closed at this size (one larger entry still makes one larger frame). Larger: a
    // higher share of the disk's bandwidth; smaller: less waiting behind a long write.
    size_t frame_bytes_max = size_t{512} << 10;
    // Entries may wait in memory up to this many bytes before Admit() waits.
    size_t pending_bytes_max = size_t{8} << 20;
    // Share of bytes_max that waits to be recycled from which the pressure listener is called.
    double pressure_ratio = 0.5;
    // Told how long each durable write takes; may be null.
    Histogram* write_times = nullptr;
    // Called when a durable write begins, and when it has ended; may be empty.
    std::function<void(bool begun)> on_write;

    absl::Status Validate() const;
    // The largest entry that goes into the journal.
    size_t entry_bytes_max() const { return static_cast<size_t>(extent_bytes / 4); }
  };

  // Opens a new journal for `shard` in `log_dir`/millrace-journal with two extents, zero-filled
  // and synced.
  // kFailedPrecondition: extents of an earlier start are there: recover and discard them first.
  static Task<absl::StatusOr<std::unique_ptr<Journal>>> Open(Env& env, std::string log_dir,
                                                             ShardId shard, Options options);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  // Waits, first come first served, until fewer than pending_bytes_max bytes are pending. Nothing
  // is reserved: call Enqueue() before the next co_await.
  Task<absl::Status> Admit(CancellationToken token);
  // Whether Admit() would return at once.
  bool Admits() const { return HasRoom() && line_.empty(); }
  // The same, though others may wait in line.
  bool HasRoom() const { return pending_bytes_ < options_.pending_bytes_max; }

  // Takes the entry into the next frame, in order; never waits. `listener` may be null. The bytes
  // are copied. REQUIRES: EntryBytes() <= entry_bytes_max(); larger appends go to the segment
  // directly. An error means that the journal has failed or stops, and nothing was taken.
  absl::StatusOr<JournalPosition> Enqueue(const JournalEntry& entry, JournalListener* listener);

  // Calls for the pending entries of this listener will not be made.
  void Forget(const JournalListener* listener);

  // Until `position` is durable. REQUIRES: position <= last_position().
  Task<absl::Status> WaitDurable(JournalPosition position, CancellationToken token);

  // Everything at or below `position` is in synced segments (or means nothing any more, and that
  // is synced): it need not be replayed, and extents wholly below may be written over. Lower
  // positions than before are ignored. It is a promise without a cost: nothing is written for it,
  // so recovery may still deliver recycled entries; but whenever it delivers an entry it delivers
  // every later one too. REQUIRES: position <= durable_position().
  //
  // The position to give is one below the first one that any partition still needs: keep dirty
  // partitions in a list ordered by their first unsynced position and look at its head.
  void Recycle(JournalPosition position);

  void set_pressure_listener(JournalPressureListener* listener) { pressure_listener_ = listener; }

  // Drains what was enqueued, ends the writing task, closes the files. When everything is recycled
  // by then the files are removed (clean shutdown: nothing to recover), else they stay for
  // recovery. A full journal is not waited for: entries without room fail with kUnavailable. So a
  // clean shutdown goes: no more Enqueue(); WaitDurable(last_position()); write and sync segments;
  // Recycle(last_position()); Stop(). Returns status(). Call it once.
  Task<absl::Status> Stop();

  // 0 while nothing was enqueued, or is durable, or recycled.
  JournalPosition last_position() const { return JournalPosition(next_position_ - 1); }
  JournalPosition durable_position() const { return durable_; }
  JournalPosition recycled_position() const { return recycled_; }
  JournalGeneration generation() const { return generation_; }
  ShardId shard() const { return shard_; }
  const absl::Status& status() const { return status_; }

  // The largest entry that Enqueue() takes, and what an entry counts for.
  size_t entry_bytes_max() const { return options_.entry_bytes_max(); }
  static size_t EntryBytes(const JournalEntry& entry);

  // Enqueued and not yet durable.
  size_t pending_bytes() const { return pending_bytes_; }
  // Written and not yet recycled, whole extents, their unused ends included.
  uint64_t bytes_pending_recycle() const { return extents_.live_bytes(); }
  // bytes_pending_recycle() as a share of bytes_max, 0 to 1.
  double fill_ratio() const;
  // Written to disk since Open(), padding included; frames written. For metrics and tests.
  uint64_t bytes_written() const { return bytes_written_; }
  uint64_t frames_written() const { return frames_written_; }
  uint64_t extent_count() const { return extents_.count(); }

 private:
  struct Notice {
    JournalListener* listener;  // Null after Forget().
    JournalPosition position;
  };
  struct PendingFrame {
    PendingFrame(JournalChunkPool& pool, JournalPosition first)
        : builder(pool, first), last_position(first) {}
    JournalFrameBuilder builder;
    std::vector<Notice> notices;  // In order; neighbours have different listeners.
    JournalPosition last_position;
  };

  Journal(Env& env, std::string directory, ShardId shard, Options options,
          JournalGeneration generation);

  Task<void> WriteLoop();
  // Writes a frame whose last entry is `last`, entering the next extent where it does not fit.
  Task<absl::Status> WriteFrame(JournalFrameBuilder& builder,
                                JournalPosition last);  // Borrowed: awaited in place.
  Task<absl::Status> EnterNextExtent();
  // Writes a frame that fits. `needs_nothing`: states that not even itself is needed.
  Task<absl::Status> WriteFitting(JournalFrameBuilder& builder, JournalPosition last,
                                  bool needs_nothing);  // Borrowed: awaited in place.
  void Completed(const PendingFrame& frame);
  void Fail(absl::Status status);
  void MaybeGrow();
  Task<void> Grow();
  void NotifyPressure();
  // After the drain: what Stop() still has to do with the files.
  Task<absl::Status> CloseFiles();

  // Constant after construction.
  const Options options_;
  const ShardId shard_;
  const JournalGeneration generation_;

  // Borrowed.
  Env& env_;
  JournalPressureListener* pressure_listener_ = nullptr;

  // Owned.
  JournalChunkPool chunks_;
  JournalExtents extents_;
  TaskScope scope_;

  // State.
  absl::Status status_;
  bool stopping_ = false;
  bool stopped_ = false;
  bool growing_ = false;
  Instant grow_not_before_{0};  // After a failed growth.
  uint64_t next_position_ = 1;
  uint64_t next_sequence_ = 1;
  uint64_t tail_sequence_ = 1;  // The highest stated so far.
  JournalPosition durable_{0};
  JournalPosition recycled_{0};
  size_t pending_bytes_ = 0;
  uint64_t bytes_written_ = 0;
  uint64_t frames_written_ = 0;
  std::deque<PendingFrame> queue_;           // The back one is being filled.
  std::vector<Notice> writing_;              // The notices of the frame in flight.
  std::multimap<uint64_t, Event*> waiters_;  // By position: those in WaitDurable().
  std::deque<uint64_t> line_;                // Tickets of those in Admit().
  uint64_t next_ticket_ = 0;
  Event work_;      // Something to write, or stopping.
  Event room_;      // An extent may have become free, or failure.
  Event admitted_;  // pending_bytes_ fell, stopping, or failure.
  Gate gate_;       // Those in Admit() and WaitDurable().
};

}  // namespace millrace

// The inside of a Log, shared by those who work on it: log.cc appends, log_reader.cc reads,
// segment_writer.cc writes behind, log_cut.cc truncates, recovery.cc brings it back. For the
// storage folder only.
//
// Shard:     one.
// Lifetime:  whoever suspends while using it is inside `gate`; LogStore closes the gate, waits, and
// then
//            destroys it.
// Locking:   `io_locked` (IoLock) is held by whoever changes files of the log or their names: the
// writer,
//            a checkpoint, a truncation, a removal. Appends and reads do not take it; a read checks
//            `cuts` after each suspension instead.
// Invariant: start <= recovery_point <= written_end <= end; durable <= end. Segments are contiguous
// in
//            offset order and there is always at least one; the last one takes appends.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/intrusive_list.h"
#include "common/runtime/gate.h"
#include "common/time.h"
#include "storage/journal/journal.h"
#include "storage/leader_epoch_cache.h"
#include "storage/log.h"
#include "storage/producer/producer_state.h"
#include "storage/recent_reads.h"
#include "storage/segment/segment.h"
#include "storage/tail_cache.h"

namespace millrace {

class LogDirectory;
struct StoreContext;

// What must happen before the log is durable up to `end`.
struct DurableMark {
  std::optional<JournalPosition> position;  // Nothing: only the segment's sync makes it durable.
  Offset end;
  std::optional<Instant> appended = std::nullopt;  // For the histogram.
};

// Which of the segment writer's lists a log is in, if it is in one.
enum class WriteQueue : uint8_t {
  kAging,   // Its bytes may wait for their company.
  kUrgent,  // Next.
  kHeld,    // Its directory was full a moment ago.
};

// Where a reader that went on from disk will find its next offset.
struct ReadPlace {
  Offset offset;
  Offset segment_base;
  uint64_t position;
};

struct Log::State final : JournalListener {
  State(StoreContext& context, LogDirectory& directory, TopicPartitionId id, std::string topic,
        IncarnationId incarnation, uint64_t number, LogConfig config, Offset start);
  ~State();

  // --- Constant after construction ---
  StoreContext& context;
  const TopicPartitionId id;
  const std::string topic;
  const uint64_t number;  // Orders logs where their address must not.

  // --- State ---
  Log* log = nullptr;
  // Recovery may find it in the journal. Both change when the log moves (log_mover.h), in one turn.
  IncarnationId incarnation;
  LogDirectory* directory;
  LogConfig config;
  Durability durability;  // In force; config.durability takes over at a roll.
  LogObserver* observer = nullptr;
  absl::Status failure;

  Offset start;
  Offset end;
  Offset durable;
  Offset committed{0};    // The high watermark, as far as we were told.
  Offset written_end;     // Everything below is in segment files.
  Offset synced_end;      // Everything below survives power loss without the journal.
  Offset recovery_point;  // What the stored checkpoint says; recovery scans from here.
  // The segment in which that lies, as the stored checkpoint names it. Files of it and of those
  // behind it stay until a later checkpoint: recovery begins there.
  Offset checkpoint_segment;
  std::vector<Segment> segments;
  int64_t roll_jitter_ms = 0;
  ProducerState producers;
  LeaderEpochCache epochs;
  LogTail tail;

  // Appends that are not durable yet, in order: [marks_head, size).
  std::vector<DurableMark> marks;
  size_t marks_head = 0;
  JournalPosition journal_durable{0};
  // The first journal entry that no checkpoint covers; and the first one after the checkpoint that
  // is being made.
  std::optional<JournalPosition> journal_first;
  std::optional<JournalPosition> journal_first_after;
  JournalPosition journal_last{0};
  bool journaled = false;  // Since the start some journal has had an entry of it.
  bool checkpointing = false;
  // While recovering: how far the journal of the last run was replayed into this log.
  JournalGeneration replayed_generation{0, 0};
  JournalPosition replayed_position{0};
  bool sync_wanted = false;  // Something waits for the segment's sync instead of the journal's.
  bool files_stale =
      false;  // Kafka's snapshot and epoch files lag behind; a clean stop writes them.
  bool names_unsynced = false;  // A file was made since the folder was synced.

  uint64_t cuts = 0;         // Truncations and moves of the start, for readers to notice.
  uint64_t truncations = 0;  // Those alone: what was read or copied before may be of other batches.
  // The journal tells of a cut that no stored checkpoint covers: replayed, it would take with it what
  // came later and is not in the journal. Nothing is appended before that is so.
  bool cut_unstored = false;
  bool handing_over = false;  // To another directory: nothing becomes durable until that is.
  bool moving = false;        // Its files are being copied there: they are not replaced meanwhile.
  bool switching = false;     // The mover holds its lock, and waits for both directories.
  // Compaction is putting other files in the place of these: who would read waits (WaitForSwap).
  bool swapping = false;
  std::vector<LogDamage> damage;
  bool io_locked = false;
  bool deleted = false;
  Gate gate;
  std::vector<ReadPlace> places;  // Newest last, few.
  RecentReads recent_reads;

  // --- Queues of the segment writer and of producer expiry ---
  std::optional<Timestamp> producers_due;  // In ProducerExpiry's schedule.
  ListHook<State> write_hook;              // In one of the writer's lists, `write_queue`.
  ListHook<State> checkpoint_hook;         // In the list of logs past their recovery point.
  WriteQueue write_queue = WriteQueue::kAging;
  Instant write_since{0};
  Instant checkpoint_since{0};

  std::optional<Instant> flush_due;  // Its key among the writer's flushes.

  // --- Queues of retention ---
  ListHook<State> retention_hook;          // In the list of logs that changed since the last look.
  size_t retention_lane = 0;               // Whose list that is.
  std::optional<Timestamp> retention_due;  // Its key in the schedule.

  // --- Compaction (log_cleaner.h) ---
  // Every record below was compared with what follows it; what lies behind is dirty. The stored
  // checkpoint may say less: then more is compared again.
  Offset cleaned_to{0};
  ListHook<State> cleaner_hook;          // In the list of logs that may have something to compact.
  std::optional<Timestamp> cleaner_due;  // Its key in the schedule.
  std::optional<double> cleaner_ready;  // Its key among those whose time has come: how dirty it is.
  std::string uncleanable;              // Why it is left alone until the next start; or empty.

  const std::string& path() const { return path_; }
  // The files are there now. Whoever reads looks again.
  void Relocate(LogDirectory* to, std::string path);
  std::string SegmentPath(Offset base, std::string_view suffix) const;
  Segment& active() { return segments.back(); }
  // Null when there is none with that base.
  Segment* FindSegment(Offset base);
  // The last segment that begins at or below `offset`; null when all begin above it.
  Segment* SegmentFor(Offset offset);
  bool HasPending() const { return tail.first_pending() < tail.size(); }

  // Moves `durable` as far as journal and syncs allow, and tells the observer.
  void AdvanceDurable();
  // `durability` has changed. What was acknowledged from the page cache is not on the disk yet, and
  // nothing behind it may be called durable before it is: after a power loss the log ends where the
  // first gap is.
  void OnDurabilityChange();
  // The checkpoint behind a cut is stored: all that the cut left is durable.
  void OnCutStored();
  // Gives back budget for pending bytes that were written or dropped.
  void ReleasePending(size_t bytes);
  // No appends any more. What was pending is as good as lost, so it holds no budget.
  void Fail(const absl::Status& cause);

  void OnJournalDurable(JournalPosition position) override;
  void OnJournalFailed(const absl::Status& status) override;

 private:
  std::string path_;
};

}  // namespace millrace

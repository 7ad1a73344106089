// SegmentWriter: brings what was appended into segment files, behind the journal, and moves
// recovery points so that the journal can be recycled. One per shard, over all of its logs.
//
// Two stages, each with a queue of the logs that need it, so that nothing ever visits every log:
//   write       pending bytes -> file (buffered). When a log has segment_write_bytes pending, or
//   the oldest
//               is segment_write_age old, or memory is short, or something waits for a sync.
//   checkpoint  files synced -> checkpoint stored, synced -> journal recycled. checkpoint_age after
//   the
//               first append it does not cover, or sooner, oldest first, while the journal is
//               short.
//
// Shard:      one.
// Lifetime:   Stop() must have finished before destruction. Logs leave with Forget().
// Errors:     a full disk keeps the bytes in memory, is retried every second, and holds producers
// back
//             through the budget; any other failure takes the directory offline (every log in it
//             fails).
// Durability: see above; WriteOut() alone gives what kill -9 survives.
// Bounds:     in each directory kWritesMax files written and checkpoints_max logs checkpointed at a
//             time; more by
//             CheckpointAll(), whose logs share their syncs, but for half of open_files_max files.
// Source:     docs/storage.md, Writing behind.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/intrusive_list.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/journal/journal.h"
#include "storage/kv/kv_store.h"
#include "storage/log_checkpoint.h"
#include "storage/log_state.h"
#include "storage/segment_sync.h"
#include "storage/store_context.h"

namespace millrace {

// A checkpoint of what is in a log's files and not yet synced.
struct WrittenCheckpoint {
  LogCheckpoint checkpoint;
  LogSync sync;
};

class SegmentWriter final : public JournalPressureListener {
 public:
  explicit SegmentWriter(StoreContext& context);
  ~SegmentWriter();

  // Begins writing behind by itself.
  void Start();
  // Ends that. What is pending then stays so: CheckpointAll() before or after.
  Task<void> Stop();

  // Something was appended to this log, or its sync is wanted.
  void Appended(Log::State& state);
  // The log wants a checkpoint, though nothing may have been appended.
  void MarkDirty(Log::State& state);
  // The log takes no part any more.
  void Forget(Log::State& state);

  // Writes everything appended so far into segment files. REQUIRES: the log's IoLock is held.
  Task<absl::Status> WriteOut(Log::State& state);  // Borrowed: awaited in place.

  // Writes everything out, syncs it, and moves the recovery point there. Takes the lock.
  // With `complete` also what Kafka wants to find after a clean stop: whole indexes, a producer
  // snapshot, the leader-epoch file.
  Task<absl::Status> Checkpoint(Log::State& state, bool complete);  // Borrowed: awaited in place.

  // As Checkpoint(), for every log that is past its recovery point, many at a time.
  Task<absl::Status> CheckpointAll(bool complete);

  // The same with the lock held by the caller, and the checkpoint not yet stored.
  Task<absl::StatusOr<LogCheckpoint>> Prepare(Log::State& state,
                                              bool complete);  // Borrowed: awaited in place.
  // The two halves of Prepare(): between them SyncFiles() or SyncTogether().
  Task<absl::StatusOr<WrittenCheckpoint>> WriteForCheckpoint(
      Log::State& state, bool complete);  // Borrowed: awaited in place.
  Task<absl::StatusOr<LogCheckpoint>> FinishCheckpoint(WrittenCheckpoint written,
                                                       bool complete);  // Borrowed: in place.
  // Stores what Prepare() returned, durably, and lets the journal go. REQUIRES: still locked.
  Task<absl::Status> Store(Log::State& state,
                           LogCheckpoint checkpoint);  // Borrowed: awaited in place.

  // The checkpoint is stored, durably. Lets the journal go.
  void Stored(Log::State& state, const LogCheckpoint& checkpoint);

  // Stores first checkpoints of logs without records, with one synced write.
  Task<absl::Status> StoreFirst(const std::vector<Log::State*>& states);  // Borrowed: in place.

  // Work on the files of the log failed: takes its directory offline, or says that it is full.
  void HandleFailure(Log::State& state, const absl::Status& status);

  void OnJournalPressure() override;

 private:
  using WriteList = IntrusiveList<Log::State, &Log::State::write_hook>;
  using CheckpointList = IntrusiveList<Log::State, &Log::State::checkpoint_hook>;
  // flush.messages and flush.ms of a page-cache topic: when what is not synced must be.
  void NoteUnsynced(Log::State& state, Instant now);
  void EndFlush(Log::State& state);
  void StartDueFlushes();
  Task<void> WriteLoop();
  Task<void> CheckpointLoop(LogDirectory* directory);
  // Puts the log at the end of that list, wherever it was.
  void Queue(Log::State& state, WriteQueue queue);
  // Takes it out of the one it is in.
  void Unqueue(Log::State& state);
  WriteList& ListOf(WriteQueue queue);
  Log::State* NextToWrite();
  // The same from one list; logs without room are put aside, and those whose directory has enough
  // to write.
  Log::State* NextFrom(WriteList& list, Instant since_max);
  // Until when nothing is written there; nothing: it may be now.
  std::optional<Instant> Waits(const LogDirectory& directory, Instant now) const;
  void ReturnHeld();
  // A write has ended in `directory`: another may begin.
  void ReturnOne(const LogDirectory& directory);
  // `directory`: where it lay when it was taken from the list.
  Task<void> WriteLog(Log::State* state, Gate::Holder inside, LogDirectory* directory);
  Task<absl::Status> SyncAlone(Log::State& state, bool complete);  // Borrowed: awaited in place.
  Task<absl::Status> FinishSync(LogSync& sync);                    // Borrowed: awaited in place.
  Task<absl::Status> WriteSideFiles(
      Log::State& state,
      const LogCheckpoint* checkpoint);  // Borrowed: awaited in place.
  // Logs whose files somebody holds: who does may be waiting for the room in the journal that
  // checkpoints of others make.
  enum class Locked : uint8_t { kWait, kSkip };
  // How many there were. `of`: of that directory; null: of all.
  Task<absl::StatusOr<size_t>> CheckpointSome(size_t logs_max, bool complete, Locked locked,
                                              const LogDirectory* of);
  // The one after `after`, or the first, of those that wait for a checkpoint there; null: none.
  Log::State* NextDirty(Log::State* after, const LogDirectory* of);

  // Borrowed.
  StoreContext& context_;

  // State.
  WriteList urgent_;
  WriteList aging_;
  WriteList held_;  // Their directories are full or busy: urgent again, all, at held_until_.
  Instant held_until_{0};
  CheckpointList dirty_;
  std::map<std::pair<Instant, uint64_t>, Log::State*> flushes_;  // By flush_due and log number.
  size_t writing_ = 0;
  Event write_wake_;
  Event checkpoint_wake_;
  TaskScope scope_;
};

}  // namespace millrace

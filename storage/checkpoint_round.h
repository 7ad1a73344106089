// CheckpointRound: checkpoints of several logs, made beside each other: what they have in their files is synced, together where
// there are many, and one synced write stores all of their checkpoints.
//
// Shard:    one.
// Lifetime: for one round; holds the files (IoLock) and the gates of its logs until it is destroyed.
// Errors:   as SegmentWriter::Checkpoint(), of any of the logs; the others have theirs.
// Bounds:   the logs that HasRoom() allows: memory for their producers, and open files, go with them.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <deque>
#include <utility>

#include "common/runtime/gate.h"
#include "common/runtime/task.h"
#include "storage/log_checkpoint.h"
#include "storage/log_state.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {

class CheckpointRound {
 public:
  explicit CheckpointRound(StoreContext& context) : context_(context) {}
  CheckpointRound(const CheckpointRound&) = delete;
  CheckpointRound& operator=(const CheckpointRound&) = delete;

  // Whether one log more may take part, of at most `logs_max`.
  bool HasRoom(size_t logs_max) const;
  // `lock` may be empty: then the round waits for it.
  void Add(Log::State& state, Gate::Holder inside, IoLock lock);
  size_t size() const { return items_.size(); }

  // Call it once. `complete`: as for SegmentWriter::Checkpoint().
  Task<absl::Status> Run(bool complete);

 private:
  struct Item {
    Item(Log::State* of, Gate::Holder holder, IoLock files)
        : state(of), inside(std::move(holder)), lock(std::move(files)) {}

    Log::State* state;
    Gate::Holder inside;
    IoLock lock;
    absl::StatusOr<WrittenCheckpoint> written = absl::UnknownError("not written");
    absl::Status synced;  // Together with the others.
    absl::StatusOr<LogCheckpoint> checkpoint = absl::UnknownError("not prepared");
  };
  using Step = Task<void> (CheckpointRound::*)(Item*, bool complete);

  // One step for each of the logs, checkpoints_max at a time.
  Task<void> ForEach(Step step, bool complete);
  Task<void> TakeItems(size_t* next, Step step, bool complete);
  Task<void> Write(Item* item, bool complete);
  // Those of each directory, where its file system can; the others sync for themselves.
  Task<void> SyncAll();
  Task<void> Finish(Item* item, bool complete);
  Task<absl::Status> Store();

  // Borrowed.
  StoreContext& context_;

  // State.
  std::deque<Item> items_;
  size_t producers_ = 0;
  size_t files_ = 0;
};

}  // namespace millrace

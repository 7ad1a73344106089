// LogMover: moves logs from one log directory to another of this node while they are used
// (AlterReplicaLogDirs).
//
// The copy grows in `<topic>-<partition>.<id>-future` of the target, batch by batch and at a
// bounded rate, until little is missing. Then, under the log's IoLock:
//
//   1. the rest is written, copied and synced, partition.metadata with what comes last;
//   2. in one turn the log goes over, as a new incarnation: batches that are only in memory are given
//      to the target's journal, later ones follow them there; nothing becomes durable from here to
//      step 3;
//   3. when the target's journal has them (the old one may have acknowledged them) the checkpoint is
//      stored, synced, and names the target and the incarnation: this is the moment of the move. A
//      crash before it finds the old folder with its journal, one after it the new one;
//   4. the old folder is renamed for deletion;
//   5. the old journal is told that the old incarnation has ended, and need not keep it any more;
//   6. the new folder gets the log's name.
//
// After a crash before 3 the copy is thrown away and begun anew; after 3 recovery repeats steps 4 and
// 6, and what the old journal says of the log is void with that start. Readers and producers notice
// nothing but the pause of step 3, a synced write of the KvStore.
//
// A copy whose move ends before 3, also because its log is deleted, has no name of a copy any more when
// the log can be deleted or moved again: while it was being removed a start would take it for the log,
// or for that of a topic made anew. What else there is of the log in the target goes when a move
// begins. So one that has partition.metadata is whole (log_copy.h says what becomes of it).
//
// If the checkpoints are lost with such a crash, only names and journals tell where the log is:
//   - until step 4 is durable, in the old folder. Its journal has all that was acknowledged up to
//     step 3, since the incarnation ends only behind 4; what was acknowledged in the moment between 3
//     and 4 is in the other journal, and lost.
//   - between 4 and 6 it is in the copy, the only one, with the new journal.
//   - of a log that is back where it was before (A to B to A), the journal has the entries of the
//     first stay still, and the truncations in between were written to the other one. They are of
//     another incarnation, and its end is durable before a copy to there begins. So also when the
//     journal has nothing else of the log, they are not taken for its own.
//
// Shard:    one; in the housekeeping class, one log at a time.
// Lifetime: Stop() must have finished before destruction. `context` outlives it.
// Errors:   Begin(): kStorageError: the target is offline; kAlreadyExists: a folder of the log's
//           name is there. Later ones are logged, the copy is removed, and the log stays where it
//           is. A batch whose CRC fails ends the move: it is not spread. So does a target without
//           room, up to step 2; in step 3 its journal is waited for however long it takes.
// Bounds:   memory: one window of SegmentScanner.
// Source:   KIP-113; docs/storage.md, Several directories.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/log_checkpoint.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_store.h"

namespace millrace {

struct StoreContext;

class LogMover {
 public:
  explicit LogMover(StoreContext& context);
  ~LogMover();

  void Start();
  // Copies under way stay; the next start begins them anew.
  Task<void> Stop();

  // The log shall move to `target`, instead of where it was moving to. To where it is: it stays.
  // When this returns the copy's folder exists, durably.
  Task<absl::Status> Begin(TopicPartitionId id, LogDirectory* target);
  // The log stays where it is, and the copy goes.
  void Cancel(const TopicPartitionId& id);

  std::vector<FutureReplica> futures() const;

 private:
  struct Copied {
    uint64_t bytes = 0;
    bool indexes = false;  // Whole, and good when they were copied.
  };
  struct Move {
    TopicPartitionId id;
    LogDirectory* target;
    std::string topic;
    std::string name = {};  // Of the copy's folder in `target`, and its path.
    std::string folder = {};
    uint64_t truncations = 0;
    std::map<Offset, Copied> segments = {};
    Offset end{0};
    bool cancelled = false;
  };

  // REQUIRES: `id` is in beginning_ and not in moves_.
  Task<absl::Status> MakeMove(TopicPartitionId id, LogDirectory* target);
  // Other copies of the partition in `target` are no copies any more.
  Task<absl::Status> RetireCopies(LogDirectory* target, PartitionDirectory of);
  Task<void> Loop();
  Task<absl::Status> Run(Move* move);
  Task<absl::Status> CopyAndSwitch(Move* move, Log::State* state);
  absl::Status CheckGoesOn(const Move& move, const Log::State& state) const;
  // Until the target's journal says that earlier stays there have ended.
  Task<absl::Status> WaitForEnds(Move* move, Log::State* state);
  // What is missing of what is written, segment by segment.
  Task<absl::Status> CopyWritten(Move* move, Log::State* state, bool locked);
  Task<absl::Status> CopySegment(Move* move, Log::State* state, Offset base, bool locked);
  Task<absl::Status> CopyIndexes(Move* move, Log::State* state, Offset base);
  Task<absl::Status> CopyFile(Move* move, Log::State* state, std::string name);
  // The small files, and nothing that the log no longer has.
  Task<absl::Status> CopyRest(Move* move, Log::State* state);
  Task<absl::Status> SyncCopy(Move* move);
  Task<absl::Status> Switch(Move* move, Log::State* state);
  Task<absl::Status> SwitchLocked(Move* move, Log::State* state);
  // Step 2. On error nothing has changed.
  absl::Status HandOver(Move& move, Log::State& state, LogCheckpoint& checkpoint);
  // Where the log was.
  struct Left {
    LogDirectory* directory;
    std::string path;
    IncarnationId incarnation;
    std::optional<JournalPosition> journal_first;  // What its journal must keep for it.
  };
  // Steps 4 to 6.
  Task<void> Rename(Move* move, Log::State* state, Left left);
  Task<void> DropCopy(Move* move);

  // Borrowed.
  StoreContext& context_;

  // State.
  std::map<TopicPartitionId, std::unique_ptr<Move>> moves_;
  std::set<TopicPartitionId> beginning_;  // In MakeMove(), one at a time of each log.
  Move* running_ = nullptr;
  Event wake_;
  TaskScope scope_;
};

}  // namespace millrace

// Recovery: brings the logs of one shard back from what a process left behind, in three steps.
//
//   1. Load   every partition folder: segments below the recovery point are taken as they are, what
//   lies
//             behind it is read and cut at the first batch that is not sound.
//   2. Replay the journals, in order: batches that the segments lack are appended, truncations
//   repeated.
//   3. Settle every log that changed is checkpointed, so that the journals may be discarded.
//
// After a clean stop 1 reads nothing but folders, 2 finds no journal, 3 has nothing to do. Each
// step may be repeated after a crash at any point.
//
// Shard:    one; runs before the segment writer's loops and before any journal is open.
// Lifetime: lives for the time of the recovery; `context` outlives it.
// Errors:   kUnimplemented: a journal of a newer version. Those of KvStore. A directory that cannot
//           be read, or whose journal is rotten (nothing is changed in it then), goes offline, with
//           a line in the log, and the others go on. A folder that cannot be read as a partition is
//           left alone and logged.
// Bounds:   replayed bytes that wait in memory: LogStoreOptions::pending_bytes_max.
// Source:   docs/storage.md, Recovery.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "storage/journal/journal_recovery.h"
#include "storage/journal_survey.h"
#include "storage/log.h"
#include "storage/log_checkpoint.h"
#include "storage/log_copy.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/scanned_batches.h"
#include "storage/store_context.h"

namespace millrace {

struct RecoveryReport {
  size_t logs = 0;
  uint64_t bytes_scanned = 0;
  size_t logs_cut = 0;
  uint64_t entries_replayed = 0;  // Applied; those that segments held already are not counted.
};

class Recovery final : public JournalVisitor {
 public:
  explicit Recovery(StoreContext& context) : context_(context) {}

  // Logs come out of logs() afterwards.
  Task<absl::Status> Run();

  std::map<TopicPartitionId, std::unique_ptr<Log>>& logs() { return logs_; }
  // Logs that are in a directory which is offline, as far as checkpoints tell: they exist, and must
  // not be made anew elsewhere. What to say to who asks for them.
  std::map<TopicPartitionId, absl::Status>& offline() { return offline_; }
  // Moves between directories that were interrupted: to be begun anew.
  const std::vector<std::pair<TopicPartitionId, LogDirectory*>>& moves() const { return moves_; }
  // Folders of deleted partitions that are still there.
  const std::vector<std::string>& deleted_folders() const { return deleted_folders_; }
  // Folders of this shard's logs that moves have left behind.
  const std::vector<std::string>& leftovers() const { return leftovers_; }
  const RecoveryReport& report() const { return report_; }

  Task<absl::Status> OnJournalEntry(JournalReplay replay) override;

 private:
  struct Known {
    LogCheckpoint checkpoint;
    bool loaded = false;  // There is a log of it.
  };
  using Checkpointed = std::pair<const TopicPartitionId, Known>;
  struct Loaded {
    const LogCheckpoint* checkpoint;  // Null when none is known.
    ScannedBatches scanned;           // What was read: behind the recovery point.
    // Where the log starts, which may lie behind what has been recovered so far.
    Offset start;
    // Without a checkpoint: where the first of `scanned` begins that a journal has, too, and the cuts
    // that the replay has not come to.
    std::optional<Offset> journaled = std::nullopt;
    JournalSurvey::Cuts cuts = {};
  };
  struct Survey {
    explicit Survey(Reactor& reactor) : read(reactor) {}
    JournalSurvey journals;
    absl::Status status;
    Event read;  // Set when the other two are what they will be.
  };

  Task<absl::Status> ReadCheckpoints();
  // The directory is offline: what was loaded of it is let go.
  Task<void> Abandon(LogDirectory& directory, absl::Status cause);  // Borrowed: awaited in place.
  void FindOffline();
  bool IsOnline(const DirectoryId& id) const;
  // What Kafka's own checkpoint says of the starts, for logs that ours knows nothing of.
  Task<void> ReadStarts(LogDirectory& directory);  // Borrowed: awaited in place.
  // While the checkpoints are read; says what came of each directory that is online.
  using Listings = std::map<LogDirectory*, absl::Status>;
  Task<absl::Status> ReadAll(Listings* listings);  // Borrowed: awaited in place.
  Task<void> List(LogDirectory* directory, absl::Status* result);
  Task<absl::Status> ListDirectory(LogDirectory& directory);  // Borrowed: awaited in place.
  // Copies that moves have left: finishes what was decided, the others go.
  Task<absl::Status> SettleFutures(LogDirectory& directory);  // Borrowed: awaited in place.
  // One of a log without a checkpoint, or with several.
  Task<absl::Status> SettleUnknownFuture(
      LogDirectory& directory, const std::string& future, const std::string& folder,
      const std::optional<TopicPartitionId>& of);  // Borrowed: awaited in place.
  CopyFacts FactsOf(const LogDirectory& directory, const Checkpointed& known,
                    const std::string& folder, const std::optional<TopicPartitionId>& of) const;
  Task<absl::Status> DeleteLeftFolders(TopicPartitionId id, const PartitionDirectory& name,
                                       const std::string& folder);  // Borrowed: awaited in place.
  void WarnOfCopy(const LogDirectory& directory, const std::string& future) const;
  // Whether no directory has, or may have, a folder of this name, nor a checkpoint tells of one.
  bool IsNowhere(const std::string& folder) const;
  // The copy is the log from here on.
  Task<absl::Status> NameFuture(LogDirectory& directory, const std::string& future,
                                const std::string& folder);  // Borrowed: awaited in place.
  // Whether the log is in another directory, so that this folder is a copy of it.
  bool IsElsewhere(const LogDirectory& directory, const LogCheckpoint* checkpoint,
                   const std::string& folder) const;
  // Null when no checkpoint, or several, are of a folder with this name.
  Checkpointed* CheckpointedAs(const std::string& folder);
  // The same, and null when that is in another directory.
  Checkpointed* CheckpointedIn(const LogDirectory& directory, const std::string& folder);
  Task<absl::Status> LoadDirectory(LogDirectory& directory);  // Borrowed: awaited in place.
  // Takes folders until none is left, or loading one has failed. Several do so at a time.
  struct FolderToLoad {
    std::string name;
    PartitionDirectory place;
    Checkpointed* checkpointed;  // As CheckpointedIn() says.
  };
  struct Loading {
    LogDirectory* directory;
    std::vector<FolderToLoad> folders;
    size_t next = 0;
    absl::Status result = {};
  };
  Task<void> LoadFolders(Loading* loading);
  struct Folder {
    TopicPartitionId id;
    Known* known;  // Null when there is no checkpoint of it.
    std::string topic;
    std::string name;
  };
  Task<absl::Status> LoadFolder(LogDirectory& directory, Folder folder,
                                std::vector<DirectoryEntry> entries);  // Borrowed: in place.
  // Also where the folder's name does not tell: `named` may be null.
  Known* KnownOf(const TopicPartitionId& id, Checkpointed* named);
  // As partition.metadata says.
  Task<absl::StatusOr<TopicPartitionId>> IdOf(LogDirectory& directory, std::string folder,
                                              PartitionId partition);  // Borrowed: in place.
  // Makes `state.segments` of the files.
  Task<absl::Status> FindSegments(Log::State& state,
                                  std::vector<DirectoryEntry> entries);  // Borrowed: in place.
  // Those of segments that a power loss took: a segment that begins there again would add to them.
  Task<absl::Status> RemoveLostIndexes(Log::State& state,
                                       std::vector<std::string> names);  // Borrowed: in place.
  // The same, and what is in them; says from which one on it must be read.
  Task<absl::Status> LoadSegments(Log::State& state, Loaded& loaded, bool clean,
                                  std::vector<DirectoryEntry> entries);  // Borrowed: in place.
  Task<absl::Status> LoadUnknown(Log::State& state, Loaded& loaded,
                                 bool clean);  // Borrowed: awaited in place.
  Task<absl::Status> ScanFrom(Log::State& state, Loaded& loaded, size_t segment_index,
                              uint64_t position,
                              bool gaps_allowed);  // Borrowed: awaited in place.
  // Where in the segment what no checkpoint of ours vouches for begins, at or behind `position`.
  static uint64_t VouchedFor(const Loaded& loaded, Offset base, uint64_t position);
  // Writes what the scan kept in place once more, so that a later sync is about it: a sync of the
  // life before may have failed, and then the kernel takes pages for clean that the medium does not
  // have (Rebello et al., ATC 2020).
  Task<absl::Status> WriteAgain(Log::State& state, Offset base, uint64_t begin,
                                uint64_t end);  // Borrowed: awaited in place.
  Task<absl::Status> DropSegmentsFrom(Log::State& state,
                                      size_t segment_index);  // Borrowed: awaited in place.
  // What the journals of the directory say, read at the first call: most starts need it of none.
  Task<const Survey*> SurveyOf(LogDirectory& directory);  // Borrowed: awaited in place.
  // Of a log that is read whole: what of it is to be remembered. One whose checkpoint is gone (a
  // damaged one, or the whole key-value store) is the incarnation that the journal last speaks of:
  // what was acknowledged may be there alone.
  Task<void> AskJournals(Log::State& state, Loaded& loaded);  // Borrowed: awaited in place.
  // Of logs without a checkpoint: see recovery_replay.cc.
  Task<absl::Status> ReplayUnknown(Log::State& state, Loaded& loaded,
                                   JournalEntry entry);  // Borrowed: awaited in place.
  // One without records begins there, unless it does so further on.
  Task<absl::Status> BeginUnknown(Log::State& state, Loaded& loaded,
                                  Offset start);  // Borrowed: awaited in place.
  Task<absl::Status> ReplayAppend(Log::State& state, Loaded& loaded,
                                  JournalAppend append);  // Borrowed: awaited in place.
  // As ScanFrom() does, for the logs without a checkpoint.
  Task<absl::Status> WriteJournaledAgain(LogDirectory& directory);  // Borrowed: awaited in place.
  Task<absl::Status> ApplyStarts(LogDirectory& directory);          // Borrowed: awaited in place.
  Task<absl::Status> ApplyStart(Log::State& state, const Loaded& loaded);  // Borrowed: in place.
  Task<absl::Status> MakeRoom();
  Task<absl::Status> RemoveStaleCheckpoints();

  // Borrowed.
  StoreContext& context_;

  // State.
  std::map<TopicPartitionId, Known> checkpoints_;
  // Whose checkpoint a folder's name stands in; null where there are several.
  absl::flat_hash_map<std::string, Checkpointed*> checkpointed_;
  std::map<std::string, Offset> starts_;  // Folder -> log start, of the directory being loaded.
  std::map<TopicPartitionId, std::unique_ptr<Log>> logs_;
  absl::flat_hash_map<TopicPartitionId, Loaded> loaded_;
  std::map<TopicPartitionId, absl::Status> offline_;
  struct Listed {
    LogDirectory* directory;
    std::set<std::string> folders;  // Of partitions.
    std::vector<std::string> futures;
  };
  std::map<std::string, Listed> listed_;  // By the directory's path.
  std::vector<std::pair<TopicPartitionId, LogDirectory*>> moves_;
  std::vector<std::string> deleted_folders_;
  std::vector<std::string> leftovers_;
  std::map<std::string, Survey> surveys_;  // By the directory's path.
  LogDirectory* replaying_ = nullptr;
  RecoveryReport report_;
};

// Appends a batch that the journal of an earlier run holds; its offsets and epoch are final.
// REQUIRES: it begins at or behind state.end; state.context.pending has been charged its size.
void AppendReplayed(Log::State& state, const BatchView& batch);

}  // namespace millrace

// LogDirectory: one of the process's log directories, as one shard uses it: its identity, its lock,
// its clean mark, and the shard's journal in it.
//
// Shard:    one object per shard and directory; shard 0's holds the lock and the clean mark.
// Lifetime: Close() must have finished before destruction.
// Errors:   kFailedPrecondition: not a directory to use: locked by another process, not formatted,
//           another cluster's or node's, or its meta.properties is damaged. Others: the disk does
//           not let us, and the directory is offline.
// Source:   docs/storage.md, Files.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/config/meta_properties.h"
#include "common/disk.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "storage/cold_reads.h"
#include "storage/directory_pace.h"
#include "storage/journal/journal.h"
#include "storage/log.h"
#include "storage/log_files.h"

namespace millrace {

// Reads `path`/meta.properties; nothing when the directory is not formatted (or absent).
Task<absl::StatusOr<std::optional<MetaProperties>>> ReadMetaProperties(
    Disk& disk, std::string path);  // Borrowed: awaited in place.

// Makes the directory and writes meta.properties durably. kAlreadyExists when it is formatted.
Task<absl::Status> FormatLogDirectory(Disk& disk, std::string path,
                                      MetaProperties meta);  // Borrowed: awaited in place.

class LogDirectory {
 public:
  // `slow_write`: as LogStoreOptions::slow_write.
  LogDirectory(Reactor& reactor, Disk& disk, std::string path, Duration slow_write)
      : path_(std::move(path)),
        reactor_(reactor),
        disk_(disk),
        cold_reads_(reactor),
        pace_(reactor, slow_write) {}

  // Checks whose directory it is; with `lock`, takes the lock and the clean mark.
  Task<absl::Status> OpenDirectory(std::optional<std::string> cluster_id,
                                   std::optional<BrokerId> node_id, bool lock);

  // Leaves the clean mark. REQUIRES: everything else in the directory is synced.
  Task<absl::Status> MarkClean();

  const std::string& path() const { return path_; }
  const std::optional<DirectoryId>& id() const { return id_; }
  bool was_clean() const { return was_clean_; }
  // What the shard that took the mark found.
  void set_was_clean(bool clean) { was_clean_ = clean; }

  // The first failure takes the directory offline for good.
  const absl::Status& failure() const { return failure_; }
  void set_failure(absl::Status failure) {
    if (failure_.ok()) failure_ = std::move(failure);
  }

  ColdReads& cold_reads() { return cold_reads_; }
  // Of the writes that acknowledgements wait for. Journal writes come by OnJournalWrite().
  DirectoryPace& pace() { return pace_; }
  // The journal has begun a durable write, or ended one.
  void OnJournalWrite(bool begun);
  Journal* journal() { return journal_.get(); }
  void set_journal(std::unique_ptr<Journal> journal) { journal_ = std::move(journal); }
  std::unique_ptr<Journal> TakeJournal() { return std::move(journal_); }

  // Which journal entries are still needed: the first one of each log that no checkpoint covers.
  void Need(JournalPosition position, uint64_t log_number) {
    needed_.emplace(position.value(), log_number);
  }
  void Unneed(JournalPosition position, uint64_t log_number) {
    needed_.erase({position.value(), log_number});
  }
  // Lets the journal write over what nobody needs.
  void RecycleJournal();
  // This incarnation has no folder here any more, durably: the journal is told. Were the checkpoints
  // lost, the next log of the partition that is here would be given its entries.
  void EndIncarnation(const TopicPartitionId& id, const IncarnationId& incarnation);
  // Whether power loss leaves it all that it was told so. A journal that has failed, never.
  bool EndsAreDurable() const {
    return last_end_ == JournalPosition(0) ||
           (journal_ != nullptr && journal_->durable_position() >= last_end_);
  }

  // Appended to logs of this shard that are here, and not yet in their segment files.
  size_t pending_bytes() const { return pending_bytes_; }
  void AddPending(size_t bytes) { pending_bytes_ += bytes; }
  void ReleasePending(size_t bytes);
  // What needed no room has ended: it is not full, unless bytes wait to be written here.
  void NoteRoom() {
    if (pending_bytes_ == 0) SetFull(false);
  }

  size_t log_count = 0;
  // Folders that were set aside: those that shard 0 found when it took the lock (before any shard
  // recovers, and adds some), and what this shard has added. Nobody tells us when a person removes
  // one.
  size_t strays = 0;
  // Its file system had no room for the last write of this shard: appends are refused until one
  // succeeds.
  bool full() const { return full_; }
  void SetFull(bool full);
  // Called with each change of it.
  void set_on_full(std::function<void(bool full)> told) { on_full_ = std::move(told); }
  // When it was full last; nothing: never.
  std::optional<Instant> last_full() const { return full_ ? reactor_.Now() : last_full_; }
  // When the next write is tried, while it is.
  Instant retry_at{0};
  // What the segment writer does here, for each directory apart: one that is slow, or hangs, holds
  // up no other.
  size_t segment_writes = 0;   // Under way.
  bool journal_short = false;  // Checkpoints hurry.
  bool awaits_dirty =
      false;  // Nothing here waits for a checkpoint, and who makes them waits for that.

 private:
  // Constant after construction.
  const std::string path_;

  // Borrowed.
  Reactor& reactor_;
  Disk& disk_;

  // Owned.
  std::unique_ptr<FileLock> lock_;
  ColdReads cold_reads_;
  DirectoryPace pace_;
  DirectoryPace::Write journal_write_;
  std::unique_ptr<Journal> journal_;

  // State.
  std::optional<DirectoryId> id_;
  bool was_clean_ = false;
  absl::Status failure_;
  size_t pending_bytes_ = 0;
  bool full_ = false;
  std::optional<Instant> last_full_;
  std::function<void(bool)> on_full_;
  std::set<std::pair<uint64_t, uint64_t>> needed_;
  JournalPosition last_end_{0};  // 0: no incarnation has ended since the start.
};

// Why a log is not served: its directory is offline, or none of log.dirs any more (nothing).
absl::Status InOffline(const std::string& topic, PartitionId partition,
                       const std::optional<std::string>& directory);

}  // namespace millrace

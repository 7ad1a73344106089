// Reading journals back after a start that followed no clean shutdown.
//
// Every journal in a log directory is read, whatever the number of shards was. Journals are
// delivered one after another, each one's entries in the order in which they were enqueued. A
// partition's entries are all in one journal: a partition that moves to another shard must have
// all its entries recycled first. Across journals order means nothing.
//
// What a replay must expect: entries that segments hold already (recycling is remembered lazily),
// but never an entry without all later ones of its journal. A recovery point that is stored with
// the generation and position of the last entry it covers lets the log skip the covered ones; that
// is the safe way to skip, because an old truncation looks like any other.
//
// Shard:      one; suspends for reading. Memory: one frame (at most kJournalFrameBytesLimit) and
// one
//             read window of 1 MiB.
// Errors:     kDataLoss: a frame that must be there is missing or fails its checksum, though later
//             ones are whole: the directory is corrupt, and nothing is cut. (Only the last frame of
//             a journal may be torn, because one write was in flight; it is dropped, it was never
//             reported durable.) kUnimplemented: written by a newer version. What the disk or the
//             visitor returns, unchanged.
// Durability: what is delivered is durable in the journal (its end is synced first), so another
//             crash delivers it again. Nothing is changed: recovery may be repeated at any point.
// Source:     docs/storage.md, Journal.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "common/disk.h"
#include "common/runtime/task.h"
#include "storage/journal/journal_entry.h"

namespace millrace {

struct JournalReplay {
  JournalGeneration generation;
  JournalPosition position;
  ShardId shard;  // Which shard's journal it was; may be no shard of this start.
  JournalEntry entry;
};

class JournalVisitor {
 public:
  virtual ~JournalVisitor() = default;
  // The bytes of an append pin the frame they were read in: copy what is kept for long. An error
  // ends the recovery.
  virtual Task<absl::Status> OnJournalEntry(JournalReplay replay) = 0;
};

struct JournalRecoveryReport {
  uint64_t journals = 0;       // Generations found that still counted.
  uint64_t frames = 0;         // Delivered.
  uint64_t entries = 0;        // Delivered.
  uint64_t bytes = 0;          // Payload of the delivered frames.
  uint64_t torn_journals = 0;  // Those that ended in a torn frame.
};

// Delivers everything that the journals of `log_dir` hold. All of them are checked before the first
// entry is delivered, so a corrupt directory is found before anything is changed. An absent
// directory holds nothing.
Task<absl::StatusOr<JournalRecoveryReport>> RecoverJournals(
    Disk& disk, std::string log_dir, JournalVisitor& visitor);  // Borrowed: awaited in place.

// Declares everything in the journals of `log_dir` void, at one point in time for all of them, and
// removes their files. REQUIRES: what RecoverJournals() delivered is in synced segments. After a
// crash in the middle either all journals still count or none does.
Task<absl::Status> DiscardJournals(Disk& disk, std::string log_dir);  // Borrowed: awaited in place.

}  // namespace millrace

// The extent files of one journal: made ready off the write path, written from front to back,
// written over when nobody needs them any more.
//
// A file goes  creating -> free -> live -> retiring -> free -> ...
//   creating   its blocks are written with zeros and synced, because the first write to blocks that
//              were only allocated costs nearly twice as much (docs/performance.md).
//   free       may be written over from its start.
//   live       the newest one is being written; the others wait for Recycle().
//   retiring   everything in it is recycled, but no durable frame says so yet.
//
// Why retiring, in steps:
//   1. Frames 1-100 lie in extents A and B; every one of them says "the tail is 1".
//   2. Everything up to frame 60 is recycled, in memory: all of A.
//   3. Frame 101 is written over the start of A, and power fails in the middle.
//   4. Recovery finds 2-100, whose newest says that 1 is needed: a frame that must be there is
//      missing, which looks like rot, and a healthy directory goes offline.
// So A is free only when some frame elsewhere that says "the tail is 61" is durable; then what is
// left of A's old lap lies below the tail and is ignored, in any state. Each extent keeps one block
// at its end for such a frame, for the case that there is no room for another.
//
// Old frames of a file lie behind the new ones until these reach them. They are never mistaken:
// their sequences are lower than that of any frame of the new lap (recovery takes a lap to end
// where the sequence does not go on), and frames of another start have another generation.
//
// Shard:    one. One writer; Create() may run beside it.
// Lifetime: Close() or RemoveAll() must have finished before destruction (CHECKed).
// Errors:   those of Disk; a failed call leaves the extents to be closed and nothing else.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "common/disk.h"
#include "common/runtime/task.h"
#include "storage/journal/journal_entry.h"

namespace millrace {

// `log_dir`/millrace-journal.
std::string JournalDirectory(const std::string& log_dir);

// While a file of this name is in the directory, no extent in it counts (journal_recovery.h).
inline constexpr const char* kJournalDiscardedName = "discarded";

// A shard and a number out of a name like "3-17.journal"; nothing for any other name.
struct JournalExtentName {
  ShardId shard;
  uint64_t number;
  static std::optional<JournalExtentName> Parse(const std::string& name);
  std::string ToString() const;
};

class JournalExtents {
 public:
  JournalExtents(Disk& disk, std::string directory, ShardId shard, uint64_t extent_bytes)
      : extent_bytes_(extent_bytes), shard_(shard), directory_(std::move(directory)), disk_(disk) {}
  JournalExtents(const JournalExtents&) = delete;
  JournalExtents& operator=(const JournalExtents&) = delete;
  ~JournalExtents();

  // Makes one more extent; it is free afterwards. On an error no file of it is left, where the
  // disk allows.
  Task<absl::Status> Create();

  uint64_t count() const { return count_; }
  bool has_free() const { return !free_.empty(); }
  bool has_retiring() const { return !retiring_.empty(); }

  // Takes a free extent for writing; the next frame, `first_sequence`, is its first. REQUIRES:
  // has_free().
  void Enter(uint64_t first_sequence);
  bool entered() const { return !live_.empty(); }

  // Where the next frame goes. REQUIRES: entered().
  File& file() { return *live_.back().file; }
  uint64_t write_position() const { return live_.back().write_position; }
  // Whether a frame fits, with and without leaving the last block.
  bool Fits(uint64_t bytes) const;
  bool FitsLastBlock(uint64_t bytes) const;

  // A frame of `bytes` at write_position() is durable; `last` is the last entry up to its end, and
  // it said that the tail is `tail_sequence`.
  void Wrote(uint64_t bytes, JournalPosition last, uint64_t tail_sequence);

  // Everything up to `position` is recycled.
  void Recycle(JournalPosition position);

  // The tail that the next frame may state: the first frame of the oldest extent that is needed, or
  // `next_sequence` when none is.
  uint64_t TailSequence(uint64_t next_sequence) const;

  // Bytes of the live extents that are still needed.
  uint64_t live_bytes() const;
  // Share of the newest extent that is used, 0 when none was entered.
  double newest_used() const;

  // Closes all files.
  Task<absl::Status> Close();
  // Closes and removes all files, the newest one last and only after the removal of the others is
  // durable: its last frame may be what says that they are not needed.
  Task<absl::Status> RemoveAll();

 private:
  struct Extent {
    uint64_t number;
    std::unique_ptr<File> file;
    uint64_t write_position = 0;
    uint64_t first_sequence = 0;  // Of this lap; the same for the last ones.
    uint64_t last_sequence = 0;
    JournalPosition last_position{0};
  };

  std::string PathOf(uint64_t number) const;
  Task<absl::Status> Fill(File& file);  // Borrowed: awaited in place.
  // Moves what nobody needs from live to retiring.
  void Retire();
  bool Needed(const Extent& extent) const { return extent.last_position > recycled_; }

  // Constant after construction.
  const uint64_t extent_bytes_;
  const ShardId shard_;
  const std::string directory_;

  // Borrowed.
  Disk& disk_;

  // State.
  uint64_t next_number_ = 0;
  uint64_t count_ = 0;
  JournalPosition recycled_{0};
  std::deque<Extent> free_;      // Oldest first.
  std::deque<Extent> live_;      // In order of sequence; the back one is being written.
  std::deque<Extent> retiring_;  // In order of sequence.
};

}  // namespace millrace

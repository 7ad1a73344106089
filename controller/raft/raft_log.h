// RaftLog: the log as the core sees it: entries since the last compaction, in memory, and how far
// they are committed, durable and handed out. Voter sets in the log take effect when they are
// appended (thesis §4.1), so it also knows the configuration, and takes it back with a truncation.
//
// Bound:   what lies between two compactions (the driver compacts by size), plus what is kept for
//          slow followers.
// Errors:  calls that would break an invariant are CHECKed; the core validates what peers say.
// Source:  the Raft paper §5.3, §7.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "controller/raft/raft_output.h"
#include "controller/raft/raft_types.h"

namespace millrace::raft {

class RaftLog {
 public:
  // What the store holds: `entries` follow the snapshot without a gap.
  RaftLog(SnapshotMeta snapshot, std::vector<LogEntry> entries, RaftIndex commit);

  RaftIndex last_index() const { return RaftIndex(start_index_.value() + size()); }
  RaftTerm last_term() const { return entries_.empty() ? start_term_ : entries_.back().term; }
  // The index before the first entry that is held; its term is known too.
  RaftIndex start_index() const { return start_index_; }
  RaftIndex commit() const { return commit_; }
  // Durable here, and equal to what is held.
  RaftIndex stable() const { return stable_; }
  // Handed out as committed.
  RaftIndex applied() const { return applied_; }
  const SnapshotMeta& snapshot() const { return snapshot_; }

  // Nothing when the entry is gone (compacted) or not there yet.
  std::optional<RaftTerm> TermAt(RaftIndex index) const;
  bool Matches(RaftIndex index, RaftTerm term) const { return TermAt(index) == term; }
  // Is a log that ends so at least as complete as this one (§5.4.1)?
  bool IsUpToDate(RaftIndex last_index, RaftTerm last_term) const;
  // The last entry at or before `index` whose term is at most `term`; where a leader and a follower
  // that disagree may agree.
  std::pair<RaftIndex, RaftTerm> LastOfTerm(RaftIndex index, RaftTerm term) const;

  // Entries from `from` on, at least one where there is one, and more while within `bytes_max`.
  std::vector<LogEntry> Entries(RaftIndex from, size_t bytes_max) const;

  // REQUIRES: entry.index == last_index() + 1.
  void Append(LogEntry entry);
  // REQUIRES: index > commit().
  void TruncateFrom(RaftIndex index);
  // REQUIRES: commit <= last_index(). Never goes back.
  void CommitTo(RaftIndex index);
  // The whole log is replaced by a snapshot. REQUIRES: meta.index > commit().
  void Reset(SnapshotMeta meta);
  // A snapshot of applied state is durable; the log before it, but for `keep` entries of at most
  // `keep_bytes` together, may go. False: an older one than is known.
  bool Compact(const SnapshotMeta& meta, int64_t keep, size_t keep_bytes);

  // Moves what is not yet on its way to the store into `write`.
  void FillWrite(Write* write);
  bool has_unwritten() const { return next_write_ <= last_index() || drop_through_.has_value(); }
  // What the last FillWrite() took is durable.
  void WriteDone();
  // Committed, durable and not yet handed out.
  std::vector<LogEntry> TakeCommitted();

  // The latest configuration, committed or not, and its index (0: it came with no entry).
  const VoterSet& voters() const { return voters_.back().second; }
  RaftIndex voters_index() const { return voters_.back().first; }
  // The configuration as of `index`.
  const VoterSet& VotersAt(RaftIndex index) const;
  // An operator's static set, for a log that has none of its own.
  void SetInitialVoters(VoterSet voters);

 private:
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  const LogEntry& At(RaftIndex index) const;

  RaftIndex start_index_;
  RaftTerm start_term_;
  std::deque<LogEntry> entries_;
  SnapshotMeta snapshot_;
  std::vector<std::pair<RaftIndex, VoterSet>> voters_;  // By index; the first came before the log.
  RaftIndex commit_;
  RaftIndex applied_;
  RaftIndex stable_;
  RaftIndex writing_;     // The last entry of the write under way that still stands.
  RaftIndex next_write_;  // The first entry that no write has taken.
  RaftIndex store_last_;  // The store may hold entries up to here.
  std::optional<RaftIndex> drop_through_;
};

}  // namespace millrace::raft

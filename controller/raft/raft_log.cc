#include "controller/raft/raft_log.h"

#include <algorithm>

#include "common/check.h"

namespace millrace::raft {

RaftLog::RaftLog(SnapshotMeta snapshot, std::vector<LogEntry> entries, RaftIndex commit)
    : start_index_(snapshot.index),
      start_term_(snapshot.term),
      snapshot_(std::move(snapshot)),
      commit_(std::max(commit, snapshot_.index)),
      applied_(snapshot_.index),
      stable_(snapshot_.index),
      writing_(snapshot_.index),
      next_write_(After(snapshot_.index)),
      store_last_(snapshot_.index) {
  voters_.emplace_back(snapshot_.index, snapshot_.voters);
  for (LogEntry& entry : entries) Append(std::move(entry));
  stable_ = writing_ = store_last_ = last_index();
  next_write_ = After(last_index());
  MR_CHECK(commit_ <= last_index());
}

const LogEntry& RaftLog::At(RaftIndex index) const {
  MR_CHECK(index > start_index_ && index <= last_index());
  return entries_[static_cast<size_t>(index.value() - start_index_.value() - 1)];
}

std::optional<RaftTerm> RaftLog::TermAt(RaftIndex index) const {
  if (index == start_index_) return start_term_;
  if (index < start_index_ || index > last_index()) return std::nullopt;
  return At(index).term;
}

bool RaftLog::IsUpToDate(RaftIndex last_index, RaftTerm last_term) const {
  if (last_term != this->last_term()) return last_term > this->last_term();
  return last_index >= this->last_index();
}

std::pair<RaftIndex, RaftTerm> RaftLog::LastOfTerm(RaftIndex index, RaftTerm term) const {
  RaftIndex at = std::min(index, last_index());
  while (at > start_index_ && At(at).term > term) at = Before(at);
  return {std::max(at, start_index_), *TermAt(std::max(at, start_index_))};
}

std::vector<LogEntry> RaftLog::Entries(RaftIndex from, size_t bytes_max) const {
  std::vector<LogEntry> taken;
  size_t bytes = 0;
  for (RaftIndex at = from; at <= last_index(); at = After(at)) {
    bytes += At(at).bytes();
    if (!taken.empty() && bytes > bytes_max) break;
    taken.push_back(At(at));
  }
  return taken;
}

void RaftLog::Append(LogEntry entry) {
  MR_CHECK(entry.index == After(last_index()));
  MR_CHECK(entry.term >= last_term());
  if (const VoterSet* voters = std::get_if<VoterSet>(&entry.payload)) {
    voters_.emplace_back(entry.index, *voters);
  }
  entries_.push_back(std::move(entry));
}

void RaftLog::TruncateFrom(RaftIndex index) {
  MR_CHECK(index > commit_);
  while (last_index() >= index) entries_.pop_back();
  while (voters_.size() > 1 && voters_.back().first >= index) voters_.pop_back();
  stable_ = std::min(stable_, Before(index));
  writing_ = std::min(writing_, Before(index));
  next_write_ = std::min(next_write_, index);
}

void RaftLog::CommitTo(RaftIndex index) {
  MR_CHECK(index <= last_index());
  commit_ = std::max(commit_, index);
}

void RaftLog::Reset(SnapshotMeta meta) {
  MR_CHECK(meta.index > commit_);
  entries_.clear();
  voters_.assign(1, {meta.index, meta.voters});
  start_index_ = commit_ = applied_ = stable_ = writing_ = store_last_ = meta.index;
  start_term_ = meta.term;
  next_write_ = After(meta.index);
  drop_through_.reset();
  snapshot_ = std::move(meta);
}

bool RaftLog::Compact(const SnapshotMeta& meta, int64_t keep, size_t keep_bytes) {
  if (meta.index <= snapshot_.index) return false;
  MR_CHECK(meta.index <= applied_);
  snapshot_ = meta;
  RaftIndex drop = meta.index;
  for (size_t bytes = 0; drop > start_index_ && meta.index.value() - drop.value() < keep;
       drop = Before(drop)) {
    bytes += At(drop).bytes();
    if (bytes > keep_bytes) break;
  }
  if (drop == start_index_) return true;
  start_term_ = At(drop).term;
  entries_.erase(entries_.begin(), entries_.begin() + (drop.value() - start_index_.value()));
  start_index_ = drop;
  while (voters_.size() > 1 && voters_[1].first <= drop) voters_.erase(voters_.begin());
  drop_through_ = drop;
  return true;
}

void RaftLog::FillWrite(Write* write) {
  write->drop_through = std::exchange(drop_through_, std::nullopt);
  for (RaftIndex at = next_write_; at <= last_index(); at = After(at)) {
    write->entries.push_back(At(at));
  }
  if (!write->entries.empty() && next_write_ <= store_last_) write->truncate_from = next_write_;
  next_write_ = After(last_index());
  writing_ = last_index();
  store_last_ =
      write->truncate_from.has_value() ? last_index() : std::max(store_last_, last_index());
}

void RaftLog::WriteDone() { stable_ = std::max(stable_, writing_); }

std::vector<LogEntry> RaftLog::TakeCommitted() {
  std::vector<LogEntry> taken;
  const RaftIndex end = std::min(commit_, stable_);
  while (applied_ < end) {
    applied_ = After(applied_);
    taken.push_back(At(applied_));
  }
  return taken;
}

const VoterSet& RaftLog::VotersAt(RaftIndex index) const {
  const std::pair<RaftIndex, VoterSet>* found = &voters_.front();
  for (const auto& known : voters_) {
    if (known.first <= index) found = &known;
  }
  return found->second;
}

void RaftLog::SetInitialVoters(VoterSet voters) {
  if (voters_.front().second.empty()) voters_.front().second = std::move(voters);
}

}  // namespace millrace::raft

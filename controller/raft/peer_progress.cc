#include "controller/raft/peer_progress.h"

#include <algorithm>

namespace millrace::raft {

bool PeerProgress::MaySend(const FlowOptions& options) const {
  switch (state_) {
    case State::kProbe:
      return !probing_;
    case State::kReplicate:
      return in_flight_.size() < options.in_flight_max &&
             in_flight_bytes_ < options.in_flight_bytes_max;
    case State::kSnapshot:
      return false;
  }
  return false;
}

int PeerProgress::EndOfCheck() {
  silent_checks_ = active_ ? 0 : silent_checks_ + 1;
  active_ = false;
  return silent_checks_;
}

void PeerProgress::Sent(const std::vector<LogEntry>& entries) {
  if (state_ == State::kProbe) probing_ = true;
  if (state_ != State::kReplicate || entries.empty()) return;
  size_t bytes = 0;
  for (const LogEntry& entry : entries) bytes += entry.bytes();
  in_flight_.push_back({entries.back().index, bytes});
  in_flight_bytes_ += bytes;
  next_ = After(entries.back().index);
}

void PeerProgress::BecomeProbe(RaftIndex next) {
  state_ = State::kProbe;
  next_ = std::max(next, After(match_));
  probing_ = false;
  in_flight_.clear();
  in_flight_bytes_ = 0;
}

void PeerProgress::SnapshotStarted(RaftIndex index) {
  BecomeProbe(next_);
  state_ = State::kSnapshot;
  snapshot_index_ = index;
}

void PeerProgress::SnapshotEnded(bool sent) {
  if (state_ != State::kSnapshot) return;
  BecomeProbe(sent ? After(snapshot_index_) : After(match_));
}

bool PeerProgress::Accepted(RaftIndex match) {
  const bool news = match > match_;
  match_ = std::max(match_, match);
  next_ = std::max(next_, After(match_));
  while (!in_flight_.empty() && in_flight_.front().last <= match_) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
  switch (state_) {
    case State::kProbe:
      BecomeProbe(After(match_));
      state_ = State::kReplicate;
      break;
    case State::kSnapshot:
      if (match_ >= snapshot_index_) BecomeProbe(After(match_));
      break;
    case State::kReplicate:
      break;
  }
  return news;
}

bool PeerProgress::Rejected(RaftIndex prev, RaftIndex meet) {
  if (state_ == State::kSnapshot || prev <= match_) return false;
  if (state_ == State::kProbe && prev != Before(next_)) return false;
  BecomeProbe(std::min(After(meet), prev));
  return true;
}

}  // namespace millrace::raft

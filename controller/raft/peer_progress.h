// PeerProgress: what a leader knows of one follower's log, and how much it may send it.
//
//   probe      where the logs meet is not known: one append at a time, until it is accepted
//   replicate  they meet: appends are sent ahead of their answers, within a window
//   snapshot   the follower lacks what the leader no longer has: it is being sent a snapshot
//
// Bound:  Options::in_flight_bytes_max and in_flight_max per peer; a full window waits for answers.
// Source: thesis §10.2.1 (pipelining).
#pragma once

#include <cstddef>
#include <deque>

#include "controller/raft/raft_types.h"

namespace millrace::raft {

struct FlowOptions {
  // Of one append. Larger: fewer messages; smaller: heartbeats wait less behind them.
  size_t append_bytes_max = size_t{256} << 10;
  // Sent and not answered, per peer. Larger: more on a long line; smaller: less memory.
  size_t in_flight_bytes_max = size_t{4} << 20;
  size_t in_flight_max = 64;
};

class PeerProgress {
 public:
  enum class State { kProbe, kReplicate, kSnapshot };

  // A follower that is believed to have what the leader has up to `last`, until it answers.
  explicit PeerProgress(RaftIndex last) : next_(After(last)) {}

  State state() const { return state_; }
  RaftIndex match() const { return match_; }
  RaftIndex next() const { return next_; }
  bool MaySend(const FlowOptions& options) const;

  // Heard from it since the last CheckQuorum (thesis §6.2).
  bool active() const { return active_; }
  void Heard() { active_ = true; }
  // Says whether it was active, and how many checks in a row it was not before.
  int EndOfCheck();

  void Sent(const std::vector<LogEntry>& entries);
  void SentCommit(RaftIndex commit) { commit_sent_ = commit; }
  RaftIndex commit_sent() const { return commit_sent_; }
  void SnapshotStarted(RaftIndex index);
  // The attempt is over. The next append shows what came of it.
  void SnapshotEnded(bool sent);
  // What was sent last may be lost: another may be sent.
  void Retry() { probing_ = false; }

  // Nothing that is on its way can be built on any more.
  void StartOver() { BecomeProbe(After(match_)); }

  // True when it was news.
  bool Accepted(RaftIndex match);
  // The follower lacks (or has otherwise) `prev`; `meet` is where the logs may meet. False: an
  // answer to something long settled.
  bool Rejected(RaftIndex prev, RaftIndex meet);

 private:
  struct InFlight {
    RaftIndex last;
    size_t bytes;
  };
  void BecomeProbe(RaftIndex next);

  State state_ = State::kProbe;
  RaftIndex match_{0};
  RaftIndex next_;
  RaftIndex commit_sent_{0};
  RaftIndex snapshot_index_{0};
  std::deque<InFlight> in_flight_;
  size_t in_flight_bytes_ = 0;
  bool probing_ = false;  // A probe is out.
  bool active_ = true;
  int silent_checks_ = 0;
};

}  // namespace millrace::raft

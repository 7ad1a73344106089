// PartitionFollower: what a replica goes by while it follows one leader in one leader epoch: whether
// its log may take the leader's batches yet, what it knows to be committed, where its log should
// start.
//
//   asking ── the logs meet ───────────► following ── the stream broke, hello again ──► asking
//     │  ▲
//     │  └──── the log has been cut ───┐
//     └── they diverge, or are apart ──► cutting
//
// Rule: the high watermark is the leader's, but not above the own end; it never goes back but with
//   the log's end. Truncation below it is loss of committed records: it happens only after an
//   unclean election, and the shell says so loudly (rule 4.6).
//
// Pure. Source: KIP-101, KIP-279, KIP-595; rules 2.53, 4.4-4.8.
#pragma once

#include <algorithm>
#include <optional>

#include "common/ids.h"
#include "replication/log_match.h"

namespace millrace {

class PartitionFollower {
 public:
  enum class Phase { kAsking, kCutting, kFollowing };

  // What is to be done with the log, and then reported with OnCut().
  struct Cut {
    Offset at;
    bool whole = false;  // The log is emptied and begins at `at`; otherwise it ends there.
    friend bool operator==(const Cut&, const Cut&) = default;
  };

  PartitionFollower(LeaderEpoch epoch, Offset high_watermark)
      : epoch_(epoch), high_watermark_(high_watermark) {}

  LeaderEpoch epoch() const { return epoch_; }
  Phase phase() const { return phase_; }
  Offset high_watermark() const { return high_watermark_; }

  // The leader's answer to our hello; nothing to cut: it follows from now on. REQUIRES: asking.
  std::optional<Cut> OnAnswer(const LogMatch& answer, const LeaderEpochCache& epochs,
                              const ReplicaEnds& own);
  // The log has been cut, and has these ends now; or it failed, and has whatever it has.
  void OnCut(const ReplicaEnds& own);
  // The log was emptied by BeginCut(), and the logs met before: they still do. REQUIRES: OnCut().
  void Resume() { phase_ = Phase::kFollowing; }
  // Asks again: the stream broke, or the leader no longer has what we need next.
  void AskAgain();

  // The log is being cut for another reason than an answer; OnCut() ends it.
  void BeginCut() { phase_ = Phase::kCutting; }

  // Where the log should start: where the leader's does, but not above what is committed here.
  Offset log_start() const { return std::min(leader_log_start_, high_watermark_); }
  void OnLeaderLogStart(Offset log_start) { leader_log_start_ = log_start; }

  // True when the high watermark moved.
  bool OnLeaderHighWatermark(Offset leader_high_watermark, Offset own_end);
  bool OnAppended(Offset own_end);

 private:
  bool Advance(Offset own_end);

  const LeaderEpoch epoch_;
  Phase phase_ = Phase::kAsking;
  Offset high_watermark_;
  // As they were said last.
  Offset leader_high_watermark_{0};
  Offset leader_log_start_{0};
};

}  // namespace millrace

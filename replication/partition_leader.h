// PartitionLeader: what a leader knows of the other replicas of its partition during one leader
// epoch, and what it concludes: what is committed, who is in sync, and when to ask the controller
// for another ISR.
//
// Commit rule: the high watermark is the least end over leader, maximal ISR, and whoever is about to
//   join; "end" is the durable end as the topic's durability means it. It does not move while the ISR
//   is smaller than min.insync.replicas (KIP-966), and never goes back. The maximal ISR is the
//   committed one with all that a pending proposal adds: until the controller has answered, either
//   may be true (KIP-497). Who is outside, eligible and caught up counts too, or a busy partition's
//   high watermark would run away from a follower for ever.
//
//   a follower  ── hello agreed ──► known ── end >= high watermark, epoch start ──► proposed ─┐
//      ▲                              ▲   (eligible, in the broker epoch of the metadata)     │
//      │ new incarnation              │                                              committed│
//      └──────────────────────────────┴── shrunk: behind for lag_max ◄── in the ISR ◄─────────┘
//
// A follower is caught up while its end is the leader's; behind since it was so last. One that is
// behind for lag_max leaves the ISR, however far or near it is, and joins again when it has shown that
// it is alive. Due() says when to look; a partition
// whose followers have everything needs no look, however long nothing happens.
//
// Pure: no I/O, no clock. One proposal is under way at a time; it is given out once.
// Bound:  one entry per assigned replica.
// Source: KIP-497, KIP-841, KIP-903, KIP-966; rules 1.4, 1.5, 2.51, 5.1-5.6, 5.14.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "replication/isr_channel.h"
#include "replication/log_match.h"
#include "replication/partition_assignment.h"

namespace millrace {

struct LeaderOptions {
  // replica.lag.time.max.ms. Raise: a slow follower holds acks=all up for longer before it is left
  // behind.
  Duration lag_max = seconds(30);
  // After a proposal was given up. Raise: fewer requests that the controller refuses.
  Duration propose_again_after = milliseconds(500);
  // The same of one that would have let somebody join, the first time; each further time twice as
  // long, up to this. Raise: the same; lower: who has room on the disk again is back sooner.
  Duration admit_again_after_max = seconds(8);
};

class PartitionLeader {
 public:
  // What an event brought about.
  struct Output {
    bool high_watermark_moved = false;
    std::optional<IsrProposal> propose;
  };
  // How the leadership begins.
  struct Start {
    Offset epoch_start;     // The log's end.
    Offset high_watermark;  // As far as this replica knows.
    Offset end;             // What of its log counts, as in OnOwnEnd().
    size_t isr_min;
  };
  // A follower that may serve consumers.
  struct View {
    BrokerId broker;
    ReplicaEnds ends;
    Duration behind;  // For so long; zero: it has everything.
  };

  // REQUIRES: `assignment.leader` is `self`.
  PartitionLeader(BrokerId self, const PartitionAssignment& assignment, Start start, Instant now,
                  LeaderOptions options);

  // What the controller says now, in the same leader epoch. One that is older than what it has
  // answered brings news of brokers only.
  Output OnAssignment(const PartitionAssignment& assignment, size_t isr_min, Instant now);
  // The leader's own durable end.
  Output OnOwnEnd(Offset end, Instant now);
  // Whether it is a replica, in an incarnation that may be talked to. kUnknownLeaderEpoch: it is
  // none, as far as the metadata here says. kStaleBrokerEpoch: the broker has registered anew since
  // (KIP-903).
  absl::Status CheckFollower(BrokerId broker, BrokerEpoch epoch) const;
  // A follower's log has been found to agree with the leader's, so its ends may be counted. They may
  // be lower than in its former incarnation. Errors: CheckFollower()'s.
  absl::StatusOr<Output> OnFollowerAgreed(BrokerId broker, BrokerEpoch epoch,
                                          const ReplicaEnds& ends, Instant now);
  // It has more. The same errors, and kUnknownLeaderEpoch for one that has not agreed.
  absl::StatusOr<Output> OnFollowerProgress(BrokerId broker, BrokerEpoch epoch,
                                            const ReplicaEnds& ends, Instant now);
  // It has given up its subscription, as when its log directory is full. Outside the ISR nobody
  // waits for it, and it is not proposed, before it says something again.
  Output OnFollowerGone(BrokerId broker, BrokerEpoch epoch, Instant now);
  // The answer to `proposal`; one that is not awaited any more changes nothing.
  Output OnIsrOutcome(const IsrProposal& proposal, const IsrOutcome& outcome, Instant now);
  // What time alone has brought about.
  Output OnTime(Instant now);
  // When OnTime() has something to do, unless something else happens before.
  std::optional<Instant> Due(Instant now) const;

  Offset high_watermark() const { return high_watermark_; }
  Offset epoch_start() const { return epoch_start_; }
  LeaderEpoch leader_epoch() const { return leader_epoch_; }
  PartitionEpoch partition_epoch() const { return partition_epoch_; }
  // Committed; in order of ids.
  std::vector<BrokerId> isr() const;
  // acks=all needs so many in sync, before the append (rule 1.4) ...
  bool has_enough_replicas() const { return isr_size_ >= isr_min_; }
  // ... and after it, by the maximal ISR.
  bool had_enough_replicas() const { return maximal_isr_size() >= isr_min_; }
  size_t isr_size() const { return isr_size_; }
  size_t isr_min() const { return isr_min_; }
  bool alone() const { return followers_.empty(); }
  bool proposal_pending() const { return pending_.has_value(); }
  // Whether the high watermark waits for what this follower does not have yet.
  bool Awaits(BrokerId broker, Instant now) const;
  // The followers in the ISR whose ends are known (KIP-392).
  std::vector<View> InSync(Instant now) const;
  // Where the replicas that are alive all have started: what DeleteRecords waits for (rule 12.3).
  Offset LowWatermark(Offset own_log_start) const;
  // Whether the controller has refused those who would join more than once, one time after the other.
  bool is_refused_again() const { return admit_again_after_ > 2 * options_.propose_again_after; }

 private:
  struct Follower {
    AssignedReplica assigned;
    std::optional<BrokerEpoch> epoch =
        std::nullopt;  // In which it agreed, and the ends below were reported.
    std::optional<ReplicaEnds> ends = std::nullopt;
    std::optional<Instant> caught_up = std::nullopt;  // When it was so last.
    std::optional<Instant> reported =
        std::nullopt;  // When it reported last, and what the leader's end was then.
    Offset own_end_when_reported{0};
    bool heard = false;     // It has said something since it was in the ISR.
    bool proposed = false;  // A pending proposal has it.

    bool knows(Offset end) const { return ends.has_value() && ends->durable_end >= end; }
  };

  Follower* Find(BrokerId broker);
  const Follower* Find(BrokerId broker) const;
  void TakeReplicas(const PartitionAssignment& assignment, Instant now);
  void TakeBrokers(const PartitionAssignment& assignment);
  static void SetInIsr(Follower& follower, bool in_isr, Instant now);
  void TakeIsr(const std::vector<BrokerId>& isr, Instant now);
  bool Lags(const Follower& follower, Instant now) const;
  bool MayJoin(const Follower& follower) const;
  bool IsAboutToJoin(const Follower& follower, Instant now) const;
  bool Counts(const Follower& follower, Instant now) const;
  size_t maximal_isr_size() const;
  bool Advance(Instant now);
  void ForgetRefusals();
  std::optional<IsrProposal> MaybePropose(Instant now);
  Output Conclude(Instant now);

  const BrokerId self_;
  const LeaderEpoch leader_epoch_;
  const Offset epoch_start_;
  const LeaderOptions options_;
  AssignedReplica own_;
  std::vector<Follower> followers_;  // In order of ids.
  PartitionEpoch partition_epoch_;
  size_t isr_size_ = 0;
  size_t isr_min_;
  bool recovering_;
  Offset own_end_;
  Offset high_watermark_;
  std::optional<IsrProposal> pending_;
  std::optional<Instant> propose_again_;  // Not before.
  std::optional<Instant> admit_again_;    // The same of followers that would join.
  Duration admit_again_after_;            // Behind the next refusal of those.
};

// "1,2,3", for messages.
std::string DescribeIsr(const IsrProposal& proposal);

}  // namespace millrace

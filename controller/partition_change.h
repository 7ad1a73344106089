// PartitionChange: the next state of one partition: what a caller wants changed, and everything
// that follows from it: a reassignment that is complete ends, eligible leader replicas are kept, a
// leader is elected, epochs go up.
//
//   leader     stays while it may lead and is in the ISR, and no other is wanted. Else the first in replica order that may
//              (of those whose directories are not known to be full or slow, where there is one),
//              from the ISR; while that is empty from the ELR; while that is empty too the last
//              known leader, or, where unclean election is allowed, anyone: those are unclean, the
//              ISR is then the leader alone and it is to recover.
//   ELR        who leaves the ISR while it is below min.insync.replicas; the high watermark does
//              not move then, so that they have all that was committed. Gone when the ISR is large
//              enough again.
//   leader epoch      + 1 when the leader changes (also to none), and when a replica leaves the
//                     replica set. A smaller ISR alone does not change it.
//   partition epoch   + 1 with every change.
//
// Pure.
// Source: rules 5.13, 5.20-5.23, 5.42 of Kafka's broker behaviour; KIP-455, KIP-704, KIP-966.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "controller/cluster_view.h"
#include "controller/image/metadata_image.h"
#include "controller/topic_settings.h"

namespace millrace {

enum class Election {
  kOnline,     // Keep the leader while it may lead.
  kPreferred,  // The first replica, if it may lead.
  kUnclean,    // As kOnline, but when nobody else can lead, anyone who is alive.
};

class PartitionChange {
 public:
  // `elr_enabled`: eligible.leader.replicas.version is finalised. Without it the ISR is never
  // empty: its last members stay, and nobody leads. All lent outlive this.
  PartitionChange(const PartitionImage& before, const ClusterView& cluster,
                  const TopicSettings& settings, bool elr_enabled);

  // What is wanted; what is not set stays.
  PartitionChange& Elect(Election election);
  PartitionChange& SetIsr(std::span<const BrokerId> isr);
  PartitionChange& SetRecovery(LeaderRecovery recovery);
  // With where they live, in parallel.
  PartitionChange& SetReplicas(std::span<const BrokerId> replicas,
                               std::span<const DirectoryId> directories,
                               std::span<const BrokerId> adding,
                               std::span<const BrokerId> removing);
  PartitionChange& SetDirectory(BrokerId replica, DirectoryId directory);
  // The replica lost what it had: it leaves the ISR, and the ELR too.
  PartitionChange& Lost(BrokerId replica);
  // Its broker throws away what it has: as Lost(), and in a new leader epoch, because what the leader
  // knows of the replica's log, and any proposal that rests on it, is void at once.
  PartitionChange& GivenUp(BrokerId replica);
  // The replica is in sync no longer, but what it has remains.
  PartitionChange& Left(BrokerId replica);
  // Leads in place of who leads, where it may without loss.
  PartitionChange& LedBy(BrokerId replica);

  // The next state, or nothing when nothing changes.
  std::optional<PartitionImage> Build();

 private:
  void CompleteReassignment();
  void KeepElr();
  // So large that the high watermark moves.
  bool IsrIsLargeEnough() const;
  void ElectLeader();
  void KeepLastKnownLeader();
  bool MayLead(BrokerId replica) const { return cluster_.MayLead(next_, replica); }
  bool IsValidLeader(BrokerId replica) const;
  // A leader, and whether choosing it is unclean.
  struct Choice {
    std::optional<BrokerId> leader;
    bool unclean = false;
  };
  Choice Choose() const;

  const PartitionImage& before_;
  const ClusterView& cluster_;
  const TopicSettings& settings_;
  const bool elr_enabled_;
  PartitionImage next_;
  BrokerIds lost_;
  bool new_epoch_ = false;
  std::optional<BrokerId> wanted_;
  Election election_;
};

// Where a new replica on `broker` is to live: one directory is no choice; else the broker says it
// later.
DirectoryId FirstDirectory(const MetadataImage& image, BrokerId broker);

}  // namespace millrace

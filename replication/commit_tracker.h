// CommitTracker: the commit rule of one partition. The high watermark is the minimum end over the
// maximal in-sync replicas, leader included; "end" is the durable end on a `disk` topic and the log
// end on a `page-cache` topic, which is the caller's to report.
//
//   high watermark <= end of every member of the maximal ISR
//   high watermark never goes back
//
// The maximal ISR is the committed one together with every member that a pending change adds or
// removes: until the controller has answered, either may be true (KIP-497).
//
// Pure: no I/O, no clock.
// Source: rules 5.3-5.6 of Kafka's broker behaviour; KIP-966: below min.insync.replicas nothing
// commits.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "common/ids.h"

namespace millrace {

class CommitTracker {
 public:
  // REQUIRES: `isr` contains `self`.
  CommitTracker(BrokerId self, std::set<BrokerId> isr, size_t isr_min, Offset high_watermark);

  // `replica` has everything below `end` (by the topic's durability). Never goes back within an
  // epoch. True when the high watermark advanced.
  bool OnEnd(BrokerId replica, Offset end);

  // The ISR the controller committed; ends any pending change.
  bool OnIsr(std::set<BrokerId> isr);
  // A change to `proposed` was sent to the controller.
  void OnIsrProposed(std::set<BrokerId> proposed) { proposed_ = std::move(proposed); }
  // Takes effect from the next report on.
  void set_isr_min(size_t isr_min) { isr_min_ = isr_min; }

  Offset high_watermark() const { return high_watermark_; }
  const std::set<BrokerId>& isr() const { return isr_; }
  // acks=all needs so many in sync (rules 1.4, 1.5).
  bool has_enough_replicas() const { return isr_.size() >= isr_min_; }

 private:
  bool Advance();

  const BrokerId self_;
  std::set<BrokerId> isr_;
  std::optional<std::set<BrokerId>> proposed_;
  size_t isr_min_;
  std::map<BrokerId, Offset> ends_;
  Offset high_watermark_;
};

}  // namespace millrace

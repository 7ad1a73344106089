#include "replication/commit_tracker.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace millrace {

CommitTracker::CommitTracker(BrokerId self, std::set<BrokerId> isr, size_t isr_min,
                             Offset high_watermark)
    : self_(self), isr_(std::move(isr)), isr_min_(isr_min), high_watermark_(high_watermark) {
  MR_CHECK(isr_.contains(self_));
}

bool CommitTracker::OnEnd(BrokerId replica, Offset end) {
  auto [known, inserted] = ends_.try_emplace(replica, end);
  if (!inserted) {
    if (end <= known->second) return false;
    known->second = end;
  }
  return Advance();
}

bool CommitTracker::OnIsr(std::set<BrokerId> isr) {
  MR_CHECK(isr.contains(self_));
  isr_ = std::move(isr);
  proposed_.reset();
  return Advance();
}

bool CommitTracker::Advance() {
  if (!has_enough_replicas()) return false;
  std::set<BrokerId> maximal = isr_;
  if (proposed_.has_value()) maximal.insert(proposed_->begin(), proposed_->end());
  std::optional<Offset> least;
  for (BrokerId member : maximal) {
    auto end = ends_.find(member);
    if (end == ends_.end()) return false;  // Not heard of since this epoch began.
    least = std::min(least.value_or(end->second), end->second);
  }
  if (!least.has_value() || *least <= high_watermark_) return false;
  high_watermark_ = *least;
  return true;
}

}  // namespace millrace

#include "replication/offset_waiters.h"

#include "common/check.h"

namespace millrace {

void OffsetWaiter::Unlink() {
  if (list_ == nullptr) return;
  list_->by_target_.erase(place_);
  list_ = nullptr;
}

void OffsetWaiters::Add(OffsetWaiter& waiter, Offset target) {
  MR_CHECK(!waiter.linked());
  waiter.place_ = by_target_.emplace(target, &waiter);
  waiter.list_ = this;
}

void OffsetWaiters::Advance(Offset reached) {
  while (!by_target_.empty() && by_target_.begin()->first <= reached) {
    OffsetWaiter* waiter = by_target_.begin()->second;
    waiter->Unlink();
    waiter->OnReached(absl::OkStatus());
  }
}

void OffsetWaiters::FailAll(const absl::Status& status) {
  // Only those there now: one that links itself again is told by whatever happens next.
  std::multimap<Offset, OffsetWaiter*> failed;
  failed.swap(by_target_);
  for (auto& [target, waiter] : failed) waiter->list_ = nullptr;
  for (auto& [target, waiter] : failed) waiter->OnReached(status);
}

}  // namespace millrace

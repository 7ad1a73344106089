#include "broker/server/memory_line.h"

#include <algorithm>

#include "broker/server/cancel_forward.h"

namespace millrace {
namespace {

// Cancelled when the connection goes away, when the broker stops, or in time.
class EndOfPatience final : private Timer {
 public:
  EndOfPatience(Reactor& reactor, CancellationToken cancel, LinePatience patience)
      : reactor_(reactor), cancelled_(source_), drained_(source_) {
    cancel.Register(cancelled_);
    patience.drain.Register(drained_);
    if (patience.until.has_value()) reactor_.Arm(*this, *patience.until);
  }
  ~EndOfPatience() {
    if (armed()) reactor_.Disarm(*this);
  }
  CancellationToken token() { return source_.token(); }

 private:
  void Fire() override { source_.Cancel(); }

  Reactor& reactor_;
  CancellationSource source_;
  CancelForward cancelled_;
  CancelForward drained_;
};

}  // namespace

Task<absl::Status> MemoryLine::Acquire(size_t bytes, CancellationToken cancel,
                                       LinePatience patience) {
  if (budget_.TryAcquire(bytes)) co_return absl::OkStatus();
  EndOfPatience end(reactor_, cancel, patience);
  const auto place = waiting_.insert(waiting_.end(), reactor_.Now());
  const absl::Status taken = co_await budget_.Acquire(bytes, end.token());
  waiting_.erase(place);
  if (taken.ok()) {
    granted_ = reactor_.Now();
  } else if (!cancel.cancelled()) {
    co_return absl::DeadlineExceededError("there is no memory for so long");
  }
  co_return taken;
}

bool MemoryLine::held_up() const {
  if (waiting_.empty()) return false;
  const Instant now = reactor_.Now();
  return now - waiting_.front() >= kFirstWaitsMax ||
         now - std::max(granted_, waiting_.front()) >= kStandingStill;
}

}  // namespace millrace

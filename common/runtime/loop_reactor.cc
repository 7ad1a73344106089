#include "common/runtime/loop_reactor.h"

#include <algorithm>
#include <utility>

namespace millrace {

std::string_view SchedClassName(SchedClass sched_class) {
  switch (sched_class) {
    case SchedClass::kReplication:
      return "replication";
    case SchedClass::kProduce:
      return "produce";
    case SchedClass::kTailFetch:
      return "tail-fetch";
    case SchedClass::kCatchUp:
      return "catch-up";
    case SchedClass::kHousekeeping:
      return "housekeeping";
  }
  return "unknown";
}

bool LoopReactor::Post(std::move_only_function<void()> work) {
  bool wake = false;
  const bool taken = inbox_.Post(work, &wake);
  if (wake) WakeUp();
  return taken;
}

void LoopReactor::PostItem(InboxItem& item) {
  bool wake = false;
  inbox_.Push(item, &wake);
  if (wake) WakeUp();
}

Instant LoopReactor::Measure(std::string_view what, Instant since, const void* code) {
  if (stall_detector_ == nullptr) return since;
  const Instant now = ReadClock();
  stall_detector_->Ran(what, now - since, code, now);
  return now;
}

void LoopReactor::BeginTurn(Instant now) {
  now_ = std::max(now_, now);
  current_class_ = SchedClass::kHousekeeping;
  Instant since = now_;
  if (inbox_.Drain() > 0) since = Measure("inbox", since, nullptr);
  if (timers_.Advance(now_) > 0) Measure("timers", since, nullptr);
}

bool LoopReactor::has_ready() const {
  return std::any_of(ready_.begin(), ready_.end(), [](const ReadyQueue& q) { return !q.empty(); });
}

size_t LoopReactor::RunReady() {
  size_t resumed = 0;
  Instant since = stall_detector_ == nullptr ? now_ : ReadClock();
  for (size_t i = 0; i < kSchedClasses; ++i) {
    const auto sched_class = static_cast<SchedClass>(i);
    for (size_t share = kShare[i]; share > 0 && !ready_[i].empty(); --share, ++resumed) {
      std::coroutine_handle<> handle = ready_[i].Pop();
      // The frame's first word is its resume function (the Itanium C++ ABI of coroutines); read
      // before, because the frame may be gone after.
      const void* code = *static_cast<void* const*>(handle.address());
      current_class_ = sched_class;
      handle.resume();
      since = Measure(SchedClassName(sched_class), since, code);
    }
  }
  current_class_ = SchedClass::kHousekeeping;
  return resumed;
}

}  // namespace millrace

#include "common/sys/real_reactor.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"
#include "common/runtime/task_scope.h"
#include "common/sys/errno_status.h"

namespace millrace {
namespace {

Task<void> RunAndTell(Task<void> task, bool* done) {
  co_await std::move(task);
  *done = true;
}

}  // namespace

Instant MonotonicNow() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

absl::StatusOr<FileDescriptor> MakeWakeEvent(bool nonblocking) {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | (nonblocking ? EFD_NONBLOCK : 0)));
  if (!event.valid()) return ErrnoStatus(errno, "eventfd");
  return event;
}

RealReactor::RealReactor(RealReactorOptions options, FileDescriptor wake_event, Logger& logger)
    : LoopReactor(options.loop, MonotonicNow()),
      options_(options),
      wake_event_(std::move(wake_event)),
      stalls_(options.stalls, logger) {
  set_stall_detector(&stalls_);
}

void RealReactor::WakeUp() {
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the reader has been woken.
  [[maybe_unused]] ssize_t written = ::write(wake_event_.get(), &one, sizeof(one));
}

void RealReactor::Run(Task<void> task) {
  if (!enabled_) {
    Enable();
    enabled_ = true;
  }
  bool done = false;
  TaskScope scope(*this);
  scope.Spawn(RunAndTell(std::move(task), &done), SchedClass::kHousekeeping);
  // The scope counts its task until after `done`: one resumption covers both.
  for (;;) {
    BeginTurn(MonotonicNow());
    RunReady();
    if (done) return;
    WaitForWork();
  }
}

void RealReactor::WaitForWork() {
  if (has_ready() || !inbox().empty()) {
    Poll(Duration(0));
    return;
  }
  if (options_.spin > Duration(0)) {
    const Instant until = MonotonicNow() + options_.spin;
    for (Instant now = until + Duration(-1); now < until; now = MonotonicNow()) {
      Poll(Duration(0));
      std::optional<Instant> deadline = NextDeadline();
      if (has_ready() || !inbox().empty()) return;
      if (deadline.has_value() && *deadline <= now) return;
    }
  }
  std::optional<Duration> timeout;
  if (std::optional<Instant> deadline = NextDeadline(); deadline.has_value()) {
    timeout = std::max(*deadline - MonotonicNow(), Duration(0));
  }
  if (!inbox().FallAsleep()) {
    Poll(Duration(0));
    return;
  }
  Poll(timeout);
  inbox().Awake();
}

}  // namespace millrace

// RealReactor: the loop of a real shard. UringReactor and EpollReactor bring Poll() and Start().
//
// Shard:    Run() makes the calling thread the shard; it stays that for good (the ring takes
//           submissions from one thread only). Post() and PostItem() from any thread.
// Lifetime: no operation is in flight when it is destroyed (CHECKed).
// Errors:   none after creation; a ring that fails later ends the process.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>

#include "common/log/log.h"
#include "common/runtime/loop_reactor.h"
#include "common/runtime/stall_detector.h"
#include "common/runtime/task.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"
#include "common/time.h"

namespace millrace {

// CLOCK_MONOTONIC.
Instant MonotonicNow();

struct RealReactorOptions {
  LoopReactor::Options loop{};
  // How long the loop looks for work before it sleeps. More: less latency (0.14 against 16 µs to
  // hear another shard) for a whole core's time. Only where the cores are ours alone.
  Duration spin{0};
  StallDetectorOptions stalls{};
};

class RealReactor : public LoopReactor, public IoPort {
 public:
  // Runs `task` and everything it needs until it has ended. May be called again, on the same
  // thread.
  void Run(Task<void> task);

  LoopReactor& loop() override { return *this; }
  uint64_t stalls() const { return stalls_.stalls(); }

 protected:
  RealReactor(RealReactorOptions options, FileDescriptor wake_event, Logger& logger);

  // Completes what the kernel has finished; waits for it at most `timeout` (for ever when absent).
  virtual void Poll(std::optional<Duration> timeout) = 0;
  // Once, on the thread of the first Run().
  virtual void Enable() {}

  // An eventfd that another thread writes to; Poll() watches it, reads it and calls nothing.
  int wake_event() const { return wake_event_.get(); }
  Instant ReadClock() const override { return MonotonicNow(); }

 private:
  void WakeUp() override;
  void WaitForWork();

  const RealReactorOptions options_;
  FileDescriptor wake_event_;
  StallDetector stalls_;
  bool enabled_ = false;
};

// The descriptor that the constructor takes.
absl::StatusOr<FileDescriptor> MakeWakeEvent(bool nonblocking);

}  // namespace millrace

// UringReactor: a shard on io_uring. One enter per turn submits what the turn started and waits for
// what comes first: a completion, the next timer, or another thread.
//
// Shard:    the thread of the first Run(). Lifetime: as RealReactor.
// Errors:   Create() says why io_uring cannot be used here: kPermissionDenied (seccomp,
//           kernel.io_uring_disabled), kUnimplemented (kernel too old: it names what is missing),
//           kResourceExhausted (descriptors, locked memory).
// Source:   flags and figures: docs/performance.md. Needs Linux 6.1: SINGLE_ISSUER, DEFER_TASKRUN.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "common/sys/real_reactor.h"

namespace millrace {

struct UringOptions {
  // Submissions that fit before the ring is entered early.
  unsigned entries = 256;
  // Buffers that idle connections share for what arrives first, and the size of each. A receive
  // that finds none left falls back to one more system call.
  unsigned receive_buffers = 32;  // A power of two.
  size_t receive_buffer_bytes = 16 * 1024;
};

class UringReactor final : public RealReactor {
 public:
  static absl::StatusOr<std::unique_ptr<UringReactor>> Create(RealReactorOptions options,
                                                              UringOptions uring, Logger& logger);
  ~UringReactor() override;

  std::string_view io_name() const override { return "io_uring"; }
  void Start(IoOperation& operation) override;
  void Forget(int) override {}
  bool wants_nonblocking_sockets() const override { return false; }

 private:
  class Ring;  // Keeps liburing's header in one file.

  UringReactor(RealReactorOptions options, UringOptions uring, FileDescriptor wake_event,
               std::unique_ptr<Ring> ring, Logger& logger);
  void Enable() override;
  void Poll(std::optional<Duration> timeout) override;
  void ListenForWake();
  void CompleteAll();
  void CompleteReceiveSome(IoOperation& operation, int result, unsigned flags);

  const UringOptions uring_;
  std::unique_ptr<Ring> ring_;
  size_t in_flight_ = 0;
  uint64_t wake_count_ = 0;  // The kernel reads the eventfd into it.
};

}  // namespace millrace

// EpollReactor: a shard where io_uring is not to be had. Sockets are non-blocking and tried first,
// waited for with epoll if need be; file operations go to the helper threads.
//
// Shard:    the thread of the first Run(). Lifetime: as RealReactor; `helpers` outlives it.
// Errors:   Create(): kResourceExhausted (descriptors).
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <vector>

#include "common/sys/file_descriptor.h"
#include "common/sys/helper_threads.h"
#include "common/sys/real_reactor.h"

namespace millrace {

class EpollReactor final : public RealReactor {
 public:
  static absl::StatusOr<std::unique_ptr<EpollReactor>> Create(RealReactorOptions options,
                                                              HelperThreads& helpers,
                                                              Logger& logger);
  ~EpollReactor() override;

  std::string_view io_name() const override { return "epoll"; }
  void Start(IoOperation& operation) override;
  void Forget(int fd) override;
  bool wants_nonblocking_sockets() const override { return true; }

 private:
  // What waits on one descriptor.
  struct Watched {
    IoOperation* reader = nullptr;
    IoOperation* writer = nullptr;
    bool registered = false;
  };

  EpollReactor(RealReactorOptions options, HelperThreads& helpers, FileDescriptor epoll,
               FileDescriptor wake_event, Logger& logger);
  void Poll(std::optional<Duration> timeout) override;
  // Carries the operation out if it need not wait.
  bool Try(IoOperation& operation);
  bool TryReceiveSome(IoOperation& operation);
  void Watch(IoOperation& operation);
  void Retry(IoOperation*& waiting);

  HelperThreads& helpers_;
  FileDescriptor epoll_;
  std::vector<Watched> watched_;  // By descriptor: those are small numbers.
  size_t waiting_ = 0;
  std::vector<uint8_t> scratch_;  // Where receives land first, so that idle ones hold no memory.
};

}  // namespace millrace

// RealListener: one listening TCP socket; see common/network.h.
//
// Shard: one. Lifetime: `port` outlives it; no Accept() pending and Close() done before destruction
// (CHECKed).
#pragma once

#include "common/network.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"

namespace millrace {

class RealListener final : public Listener {
 public:
  // Takes a listening socket in the mode that `port` wants.
  RealListener(IoPort& port, FileDescriptor fd);
  ~RealListener() override;

  Task<absl::StatusOr<std::unique_ptr<Connection>>> Accept() override;
  void Shutdown() override;
  Task<void> Close() override;
  const SocketAddress& local() const override { return local_; }

 private:
  IoPort& port_;
  FileDescriptor fd_;
  const SocketAddress local_;
  bool shut_down_ = false;
  bool accepting_ = false;
};

}  // namespace millrace

// RealConnection: one TCP connection; see common/network.h for what each call promises.
//
// Shard: one. Lifetime: `port` outlives it; no call pending and Close() done before destruction
// (CHECKed).
#pragma once

#include <memory>
#include <utility>

#include "common/network.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"

namespace millrace {

// A connected socket without a shard.
class RealDetached final : public DetachedConnection {
 public:
  explicit RealDetached(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor Take() { return std::move(fd_); }

 private:
  FileDescriptor fd_;
};

class RealConnection final : public Connection {
 public:
  // Takes a connected socket in the mode that `port` wants.
  RealConnection(IoPort& port, FileDescriptor fd);
  ~RealConnection() override;

  Task<absl::StatusOr<Slice>> ReceiveSome(size_t bytes_max) override;
  Task<absl::StatusOr<MutableBuffer>> ReceiveExactly(MutableBuffer into, size_t begin,
                                                     size_t end) override;
  Task<absl::Status> Send(Chain data) override;
  void Shutdown() override;
  Task<void> Close() override;
  std::unique_ptr<DetachedConnection> Detach() override;
  const SocketAddress& peer() const override { return peer_; }
  const SocketAddress& local() const override { return local_; }

 private:
  absl::Status Failed(int error, const char* call) const;

  IoPort& port_;
  FileDescriptor fd_;
  const SocketAddress peer_;
  const SocketAddress local_;
  bool shut_down_ = false;
  bool receiving_ = false;
  bool sending_ = false;
};

}  // namespace millrace

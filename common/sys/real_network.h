// RealNetwork: TCP of the operating system.
//
// Shard:    one. Lifetime: `port` and `helpers` outlive it, its listeners and connections.
// How:      connections have TCP_NODELAY (we gather ourselves) and keep-alive. Names are looked up
//           on a helper thread. A listener for all interfaces takes IPv6 and IPv4 where the machine
//           has IPv6.
// Errors:   as common/network.h.
#pragma once

#include "common/network.h"
#include "common/runtime/helper_pool.h"
#include "common/sys/io_operation.h"

namespace millrace {

class RealNetwork final : public Network {
 public:
  RealNetwork(IoPort& port, HelperPool& helpers) : port_(port), helpers_(helpers) {}

  Task<absl::StatusOr<std::unique_ptr<Listener>>> Listen(SocketAddress address,
                                                         ListenOptions options) override;
  Task<absl::StatusOr<std::unique_ptr<Connection>>> Connect(SocketAddress address,
                                                            Instant deadline) override;
  std::unique_ptr<Connection> Adopt(std::unique_ptr<DetachedConnection> connection) override;

 private:
  IoPort& port_;
  HelperPool& helpers_;
};

}  // namespace millrace

// SimNetwork: Network over the world's SimFabric, as one shard of one process sees it.
//
// Shard:    one.
// Lifetime: as its process; connections and listeners keep what they need.
// Errors:   as Network says; kCancelled after the process's death. Closing or destroying with calls
//           pending is CHECKed, as on the real networks.
#pragma once

#include <memory>

#include "common/network.h"
#include "common/runtime/sim/sim_random.h"

namespace millrace {

class SimProcess;
class SimReactor;

class SimNetwork final : public Network {
 public:
  SimNetwork(SimProcess& process, SimReactor& reactor, uint64_t seed)
      : process_(process), reactor_(reactor), dice_(seed) {}

  Task<absl::StatusOr<std::unique_ptr<Listener>>> Listen(SocketAddress address,
                                                         ListenOptions options) override;
  Task<absl::StatusOr<std::unique_ptr<Connection>>> Connect(SocketAddress address,
                                                            Instant deadline) override;
  std::unique_ptr<Connection> Adopt(std::unique_ptr<DetachedConnection> connection) override;

 private:
  SimProcess& process_;
  SimReactor& reactor_;
  SimRandom dice_;
};

}  // namespace millrace

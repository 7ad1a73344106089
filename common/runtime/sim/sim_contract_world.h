// SimContractWorld: the simulator under the suite that io_uring and epoll pass too
// (common/runtime/contract_test_suite.h).
//
// Shard: one, the thread of the test.
#pragma once

#include <string>

#include "common/runtime/contract_world.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {

class SimContractWorld final : public ContractWorld {
 public:
  explicit SimContractWorld(uint64_t seed)
      : world_(seed), node_(world_.AddNode("node")), env_(node_.Boot()) {
    MR_CHECK(world_.Run(env_, env_.disk.CreateDirectories(folder())).ok());
  }

  Env& env() override { return env_; }
  void RunUntilDone(Task<void> task) override { world_.Run(env_, std::move(task)); }
  std::string folder() override { return "/contract"; }
  std::string host() override { return "127.0.0.1"; }
  bool is_real() const override { return false; }

 private:
  SimWorld world_;
  SimNode& node_;
  Env& env_;
};

}  // namespace millrace

// NodeProgram: a whole node (broker, controller, or both) as what runs on a simulated machine.
//
// Shard: the process's. Lifetime: `process` outlives it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/node/node.h"
#include "common/runtime/sim/sim_node.h"

namespace millrace::simtest {

// What a node of a simulated cluster is; several of them share `voters`.
struct NodePlan {
  BrokerId id{1};
  bool is_broker = true;
  bool is_controller = true;
  std::string voters;  // controller.quorum.voters; empty: controllers join by themselves, by way of
  std::string bootstrap;   // controller.quorum.bootstrap.servers.
  std::string cluster_id;  // Empty: a node that is its own quorum makes one.
  std::string log_dirs = "/data";
  std::string disk_slow_ms = "500";  // millrace.disk.slow.ms.
  // Puts something in front of the node's key-value store; null: nothing.
  std::function<std::unique_ptr<KvStore>(std::unique_ptr<KvStore>)> wrap_store;
  GroupServiceFactory make_groups = MakeGroupService;
};

inline constexpr uint16_t kControllerPort = 9093;
inline constexpr const char* kDataFolder = "/data";

class NodeProgram final : public SimProgram {
 public:
  NodeProgram(SimProcess& process, const NodePlan& plan);
  Task<absl::Status> Start() override { return node_.Start(); }
  Task<void> Stop() override;
  Node& node() { return node_; }

 private:
  Shards shards_;
  Node node_;
};

}  // namespace millrace::simtest

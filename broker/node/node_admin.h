// NodeAdmin: the admin endpoint of a node: listens from the beginning of the start to the end of
// the stop, and knows what to show at each moment between.
//
//   Start() → SetStage()... → Open() once the shards have their brokers → ... → Close() before they
//   lose them → Stop()
//
// Shard:    shard 0; metrics are asked of every shard by calls.
// Lifetime: env, config and shards outlive it; what was given to Open(), and whatever is
//           registered, must be there until Close() has ended. Stop() must have ended before
//           destruction.
// Errors:   Start(): an address that was asked for cannot be had. That the default one is taken is
//           a warning: a second node without configuration starts without the endpoint.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/admin/admin_pages.h"
#include "broker/admin/http_server.h"
#include "broker/admin/node_status.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/process_use.h"
#include "common/runtime/gate.h"
#include "common/runtime/shards.h"
#include "controller/image/metadata_image.h"

namespace millrace {

class NodeShard;

struct NodeAdminOptions {
  std::string version;
  std::string reactor;                        // "io_uring" or "epoll".
  std::function<ProcessUse()> process_use{};  // Nothing in a world without processes.
};

// What a node has once its shards are open.
struct NodeAdminView {
  std::string cluster_id;
  std::vector<BrokerEndpoint> advertised;
  std::vector<NodeShard*> shards;  // Each used on its own shard.
  // Asked on shard 0, at each look.
  std::function<std::shared_ptr<const MetadataImage>()> image;
  std::function<std::optional<BrokerId>()> controller;
  std::function<bool(const std::string& directory)> is_full;
  std::function<bool(const std::string& directory)> is_slow;
};

// What the metadata says of the cluster, and of `node` in it, into `status`.
void DescribeCluster(const MetadataImage& image, BrokerId node, bool is_broker, NodeStatus& status);

class NodeAdmin final : public AdminSource {
 public:
  NodeAdmin(Env& env, Shards& shards, const BrokerConfig& config, NodeAdminOptions options);

  Task<absl::Status> Start();
  void SetStage(NodeStage stage) { stage_ = stage; }
  void Open(NodeAdminView view);
  Task<void> Close();
  Task<void> Stop();

  // For what there is once in a node. REQUIRES: on shard 0; what is registered is there until
  // Close() has ended.
  MetricRegistry& registry() { return registry_; }

  // Where it listens; empty when it does not.
  std::vector<SocketAddress> addresses() const { return server_.addresses(); }

  NodeStatus Status() const override;
  Task<MetricSnapshot> Metrics() override;

 private:
  MetricSnapshot OwnMetrics() const;

  // Constant after construction.
  const NodeAdminOptions options_;
  const BrokerConfig& config_;
  const Instant started_;
  // Borrowed.
  Env& env_;
  Shards& shards_;
  // Owned.
  AdminPages pages_;
  HttpServer server_;
  MetricRegistry registry_;
  // State.
  NodeStage stage_ = NodeStage::kStarting;
  std::optional<NodeAdminView> view_;  // From Open() to Close().
  Gate asking_;                        // Those who ask the shards.
};

}  // namespace millrace

// NodeStatus: what a node says of itself to people and probes.
//
// Shard: a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// How far the node's life is.
enum class NodeStage {
  kStarting,
  kRecovering,   // Logs and metadata are being read.
  kRegistering,  // It has not joined the cluster yet.
  kServing,
  kStopping,
};
std::string_view NodeStageName(NodeStage stage);  // "starting", "recovering", ...

struct NodeStatus {
  struct Listener {
    std::string name;
    std::string address;  // host:port, as clients are told.
  };
  struct Directory {
    std::string path;
    std::optional<std::string> failure;  // Why it is offline.
    bool full = false;                   // It has no room for what is appended, on some shard.
    bool slow = false;                   // What is made durable there takes long, on some shard.
  };
  struct Peer {
    BrokerId id;
    std::string address;
    bool fenced;
  };

  std::string version;
  BrokerId node_id{0};
  std::string cluster_id;
  std::vector<std::string> roles;  // "broker", "controller".
  std::optional<std::string> rack;
  std::string reactor;  // "io_uring", "epoll"; empty in a world that is neither.
  size_t shards = 0;
  Duration uptime{0};

  NodeStage stage = NodeStage::kStarting;
  // Serving, and still no place to send clients to: "fenced by the controller", ...
  std::optional<std::string> not_ready;
  bool ready() const { return stage == NodeStage::kServing && !not_ready.has_value(); }

  std::vector<Listener> listeners;
  std::vector<Directory> directories;

  // Of the metadata that this node has applied.
  std::optional<RaftIndex> metadata_index;
  std::optional<BrokerId> controller;
  std::vector<Peer> brokers;
  size_t topics = 0;
  size_t partitions = 0;        // Of the cluster.
  size_t led = 0;               // By this node.
  size_t replicas = 0;          // On this node.
  size_t leaderless = 0;        // Of the cluster: nobody can use them.
  size_t under_replicated = 0;  // Of the cluster: with fewer in sync than replicas.
  size_t reassigning = 0;       // Of the cluster: replicas are on their way to other brokers.
};

// {"status":"ready",...}: stable names, compact, ends in a newline.
std::string NodeStatusJson(const NodeStatus& status);

// One line for a probe: "ready", "recovering", "serving, but fenced ...".
std::string NodeStatusLine(const NodeStatus& status);

}  // namespace millrace

// Node: one process as a value: everything between the configuration and the sockets, started and
// stopped in the right order. main() builds one on the real world, the simulator many on its own.
//
//   start: format → store of metadata → metadata log replayed → logs recovered → listeners bound →
//   broker registered
//          (all its old leaderships end) → strays removed → partitions opened → connections
//          accepted
//   stop:  the reverse: no new connections, requests in flight answered, logs synced, clean mark
//
// Shard:    shard 0 (one shard, for now: docs/architecture.md, Shards).
// Lifetime: `env` outlives it. Stop() must have finished before destruction, also after a failed
// Start(). Errors:   Start(): what the parts say, with what was being done.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/broker.h"
#include "broker/dispatcher.h"
#include "broker/metadata_applier.h"
#include "broker/request_budget.h"
#include "broker/server.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "controller/single_node_quorum.h"
#include "storage/kv_store.h"

namespace millrace {

struct NodeOptions {
  BrokerConfig config;
  // How the node's key-value store is opened: RocksDB, or the simulator's log.
  std::function<Task<absl::StatusOr<std::unique_ptr<KvStore>>>(Env&, std::string)> open_kv_store;
  // What an empty advertised host becomes: this machine's name.
  std::string host_name = "localhost";
  // Bytes of memory this process may use; what budgets of 0 are shares of.
  size_t memory_bytes = size_t{1} << 30;
};

class Node {
 public:
  Node(Env& env, NodeOptions options);
  ~Node();

  Task<absl::Status> Start();
  // OK when everything was synced and the clean mark was left.
  Task<absl::Status> Stop();

  const std::string& cluster_id() const { return cluster_id_; }
  // What clients of listener `name` are told, with the real port. Empty before Start().
  std::optional<BrokerEndpoint> AdvertisedOn(const std::string& name) const;
  // The first listener's.
  std::optional<BrokerEndpoint> Advertised() const;

 private:
  Task<absl::Status> Format();
  // Metadata that was never written knows none of the logs that are there.
  absl::Status CheckMetadataKnowsLogs() const;
  Task<absl::Status> OpenStores();
  Task<absl::Status> OpenListeners();
  Task<absl::Status> Register();

  // Constant after construction.
  const NodeOptions options_;
  // Borrowed.
  Env& env_;
  // Owned, in order of construction; stopped in reverse.
  RequestBudget request_budget_;
  ByteBudget fetch_budget_;
  TopicConfigSource configs_;
  std::unique_ptr<KvStore> kv_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<SingleNodeQuorum> quorum_;
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<PartitionTable> partitions_;
  std::unique_ptr<MetadataApplier> applier_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Server> server_;
  // State.
  std::string cluster_id_;
  std::vector<DirectoryId> directories_;
  std::vector<BrokerEndpoint> advertised_;
};

}  // namespace millrace

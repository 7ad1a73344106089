// NodeShard: what each shard of a node has for itself: its share of the memory, its logs and
// partitions, its listeners and the connections accepted on them. What exists once is the Node's
// (node.h), which takes the NodeShards of all shards through the steps below, in this order.
//
//   start: LockStore() on shard 0 → Recover() on all → StartStore() on shard 0, then on the rest →
//          Open() → Listen() on shard 0, then on the rest → (the partitions, by the publisher) →
//          Accept()
//   stop:  StopServer() on all → StopStore() on all but shard 0, then on shard 0
//
// Shard:    made, used and destroyed on one shard; the Node calls it there.
// Lifetime: everything lent outlives it. StopServer() and StopStore() must have finished before
//           destruction, whatever of the start was done.
// Errors:   what the parts say, with what was being done.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/admin_context.h"
#include "broker/broker.h"
#include "broker/broker_doubts.h"
#include "broker/control/controller_requests.h"
#include "broker/control/directory_reporter.h"
#include "broker/coordinator/group_service.h"
#include "broker/fencing_doubts.h"
#include "broker/image_peers.h"
#include "broker/lag_meter.h"
#include "broker/life_signs.h"
#include "broker/metadata_applier.h"
#include "broker/node/dispatcher.h"
#include "broker/node/node_budgets.h"
#include "broker/replication_door.h"
#include "broker/server/connection_admission.h"
#include "broker/server/request_budget.h"
#include "broker/server/request_metrics.h"
#include "broker/server/server.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/runtime/ordered_telling.h"
#include "common/runtime/task_scope.h"
#include "storage/kv/kv_store.h"
#include "storage/log_store.h"

namespace millrace {

// What the shards share, all of it constant or of shard 0. Outlives every NodeShard.
struct NodeShardContext {
  const BrokerConfig& config;
  const TopicConfigSource& configs;
  BrokerShards& shards;
  KvStore& kv;  // Shard 0's.
  std::string cluster_id;
  NodeBudgets budgets;  // Of the whole node.
  // Called on shard 0 when no log directory is online any more.
  std::function<void(const absl::Status& why)> on_failure;
  // Called on shard 0: a replication stream to or from `peer`, as it was registered under `epoch`,
  // was lost or could not be made. What a controller takes as testimony.
  std::function<void(BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how)>
      on_stream_loss = {};
  // Called on shard 0: such a stream stands. Takes that back.
  std::function<void(BrokerId peer, BrokerEpoch epoch)> on_stream = {};
  // Called on shard 0 when a log directory went offline, on whichever shard that was seen.
  std::function<void()> on_offline = {};
  // Called on shard 0: what `shard` appends finds no room in the directory any more, or does again.
  std::function<void(ShardId shard, const std::string& path, bool full)> on_full = {};
  // Likewise: durable writes of `shard` there have become slow, or are so no longer.
  std::function<void(ShardId shard, const std::string& path, bool slow)> on_slow = {};
  GroupServiceFactory make_groups = MakeGroupService;
};

// What the APIs and partitions of every shard reach on shard 0. None is null.
struct NodeServices {
  Controller* controller;
  RaftQuorum* raft;
  ControllerAccess* access;
  ControllerRequests* requests;
  ConnectionAdmission* admission;
  IsrChannel* isr;
  DirectoryReports* directories;
};

// Where partitions end for consumers that this shard leads.
struct PartitionEnd {
  std::string topic;
  PartitionId partition;
  Offset high_watermark;
};
struct PartitionEnds {
  std::vector<PartitionEnd> ends;
  size_t omitted = 0;
};

class NodeShard {
 public:
  NodeShard(Env& env, const NodeShardContext& context);
  ~NodeShard();

  // Shard 0's locks the data directories, and says which were stopped cleanly.
  Task<absl::StatusOr<std::vector<bool>>> LockStore();
  // `clean` is what LockStore() of shard 0 said, `offline` what it found offline.
  Task<absl::Status> Recover(std::vector<bool> clean, std::vector<LogDirectoryStatus> offline);
  Task<absl::Status> StartStore();
  // Directories that are offline, and what to do with those that are so on another shard.
  std::vector<LogDirectoryStatus> Offline() const;
  void TakeOffline(const std::vector<LogDirectoryStatus>& offline);
  std::vector<LogDirectoryStatus> Directories() const { return store_->directories(); }
  ShardId shard() const { return env_.reactor.shard(); }
  size_t logs() { return store_->Logs().size(); }

  // The APIs, and what they stand on; what is lent is shard 0's.
  void Open(const NodeServices& services);
  MetadataApplier* applier() { return applier_.get(); }
  // Shard 0's: tells every shard since when no controller was heard; nothing: one is.
  void OnController(std::optional<Instant> lost);
  // Shard 0's: tells every shard that a heartbeat was answered, which left then.
  void OnHeartbeat(Instant sent);
  Broker* broker() { return broker_.get(); }
  AdminContext* admin() { return admin_.get(); }
  size_t partitions() const { return partitions_->size(); }
  // What is counted here. From Open() to StopServer().
  MetricSnapshot Metrics() const { return metrics_.Snapshot(); }
  // The first `max` of each. Likewise.
  GroupPositions Positions(size_t max) const { return groups_->Positions(max); }
  PartitionEnds Ends(size_t max) const;
  LagMeter& lag_meter() { return *lag_meter_; }

  // Gives the port of each listener of the configuration. Shard 0 says first which ports those with
  // port 0 have; `ports` is empty there.
  Task<absl::StatusOr<std::vector<uint16_t>>> Listen(std::vector<uint16_t> ports);
  void Accept();

  Task<void> StopServer();
  // `others` is what the stops of the other shards came to: shard 0 is the last.
  Task<absl::Status> StopStore(absl::Status others);

 private:
  bool IsFirst() const { return env_.reactor.shard() == ShardId(0); }
  void MakeStore(std::vector<bool> clean);
  // Tells the other shards, and, when it was the last one, the node's owner.
  void OnDirectoryOffline(const std::string& path, const absl::Status& cause);
  Task<void> TellOffline(ShardId to, std::string path, absl::Status cause);
  void RegisterMetrics();
  void OpenReplication();
  // Shard 0's: each shard's doubts, this one's first.
  void TellDoubts(std::string subject, std::function<void(FencingDoubts&)> what);
  // Runs `what` on shard 0: each says what is so now, so none may overtake another.
  void TellFirst(std::string subject, std::function<void(const NodeShardContext&)> what);
  ServerOptions MakeServerOptions(const std::vector<uint16_t>& ports) const;

  // Borrowed.
  Env& env_;
  const NodeShardContext& context_;
  // Owned, in order of construction; stopped in reverse.
  MetricRegistry metrics_;  // Asked only between Open() and StopServer().
  RequestMetrics request_metrics_;
  const NodeBudgets budgets_;
  RequestBudget request_budget_;
  FetchBudget fetch_budget_;
  std::unique_ptr<KvStore> remote_kv_;  // Null on shard 0.
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<PartitionTable> partitions_;
  std::unique_ptr<MetadataApplier> applier_;
  std::unique_ptr<ImagePeers> peers_;
  std::unique_ptr<GroupService> groups_;
  std::unique_ptr<LagMeter> lag_meter_;
  BrokerDoubts doubts_;
  LifeSigns life_signs_;
  FencingDoubts fencing_;
  std::unique_ptr<ReplicationShard> replication_;
  std::unique_ptr<ReplicationDoor> replication_door_;
  std::unique_ptr<ControllerAccess> remote_controller_;    // Null on shard 0.
  std::unique_ptr<IsrChannel> remote_isr_;                 // Null on shard 0.
  std::unique_ptr<DirectoryReports> remote_directories_;   // Null on shard 0.
  std::unique_ptr<ConnectionAdmission> remote_admission_;  // Null on shard 0.
  ConnectionAdmission* admission_ = nullptr;
  std::unique_ptr<AdminContext> admin_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Server> server_;
  TaskScope telling_;  // Other shards and the controller, of what became of disks and peers.
  OrderedTelling telling_first_;
  std::vector<std::unique_ptr<OrderedTelling>>
      telling_doubts_;  // On shard 0: of the others, by shard.
};

}  // namespace millrace

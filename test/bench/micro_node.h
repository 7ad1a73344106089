// MicroNode: a node's APIs over a real log, on the simulated world: no socket, no disk, no thread,
// so that instructions of a request can be counted and come out the same every time.
//
// What is written stays in memory and queued (the world stands still while a benchmark loops), so
// the count holds what a request costs the shard, without the kernel and without writing behind.
//
// Shard:    one, the simulated one.
// Lifetime: that of the process: it is never taken down, because that would be counted.
// Errors:   CHECKed: a benchmark that cannot start has nothing to report.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "broker/control/local_controller.h"
#include "broker/control/local_controller_requests.h"
#include "broker/metadata_applier.h"
#include "broker/metadata_publisher.h"
#include "broker/node/dispatcher.h"
#include "broker/server/request_metrics.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "controller/controller.h"
#include "controller/metadata_state.h"
#include "controller/quorum/raft_quorum.h"
#include "storage/kv/kv_store.h"

namespace millrace::bench {

class MicroNode {
 public:
  // A started node on a world of its own.
  static MicroNode& New(uint64_t seed);
  MicroNode(const MicroNode&) = delete;
  MicroNode& operator=(const MicroNode&) = delete;
  ~MicroNode() = delete;

  void CreateTopic(std::string name, int32_t partitions, bool durable);

  SimWorld& world() { return world_; }
  Env& env() { return env_; }
  Partition& partition(const std::string& topic, int32_t index);
  Broker& broker() { return *broker_; }

  // `frame` is a request without its size prefix.
  Task<ApiReply> Handle(Slice frame);

 private:
  explicit MicroNode(SimWorld& world);
  static Task<void> StartTask(MicroNode* self);
  static Task<void> CreateTask(MicroNode* self, CreateTopicRequest request);

  SimWorld& world_;
  Env& env_;
  Shards shards_;
  BrokerShards brokers_;
  FetchBudget fetch_budget_;
  TopicConfigSource configs_;
  std::shared_ptr<ConnectionContext> connection_;
  CancellationSource cancel_;
  CancellationSource drain_;
  std::unique_ptr<KvStore> kv_;
  std::unique_ptr<MetadataState> state_;
  std::unique_ptr<RaftQuorum> quorum_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<PartitionTable> partitions_;
  std::unique_ptr<MetadataApplier> applier_;
  std::unique_ptr<MetadataPublisher> publisher_;
  std::unique_ptr<LocalController> access_;
  LocalControllerRequests requests_;
  MetricRegistry metrics_;
  RequestMetrics request_metrics_{metrics_};
  std::unique_ptr<AdminContext> admin_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace millrace::bench

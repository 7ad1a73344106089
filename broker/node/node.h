// Node: one process as a value: everything between the configuration and the sockets, started and
// stopped in the right order. main() builds one on the real world, the simulator many on its own.
//
//   start: format → store of metadata → controller role: NodeController
//          broker role: logs recovered → listeners bound → registered with the active controller
//          (all its old leaderships end), metadata followed → strays set aside → partitions opened →
//          connections accepted → unfenced
//   stop:  broker role: leaderships handed over → no new connections, requests in flight answered,
//          logs synced, clean mark; then the controller role
//
// What there is once lives here; what each shard has for itself is a NodeShard, made and used on
// its shard by calls from here.
//
// Shard:    shard 0.
// Lifetime: `shards` and the Envs outlive it. Stop() must have finished before destruction, also
//           after a failed Start().
// Errors:   Start(): what the parts say, with what was being done.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/broker_shards.h"
#include "broker/metadata_publisher.h"
#include "broker/node/directory_marks.h"
#include "broker/node/live_broker_settings.h"
#include "broker/node/metadata_folder.h"
#include "broker/node/node_admin.h"
#include "broker/node/node_controller.h"
#include "broker/node/node_format.h"
#include "broker/node/node_link.h"
#include "broker/node/node_shard.h"
#include "broker/server/connection_admission.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/runtime/shards.h"
#include "controller/controller.h"
#include "controller/quorum/raft_quorum_options.h"
#include "controller/transport/message_stream.h"
#include "storage/kv/kv_store.h"

namespace millrace {

struct NodeOptions {
  BrokerConfig config;
  // How the node's key-value store is opened: RocksDB, or the simulator's log.
  std::function<Task<absl::StatusOr<std::unique_ptr<KvStore>>>(Env&, std::string)> open_kv_store;
  // Streams between nodes: gRPC, or the simulator's frames. Asked for once each, and only where
  // there may be other nodes; may be null where there are none.
  std::function<std::unique_ptr<StreamDialer>(Env&)> make_dialer;
  std::function<std::unique_ptr<StreamAcceptor>(Env&)> make_acceptor;
  // What unformatted directories are formatted for. Nothing: a node that is its own quorum makes an
  // id, one of several refuses to start.
  std::optional<std::string> cluster_id;
  // What an empty advertised host becomes: this machine's name.
  std::string host_name = "localhost";
  // Called when the node cannot go on: no log directory is online any more, or the store of metadata
  // is damaged. The owner stops it.
  std::function<void(const absl::Status& why)> on_failure;
  // Bytes of memory this process may use; what budgets of 0 are shares of.
  size_t memory_bytes = size_t{1} << 30;
  size_t descriptors = 1024;  // That this process may have open.
  NodeAdminOptions admin;
  // See RaftQuorumOptions.
  bool rereads_proposals = kRereadsProposals;
  // How each shard's groups are served; the simulator plants bugs there.
  GroupServiceFactory make_groups = MakeGroupService;
};

// Every shard that `shards` calls, in order.
using NodeEnvs = std::vector<Env*>;

class Node {
 public:
  // One shard for each of `envs`, which are those of `shards`.
  Node(Shards& shards, NodeEnvs envs, NodeOptions options);
  ~Node();

  Task<absl::Status> Start();
  // A Start() that waits for the cluster fails soon.
  void Interrupt();
  // OK when everything was synced and the clean mark was left.
  Task<absl::Status> Stop();

  const std::string& cluster_id() const { return format_.cluster_id; }
  // What this node knows of the cluster; null before Start() has got so far.
  std::shared_ptr<const MetadataImage> image() const;
  // The active controller, as far as this node knows.
  std::optional<BrokerId> controller_id() const;
  // The term in which this node is the active controller, if it is.
  std::optional<RaftTerm> active_term() const;
  // How many controllers vote, as far as this one knows; 0 on a node that is none. REQUIRES: started.
  size_t voters() const;
  // What clients of listener `name` are told, with the real port. Empty before Start().
  std::optional<BrokerEndpoint> AdvertisedOn(const std::string& name) const;
  // The first listener's.
  std::optional<BrokerEndpoint> Advertised() const;
  // Where the admin endpoint listens, with real ports.
  std::vector<SocketAddress> AdminAddresses() const { return admin_.addresses(); }

 private:
  using Step = std::function<Task<absl::Status>(NodeShard* shard)>;

  bool HasOthers() const;
  Task<absl::Status> OpenStore();
  bool StoreMayBeRestored() const;
  Task<absl::Status> SetStoreAside(absl::Status damage);
  // What is open of a broker alone turned out to be damaged.
  Task<void> OnStoreDamage(absl::Status why);
  Task<absl::Status> StartController();
  Task<absl::Status> StartBroker();
  Task<absl::Status> MakeShards();
  Task<absl::Status> OpenLogs();
  // What one shard found offline is offline on all.
  Task<absl::Status> SpreadOffline();
  // As it was read when the node began, or by the log store.
  std::optional<DirectoryId> IdOf(const LogDirectoryStatus& directory) const;
  // Tells the controller which log directories of this broker are offline: others lead then what
  // lies in them.
  void ReportOffline();
  // Likewise which are full or slow, on any shard: others lead then where theirs are not.
  void OnFull(ShardId shard, const std::string& path, bool full);
  void OnSlow(ShardId shard, const std::string& path, bool slow);
  void ReportMarked();
  Task<absl::Status> OpenApis();
  Task<absl::Status> Listen();
  Task<absl::Status> Register();
  Task<absl::Status> OpenPartitions();
  void OpenAdmin();
  Task<absl::Status> StopShards();

  ShardId here() const { return env_.reactor.shard(); }
  // Runs `step` on the shard, on its NodeShard.
  Task<absl::Status> On(ShardId shard, Step step);
  // On each at once, but shard 0 where `with_first` is false; the first error in their order.
  Task<absl::Status> OnEach(Step step, bool with_first = true);
  Task<void> OnOne(ShardId shard, Step step, absl::Status* result);

  // Constant after construction.
  const NodeOptions options_;
  const NodeEnvs envs_;
  // Borrowed.
  Env& env_;  // Shard 0's.
  Shards& shards_;
  // Owned, in order of construction; stopped in reverse.
  MetadataFolder folder_;
  NodeAdmin admin_;
  TopicConfigSource configs_;
  LocalAdmission admission_;
  LiveBrokerSettings live_settings_;
  BrokerShards brokers_;
  std::unique_ptr<KvStore> kv_;
  std::unique_ptr<StreamDialer> dialer_;
  std::unique_ptr<StreamAcceptor> acceptor_;
  std::unique_ptr<NodeController> controller_;  // Null without that role.
  std::unique_ptr<NodeLink> link_;              // Null on a node that is no broker.
  std::unique_ptr<NodeShardContext> context_;
  // Element i is made, used and destroyed on shard i; the vector itself does not change meanwhile.
  std::vector<std::unique_ptr<NodeShard>> parts_;
  std::unique_ptr<MetadataPublisher> publisher_;
  // State.
  bool logs_started_ = false;  // On every shard.
  bool registered_ = false;    // In this life.
  bool interrupted_ = false;
  bool quorum_failed_ = false;  // Nothing is applied any more.
  NodeFormat format_;
  RaftQuorumOptions quorum_;  // Of a controller.
  DirectoryMarks full_;
  DirectoryMarks slow_;
  bool stopped_cleanly_ = false;  // Every data directory, when it was used last.
  size_t stores_set_aside_ = 0;
  std::vector<BrokerEndpoint> advertised_;
};

}  // namespace millrace

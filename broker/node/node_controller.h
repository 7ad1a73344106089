// NodeController: the controller role of a node: its replica of the metadata log, the Controller
// that is active while this replica leads, the brokers' sessions, and the listeners on which other
// nodes and Kafka's tools (--bootstrap-controller) find all of it.
//
//   controller listener ─┬─ streams of kind kRaft ───► RaftQuorum ──► MetadataState ──► followers
//                        ├─ streams of kind kBroker ─► SessionServer ──► Controller
//                        └─ Kafka's protocol ────────► Dispatcher ──► AdminContext ──► Controller
//
//   start: log replayed → listeners accept → part of the quorum
//   stop:  sessions end → leadership handed over → listeners closed
//
// Shard:    shard 0.
// Lifetime: everything lent outlives it; Stop() must have finished before destruction, also after a
//           failed Start().
// Errors:   Start(): what the parts say, with what was being done.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/admin_context.h"
#include "broker/control/controller_requests.h"
#include "broker/node/dispatcher.h"
#include "broker/node/node_format.h"
#include "broker/server/connection_admission.h"
#include "broker/server/request_budget.h"
#include "broker/server/request_metrics.h"
#include "broker/server/server.h"
#include "broker/topic_config_source.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/runtime/shards.h"
#include "common/runtime/task_scope.h"
#include "controller/controller.h"
#include "controller/image/metadata_source.h"
#include "controller/metadata_state.h"
#include "controller/quorum/raft_quorum.h"
#include "controller/session/metadata_feed.h"
#include "controller/session/session_server.h"
#include "controller/transport/message_stream.h"
#include "storage/kv/kv_store.h"

namespace millrace {

struct NodeControllerContext {
  const BrokerConfig& config;
  const TopicConfigSource& configs;
  Shards& shards;
  ConnectionAdmission& admission;
  const NodeFormat& format;
  RaftQuorumOptions quorum;  // quorum_settings.h
  // Both null where there is no other node to talk to.
  StreamDialer* dialer;
  StreamAcceptor* acceptor;
};

class NodeController final : private LeadershipObserver,
                             private ActiveController,
                             private SessionRequests,
                             private ControllerRequests {
 public:
  NodeController(Env& env, KvStore& kv, NodeControllerContext context);
  ~NodeController() override;

  Task<absl::Status> Start();
  Task<void> Stop();

  MetadataState& state() { return state_; }
  const std::shared_ptr<const MetadataImage>& image() const { return state_.image(); }
  AdminContext& admin() { return *admin_; }
  Controller& controller() { return *controller_; }
  RaftQuorum& quorum() { return *quorum_; }
  std::optional<RaftTerm> active_term() const { return quorum_->leading_term(); }
  bool active() const { return active_term().has_value(); }
  // Whom the quorum follows, as this replica knows.
  std::optional<BrokerId> leader() const override { return quorum_->leader(); }
  // A session of this node's own broker; null while this controller is not the active one.
  std::unique_ptr<MessageStream> DialSelf(StreamHello hello);
  // Called when this node has become or ceased to be the active controller.
  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }

 private:
  // What the quorum commits, for the state and for the brokers that are fed.
  class Committed final : public CommittedEntries {
   public:
    Committed(MetadataState& state, MetadataFeed& feed) : state_(state), feed_(feed) {}
    absl::Status OnCommitted(RaftIndex index, const MetadataEntry& entry) override;
    absl::Status OnSnapshot(RaftIndex index, const std::vector<std::string>& chunks) override;
    std::move_only_function<std::optional<std::string>()> TakeSnapshot() const override {
      return state_.TakeSnapshot();
    }

   private:
    MetadataState& state_;
    MetadataFeed& feed_;
  };
  class StateSource final : public MetadataSource {
   public:
    explicit StateSource(const MetadataState& state) : state_(state) {}
    const std::shared_ptr<const MetadataImage>& image() const override { return state_.image(); }

   private:
    const MetadataState& state_;
  };

  ControllerOptions MakeControllerOptions() const;
  ServerOptions MakeServerOptions() const;
  void OpenDoors();
  Task<absl::Status> Listen();

  // While this one is active in `term`: what Kafka's tools are told of controllers is the voters.
  Task<void> RegisterVoters(RaftTerm term);

  // The brokers that are fed, as observers of the quorum.
  std::vector<QuorumReplica> FedReplicas() const;

  // LeadershipObserver.
  void OnLeadership(std::optional<RaftTerm> active) override;
  // ActiveController.
  std::optional<RaftTerm> leading_term() const override { return active_term(); }
  std::vector<BrokerEndpoint> EndpointsOf(BrokerId controller) const override;
  // SessionRequests.
  Task<session::Response> Answer(session::Request request) override;
  // ControllerRequests, for the controller's listeners: a controller that is not active says so.
  Task<ForwardedReply> Answer(ForwardedRequest request) override;

  // Constant after construction.
  const NodeControllerContext context_;
  // Borrowed.
  Env& env_;
  // Owned, in order of construction; stopped in reverse.
  MetadataState state_;
  StateSource source_;
  MetadataFeed feed_;
  Committed committed_;
  std::unique_ptr<RaftQuorum> quorum_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<AdminContext> admin_;
  std::unique_ptr<SessionServer> sessions_;
  MetricRegistry metrics_;
  RequestMetrics request_metrics_;
  RequestBudget request_budget_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Server> server_;
  std::function<void()> changed_;
  TaskScope scope_;
};

}  // namespace millrace

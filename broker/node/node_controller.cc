#include "broker/node/node_controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/control/session_request.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_record.h"
#include "controller/transport/stream_hello.h"

namespace millrace {
namespace {

// How often the active controller looks whether the voters have changed.
constexpr Duration kVotersCheck = seconds(10);

absl::Status While(std::string_view doing, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", doing, std::string(status.message())));
}

}  // namespace

absl::Status NodeController::Committed::OnCommitted(RaftIndex index, const MetadataEntry& entry) {
  MR_RETURN_IF_ERROR(state_.OnCommitted(index, entry));
  feed_.Add(index, feed_.wanted() ? EncodeEntry(entry) : std::string());
  return absl::OkStatus();
}

absl::Status NodeController::Committed::OnSnapshot(RaftIndex index,
                                                   const std::vector<std::string>& chunks) {
  MR_RETURN_IF_ERROR(state_.OnSnapshot(index, chunks));
  feed_.Reset(index);
  return absl::OkStatus();
}

NodeController::NodeController(Env& env, KvStore& kv, NodeControllerContext context)
    : context_(std::move(context)),
      env_(env),
      source_(state_),
      feed_(env.reactor),
      committed_(state_, feed_),
      request_metrics_(metrics_),
      request_budget_(env.reactor,
                      static_cast<size_t>(context_.config.connections.request_bytes_max),
                      static_cast<size_t>(context_.config.connections.request_bytes_max)),
      scope_(env.reactor) {
  const BrokerConfig& config = context_.config;
  quorum_ = std::make_unique<RaftQuorum>(env_, kv, context_.dialer, committed_, context_.quorum);
  controller_ = std::make_unique<Controller>(env_, MakeControllerOptions(), *quorum_, state_);
  admin_.reset(new AdminContext{
      .options = {.node_id = config.node_id,
                  .cluster_id = context_.format.cluster_id,
                  .controller_listener = config.listeners.controller_names.front()},
      .env = env_,
      .metadata = source_,
      .configs = context_.configs,
      .controller = controller_.get(),
      .raft = quorum_.get(),
  });
  SessionServerOptions sessions;
  sessions.self = config.node_id;
  sessions.probed_listener = config.listeners.inter_broker_name;
  sessions_.reset(new SessionServer(env_, *controller_, feed_, *this, *this, std::move(sessions)));
  dispatcher_.reset(new Dispatcher(*admin_, nullptr, context_.shards, *this, request_metrics_));
  controller_->Attach(*sessions_);
  quorum_->ObserveLeadership(*this);
  quorum_->AlsoDescribe([this] { return FedReplicas(); });
  quorum_->ObservePeers([this](BrokerId peer, bool connected) {
    controller_->OnEvidence(
        {connected ? EvidenceKind::kRaftPeerBack : EvidenceKind::kRaftPeerLost, peer});
  });
}

NodeController::~NodeController() { MR_CHECK(server_ == nullptr); }

ControllerOptions NodeController::MakeControllerOptions() const {
  const BrokerConfig& config = context_.config;
  ControllerOptions options;
  options.cluster_id = context_.format.cluster_id;
  if (config.is_broker) options.local_broker = config.node_id;
  options.topics.default_partitions = config.topic_creation.partitions_default;
  options.topics.default_replication_factor = config.topic_creation.replication_factor_default;
  options.topics.delete_enabled = config.topic_creation.may_delete;
  options.topics.own = config.server_values;
  const TopicConfig defaults = ResolveTopicConfig({}, config.server_values);
  options.topic_settings.isr_min = defaults.min_insync_replicas;
  options.topic_settings.unclean_election = defaults.unclean_leader_election;
  options.topic_settings.durable_on_disk = defaults.durability == Durability::kDisk;
  options.liveness.session_timeout = config.session_timeout;
  options.balance_leaders = config.elections.balance;
  options.balance_interval = config.elections.balance_interval;
  options.unclean_interval = config.elections.unclean_interval;
  if (context_.format.bootstrap.ok() && context_.format.bootstrap->has_value()) {
    for (const FeatureRange& served : ServedFeatures()) {
      options.features[served.name] = (*context_.format.bootstrap)->LevelOf(served.name);
    }
  }
  return options;
}

ServerOptions NodeController::MakeServerOptions() const {
  const BrokerConfig& config = context_.config;
  ServerOptions options;
  for (const NamedListener& listener : config.listeners.controller) {
    ListenerOptions one;
    one.name = listener.endpoint.name;
    one.bind = {listener.endpoint.host, listener.endpoint.port};
    one.socket.backlog = config.connections.listen_backlog;
    one.kind = ListenerKind::kController;
    one.streams = context_.acceptor;
    options.listeners.push_back(std::move(one));
  }
  options.connection.frame_bytes_max = static_cast<size_t>(config.connections.request_bytes_max);
  options.connection.idle_max = config.connections.idle_max;
  return options;
}

// --- Start and stop.

void NodeController::OpenDoors() {
  if (context_.acceptor == nullptr) return;
  context_.acceptor->OnStream(
      StreamKind::kRaft, [this](const StreamHello& hello) { return quorum_->CheckHello(hello); },
      [this](std::unique_ptr<MessageStream> stream) { quorum_->Accept(std::move(stream)); });
  context_.acceptor->OnStream(
      StreamKind::kBroker,
      [this](const StreamHello& hello) -> absl::StatusOr<StreamWelcome> {
        MR_RETURN_IF_ERROR(CheckHello(hello, context_.format.cluster_id, context_.config.node_id));
        return StreamWelcome{.from = context_.config.node_id,
                             .from_directory = context_.format.metadata_directory};
      },
      [this](std::unique_ptr<MessageStream> stream) { sessions_->Accept(std::move(stream)); });
}

Task<absl::Status> NodeController::Listen() {
  OpenDoors();
  server_ = std::make_unique<Server>(env_, MakeServerOptions(), *dispatcher_, request_budget_,
                                     context_.admission);
  MR_CO_RETURN_IF_ERROR(co_await server_->Listen());
  std::vector<raft::VoterEndpoint> endpoints = context_.quorum.endpoints;
  for (raft::VoterEndpoint& endpoint : endpoints) {
    if (endpoint.port == 0) endpoint.port = server_->BoundAddress(endpoint.listener).port;
  }
  quorum_->SetEndpoints(std::move(endpoints));
  co_return absl::OkStatus();
}

Task<absl::Status> NodeController::Start() {
  MR_CO_RETURN_IF_ERROR(co_await Listen());
  MR_CO_RETURN_IF_ERROR(
      While(fmt::format("metadata.log.dir {}", context_.config.storage.metadata_dir),
            co_await quorum_->Start()));
  controller_->Start();
  server_->Accept();
  co_return absl::OkStatus();
}

Task<void> NodeController::Stop() {
  co_await scope_.Stop();
  // Nobody is told that a broker is gone because its controller goes.
  co_await sessions_->Stop();
  co_await controller_->Stop();
  co_await quorum_->Stop();
  if (server_ != nullptr) co_await server_->Stop();
  server_.reset();
  co_await sessions_->Join();
}

std::unique_ptr<MessageStream> NodeController::DialSelf(StreamHello hello) {
  return sessions_->DialSelf(std::move(hello));
}

// --- What the parts ask.

void NodeController::OnLeadership(std::optional<RaftTerm> active) {
  controller_->OnLeadership(active);
  sessions_->OnLeadership();
  if (active.has_value()) scope_.Spawn(RegisterVoters(*active));
  if (changed_) changed_();
}

Task<void> NodeController::RegisterVoters(RaftTerm term) {
  while (!scope_.stopping() && active_term() == term) {
    const raft::VoterSet voters = quorum_->Describe().voters;
    for (const auto& [id, voter] : voters.all()) {
      ControllerImage controller;
      controller.id = id;
      controller.directory = voter.directory.value_or(DirectoryId(0, 0));
      controller.endpoints = EndpointsOf(id);
      controller.features = AnnouncedFeatures();
      if (!(co_await controller_->RegisterController(std::move(controller))).ok()) break;
    }
    (void)co_await Sleep(env_.reactor, kVotersCheck, scope_.token());
  }
}

std::vector<QuorumReplica> NodeController::FedReplicas() const {
  std::vector<QuorumReplica> replicas;
  for (const FedBroker& broker : sessions_->Fed()) {
    replicas.push_back({{broker.id, broker.directory.value_or(DirectoryId(0, 0))},
                        broker.applied,
                        broker.heard,
                        broker.caught_up});
  }
  return replicas;
}

std::vector<BrokerEndpoint> NodeController::EndpointsOf(BrokerId controller) const {
  std::vector<BrokerEndpoint> endpoints;
  for (const raft::VoterEndpoint& endpoint : quorum_->EndpointsOf(controller)) {
    endpoints.push_back({endpoint.listener, endpoint.host, endpoint.port, "PLAINTEXT"});
  }
  return endpoints;
}

Task<session::Response> NodeController::Answer(session::Request request) {
  ForwardedReply reply = co_await AnswerForwarded(admin_.get(), FromSession(std::move(request)));
  co_return ToSession(std::move(reply));
}

Task<ForwardedReply> NodeController::Answer(ForwardedRequest request) {
  return AnswerForwarded(admin_.get(), std::move(request));
}

}  // namespace millrace

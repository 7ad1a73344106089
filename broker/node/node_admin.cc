#include "broker/node/node_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "broker/admin/process_metrics.h"
#include "broker/node/group_lag.h"
#include "broker/node/node_shard.h"
#include "common/config/listener.h"

namespace millrace {
namespace {

Task<MetricSnapshot> MetricsOf(NodeShard* shard) { co_return shard->Metrics(); }

bool Contains(std::span<const BrokerId> ids, BrokerId id) {
  return std::ranges::find(ids, id) != ids.end();
}

MetricSample Sample(std::string name, std::string help, size_t value) {
  return {{std::move(name), std::move(help)}, MetricKind::kGauge, static_cast<double>(value)};
}

}  // namespace

NodeAdmin::NodeAdmin(Env& env, Shards& shards, const BrokerConfig& config, NodeAdminOptions options)
    : options_(std::move(options)),
      config_(config),
      started_(env.reactor.Now()),
      env_(env),
      shards_(shards),
      pages_(*this),
      server_(env, pages_),
      asking_(env.reactor) {}

Task<absl::Status> NodeAdmin::Start() {
  for (const HostPort& listener : config_.admin.listeners) {
    const SocketAddress address{listener.host, listener.port};
    if (config_.admin.required) {
      absl::Status listening = co_await server_.Listen(address);
      if (listening.ok()) continue;
      co_return absl::Status(listening.code(), fmt::format("millrace.admin.listeners: {}",
                                                           std::string(listening.message())));
    }
    absl::Status listening = co_await server_.Listen(address, PortInUse::kFail);
    if (listening.ok()) continue;
    // Most often it is another node's, and nothing waits for that.
    server_.ListenLater(address, [this](const absl::Status& failed) {
      env_.logger.Warning("no admin endpoint: {} (millrace.admin.listeners names another address)",
                          std::string(failed.message()));
    });
  }
  co_return absl::OkStatus();
}

void NodeAdmin::Open(NodeAdminView view) { view_ = std::move(view); }

Task<void> NodeAdmin::Close() {
  stage_ = NodeStage::kStopping;
  co_await asking_.Close();
  view_.reset();
}

Task<void> NodeAdmin::Stop() { co_await server_.Stop(); }

NodeStatus NodeAdmin::Status() const {
  NodeStatus status;
  status.version = options_.version;
  status.node_id = config_.node_id;
  if (config_.is_broker) status.roles.emplace_back("broker");
  if (config_.is_controller) status.roles.emplace_back("controller");
  status.rack = config_.rack;
  status.reactor = options_.reactor;
  status.shards = shards_.count();
  status.uptime = env_.reactor.Now() - started_;
  status.stage = stage_;
  if (!view_.has_value()) {
    for (const std::string& path : config_.storage.data_dirs) {
      status.directories.push_back({path, std::nullopt});
    }
    return status;
  }
  status.cluster_id = view_->cluster_id;
  for (const BrokerEndpoint& endpoint : view_->advertised) {
    status.listeners.push_back({endpoint.listener, HostPortText(endpoint.host, endpoint.port)});
  }
  for (const LogDirectoryStatus& directory : view_->shards.empty()
                                                 ? std::vector<LogDirectoryStatus>()
                                                 : view_->shards.front()->Directories()) {
    std::optional<std::string> failure;
    if (!directory.failure.ok()) failure = std::string(directory.failure.message());
    status.directories.push_back({directory.path, std::move(failure),
                                  view_->is_full(directory.path), view_->is_slow(directory.path)});
  }
  status.controller = view_->controller();
  if (const std::shared_ptr<const MetadataImage> image = view_->image()) {
    DescribeCluster(*image, config_.node_id, config_.is_broker, status);
  }
  return status;
}

void DescribeCluster(const MetadataImage& image, BrokerId node, bool is_broker,
                     NodeStatus& status) {
  status.metadata_index = image.index();
  for (const auto& [id, broker] : image.brokers()) {
    const std::string address =
        broker.endpoints.empty()
            ? ""
            : HostPortText(broker.endpoints.front().host, broker.endpoints.front().port);
    status.brokers.push_back({broker.id, address, broker.fenced});
  }
  const BrokerImage* self = image.FindBroker(node);
  if (is_broker && self == nullptr) {
    status.not_ready = "not registered";
  } else if (is_broker && self->fenced) {
    status.not_ready = "fenced by the controller";
  }
  status.topics = image.topics().size();
  status.partitions = image.partition_count();
  image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (const PartitionImage& partition : topic->partitions) {
      if (!partition.leader.has_value()) ++status.leaderless;
      if (partition.leader == node) ++status.led;
      if (Contains(partition.replicas, node)) ++status.replicas;
      if (partition.isr.size() < partition.replicas.size()) ++status.under_replicated;
      if (partition.reassigning()) ++status.reassigning;
    }
    return true;
  });
}

MetricSnapshot NodeAdmin::OwnMetrics() const {
  const NodeStatus status = Status();
  MetricSnapshot own = {
      {{"millrace_build_info",
        "Always 1; the labels tell.",
        {{"node", fmt::format("{}", status.node_id)},
         {"version", status.version},
         {"reactor", status.reactor}}},
       MetricKind::kGauge,
       1.0},
      {{"millrace_uptime_seconds", "Since the node was started."},
       MetricKind::kGauge,
       std::chrono::duration<double>(status.uptime).count()},
      Sample("millrace_ready", "1 while clients may be sent here.", status.ready() ? 1 : 0),
      Sample("millrace_shards", "Shards of this node.", status.shards),
      Sample("millrace_topics", "Topics of the cluster (Kafka: GlobalTopicCount).", status.topics),
      Sample("millrace_partitions", "Partitions of the cluster (Kafka: GlobalPartitionCount).",
             status.partitions),
      Sample("millrace_partitions_led", "Partitions this node leads (Kafka: LeaderCount).",
             status.led),
      Sample("millrace_replicas", "Replicas on this node (Kafka: PartitionCount).",
             status.replicas),
      Sample("millrace_partitions_leaderless",
             "Partitions of the cluster without a leader (Kafka: OfflinePartitionsCount).",
             status.leaderless),
      Sample("millrace_partitions_under_replicated",
             "Partitions of the cluster with fewer replicas in sync than they have.",
             status.under_replicated),
      Sample("millrace_partitions_reassigning",
             "Partitions of the cluster with replicas that are on their way to other brokers "
             "(Kafka: ReassigningPartitions, summed over brokers).",
             status.reassigning),
  };
  const size_t fenced = static_cast<size_t>(
      std::ranges::count_if(status.brokers, [](const auto& peer) { return peer.fenced; }));
  constexpr const char* kBrokers =
      "Registered brokers of the cluster (Kafka: ActiveBrokerCount, FencedBrokerCount).";
  own.push_back({{"millrace_brokers", kBrokers, {{"state", "active"}}},
                 MetricKind::kGauge,
                 static_cast<double>(status.brokers.size() - fenced)});
  own.push_back({{"millrace_brokers", kBrokers, {{"state", "fenced"}}},
                 MetricKind::kGauge,
                 static_cast<double>(fenced)});
  return own;
}

Task<MetricSnapshot> NodeAdmin::Metrics() {
  std::vector<MetricSnapshot> all = {OwnMetrics()};
  if (options_.process_use) all.push_back(ProcessMetrics(options_.process_use()));
  if (Gate::Holder hold = asking_.TryEnter(); hold && view_.has_value()) {
    all.push_back(registry_.Snapshot());
    for (size_t i = 0; i < view_->shards.size(); ++i) {
      NodeShard* shard = view_->shards[i];
      all.push_back(co_await shards_.Call<MetricSnapshot>(env_.reactor.shard(),
                                                          ShardId(static_cast<uint32_t>(i)),
                                                          [shard] { return MetricsOf(shard); }));
    }
    all.push_back(
        co_await GroupLagMetrics(&shards_, &env_.reactor, view_->shards, env_.clock.Now()));
  }
  co_return MergeSnapshots(std::move(all));
}

}  // namespace millrace

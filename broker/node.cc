#include "broker/node.h"

#include <fmt/format.h>

#include <utility>

#include "broker/node_budgets.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "storage/log_directory.h"

namespace millrace {
namespace {

// Inside the metadata directory: our own state, beside Kafka's partition folders.
constexpr std::string_view kKvFolder = "millrace-state";

absl::Status While(std::string_view doing, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", doing, std::string(status.message())));
}

NodeBudgets Budgets(const NodeOptions& options) {
  return ChooseBudgets(options.config.memory, options.config.storage, options.memory_bytes);
}

}  // namespace

Node::Node(Env& env, NodeOptions options)
    : options_(std::move(options)),
      env_(env),
      request_budget_(env.reactor, Budgets(options_).requests,
                      static_cast<size_t>(options_.config.connections.request_bytes_max)),
      fetch_budget_(env.reactor, Budgets(options_).fetch),
      configs_(options_.config.server_values, options_.config.producer_id_expiration.count()) {}

Node::~Node() { MR_CHECK(server_ == nullptr); }

Task<absl::Status> Node::Format() {
  const StorageConfig& storage = options_.config.storage;
  // A cluster has one id: the one any formatted directory names, or a new one.
  std::optional<std::string> cluster_id;
  std::vector<std::string> unformatted;
  for (const std::string& path : storage.data_dirs) {
    absl::StatusOr<std::optional<MetaProperties>> meta =
        co_await ReadMetaProperties(env_.disk, path);
    if (!meta.ok()) co_return While(path, meta.status());
    if (!meta->has_value()) {
      unformatted.push_back(path);
      continue;
    }
    if (cluster_id.has_value() && (*meta)->cluster_id != cluster_id) {
      co_return absl::FailedPreconditionError(
          fmt::format("log.dirs: {} belongs to cluster {}, another directory to {}; a node has "
                      "directories of one cluster",
                      path, (*meta)->cluster_id.value_or("(none)"), *cluster_id));
    }
    cluster_id = (*meta)->cluster_id;
    if ((*meta)->directory_id.has_value()) directories_.push_back(*(*meta)->directory_id);
  }
  cluster_id_ = cluster_id.has_value() ? *cluster_id : env_.random.NextUuid().ToString();
  for (const std::string& path : unformatted) {
    MetaProperties meta;
    meta.cluster_id = cluster_id_;
    meta.node_id = options_.config.node_id;
    meta.directory_id = env_.random.NextUuid();
    MR_CO_RETURN_IF_ERROR(While(path, co_await FormatLogDirectory(env_.disk, path, meta)));
    directories_.push_back(*meta.directory_id);
    env_.logger.Info("formatted {} for cluster {}, node {}", path, cluster_id_,
                     options_.config.node_id);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::OpenStores() {
  const BrokerConfig& config = options_.config;
  MR_CO_RETURN_IF_ERROR(co_await CreateDirectoriesDurably(env_.disk, config.storage.metadata_dir));
  absl::StatusOr<std::unique_ptr<KvStore>> kv = co_await options_.open_kv_store(
      env_, fmt::format("{}/{}", config.storage.metadata_dir, kKvFolder));
  if (!kv.ok()) co_return While("metadata.log.dir", kv.status());
  kv_ = *std::move(kv);
  // The store syncs what is in its folder; its folder's own name is ours to make durable.
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.SyncDirectory(config.storage.metadata_dir));

  TopicRules rules;
  rules.default_partitions = config.topic_creation.partitions_default;
  rules.default_replication_factor = config.topic_creation.replication_factor_default;
  rules.delete_enabled = config.topic_creation.may_delete;
  rules.validate_configs = [this](const ConfigOverrides& overrides) {
    return configs_.Validate(overrides);
  };
  controller_ = std::make_unique<Controller>(env_, std::move(rules));
  quorum_ = std::make_unique<SingleNodeQuorum>(env_, *kv_, config.node_id, *controller_);
  controller_->Attach(*quorum_);
  MR_CO_RETURN_IF_ERROR(While("metadata", co_await quorum_->Start()));

  const NodeBudgets budgets = Budgets(options_);
  LogStoreOptions store;
  store.log_dirs = config.storage.data_dirs;
  store.cluster_id = cluster_id_;
  store.node_id = config.node_id;
  store.pending_bytes_max = budgets.pending;
  store.tail_cache_bytes_max = budgets.tail_cache;
  if (config.storage.segment_write_bytes > 0) {
    store.segment_write_bytes = static_cast<size_t>(config.storage.segment_write_bytes);
  }
  store.segment_write_age = config.storage.segment_write_delay;
  store.producer_check_interval = config.producer_id_check_interval;
  if (config.storage.open_files_max > 0)
    store.open_files_max = static_cast<size_t>(config.storage.open_files_max);
  store_ = std::make_unique<LogStore>(env_, *kv_, std::move(store));
  co_return While("logs", co_await store_->Start());
}

absl::Status Node::CheckMetadataKnowsLogs() const {
  const size_t logs = store_->Logs().size();
  if (logs == 0 || controller_->image()->index().has_value()) return absl::OkStatus();
  // Going on would remove every one of them as a stray: data of a cluster whose metadata is
  // elsewhere, or gone, or Kafka's.
  return absl::FailedPreconditionError(fmt::format(
      "log.dirs hold {} partitions, but the metadata in {} is new and knows none of them. Set "
      "metadata.log.dir to where this cluster's metadata is, or log.dirs to empty directories",
      logs, options_.config.storage.metadata_dir));
}

Task<absl::Status> Node::OpenListeners() {
  const BrokerConfig& config = options_.config;
  broker_.reset(new Broker{
      .options = {.node_id = config.node_id,
                  .cluster_id = cluster_id_,
                  .auto_create_topics = config.topic_creation.auto_create,
                  .fetch_bytes_max = static_cast<size_t>(config.fetch_bytes_max),
                  .describe_partitions_max = config.describe_partitions_max},
      .env = env_,
      .controller = *controller_,
      .progress = *applier_,
      .partitions = *partitions_,
      .store = *store_,
      .configs = configs_,
      .fetch_budget = fetch_budget_,
      .sessions = FetchSessionCache({.slots_max = static_cast<size_t>(config.fetch_sessions_max)}),
      .producer_ids = ProducerIdSource(env_, *controller_),
      .validator = {},
  });
  dispatcher_ = std::make_unique<Dispatcher>(*broker_);

  ServerOptions server;
  for (const NamedListener& listener : config.listeners.client) {
    ListenerOptions one;
    one.name = listener.endpoint.name;
    one.bind = {listener.endpoint.host, listener.endpoint.port};
    one.socket.backlog = config.connections.listen_backlog;
    one.socket.send_buffer_bytes = config.connections.send_buffer_bytes;
    one.socket.receive_buffer_bytes = config.connections.receive_buffer_bytes;
    server.listeners.push_back(std::move(one));
  }
  server.quota.total_max = config.connections.connections_max;
  server.quota.per_address_max = config.connections.connections_per_ip_max;
  for (const auto& [address, limit] : config.connections.connections_per_ip_overrides) {
    server.quota.per_address_overrides[address] = limit;
  }
  server.connection.frame_bytes_max = static_cast<size_t>(config.connections.request_bytes_max);
  server.connection.idle_max = config.connections.idle_max;
  if (config.memory.connection_output_bytes_max > 0) {
    server.connection.reply_bytes_max =
        static_cast<size_t>(config.memory.connection_output_bytes_max);
  }
  server.accepts_per_second_max = config.connections.connections_per_second_max;
  server_ = std::make_unique<Server>(env_, std::move(server), *dispatcher_, request_budget_);
  MR_CO_RETURN_IF_ERROR(co_await server_->Listen());

  for (const Endpoint& endpoint : config.listeners.advertised) {
    BrokerEndpoint advertised{endpoint.name, endpoint.host, endpoint.port, "PLAINTEXT"};
    if (advertised.host.empty()) advertised.host = options_.host_name;
    if (advertised.port == 0) advertised.port = server_->BoundAddress(endpoint.name).port;
    advertised_.push_back(std::move(advertised));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Register() {
  BrokerImage self;
  self.id = options_.config.node_id;
  self.incarnation = env_.random.NextUuid();
  self.endpoints = advertised_;
  self.rack = options_.config.rack;
  self.log_directories = directories_;
  absl::StatusOr<BrokerEpoch> epoch = co_await controller_->RegisterBroker(std::move(self));
  if (!epoch.ok()) co_return While("registration", epoch.status());
  env_.logger.Info("broker {} registered with epoch {}", options_.config.node_id, *epoch);
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Start() {
  MR_CO_RETURN_IF_ERROR(co_await Format());
  MR_CO_RETURN_IF_ERROR(co_await OpenStores());
  MR_CO_RETURN_IF_ERROR(CheckMetadataKnowsLogs());
  partitions_ = std::make_unique<PartitionTable>(env_, *store_, options_.config.node_id);
  applier_ =
      std::make_unique<MetadataApplier>(env_, options_.config.node_id, *partitions_, configs_);
  MR_CO_RETURN_IF_ERROR(co_await OpenListeners());
  MR_CO_RETURN_IF_ERROR(co_await Register());
  // No request has been accepted: nothing is decided between catching up and following.
  MR_CO_RETURN_IF_ERROR(While("partitions", co_await applier_->ApplyAll(controller_->image())));
  controller_->Follow(*applier_);
  applier_->Start();
  server_->Accept();
  env_.logger.Info("serving {} topics, {} partitions", controller_->image()->topics().size(),
                   partitions_->size());
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Stop() {
  absl::Status status;
  if (server_ != nullptr) co_await server_->Stop();
  server_.reset();
  if (applier_ != nullptr) co_await applier_->Stop();
  if (partitions_ != nullptr) partitions_->Close();
  if (store_ != nullptr) status.Update(co_await store_->Stop());
  if (quorum_ != nullptr) co_await quorum_->Stop();
  if (kv_ != nullptr) status.Update(co_await kv_->Close());
  dispatcher_.reset();
  broker_.reset();
  applier_.reset();
  partitions_.reset();
  store_.reset();
  quorum_.reset();
  controller_.reset();
  kv_.reset();
  co_return status;
}

std::optional<BrokerEndpoint> Node::AdvertisedOn(const std::string& name) const {
  for (const BrokerEndpoint& endpoint : advertised_) {
    if (endpoint.listener == name) return endpoint;
  }
  return std::nullopt;
}

std::optional<BrokerEndpoint> Node::Advertised() const {
  return advertised_.empty() ? std::nullopt : std::optional(advertised_.front());
}

}  // namespace millrace

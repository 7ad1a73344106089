#include "broker/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "common/check.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "controller/image/feature_levels.h"
#include "storage/log_directory.h"

namespace millrace {
namespace {

// Inside the metadata directory: our own state, beside Kafka's partition folders.
constexpr std::string_view kKvFolder = "millrace-state";

// An election of one is a write; only a disk that stands still takes longer.
constexpr Duration kElectionPatience = seconds(60);

absl::Status While(std::string_view doing, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", doing, std::string(status.message())));
}

ConnectionQuotaOptions QuotaOf(const ConnectionConfig& config) {
  ConnectionQuotaOptions quota;
  quota.total_max = config.connections_max;
  quota.per_address_max = config.connections_per_ip_max;
  for (const auto& [address, limit] : config.connections_per_ip_overrides) {
    quota.per_address_overrides[address] = limit;
  }
  return quota;
}

// --- Steps that run on a shard; everything they are lent outlives the call that waits for them.

Task<absl::Status> Make(std::unique_ptr<NodeShard>* part, Env* env,
                        const NodeShardContext* context) {
  *part = std::make_unique<NodeShard>(*env, *context);
  co_return absl::OkStatus();
}

Task<absl::Status> Destroy(std::unique_ptr<NodeShard>* part) {
  part->reset();
  co_return absl::OkStatus();
}

Task<absl::Status> CollectOffline(NodeShard* shard,
                                  std::vector<std::vector<LogDirectoryStatus>>* found) {
  found->at(shard->shard().value()) = shard->Offline();
  co_return absl::OkStatus();
}

Task<absl::Status> ApplyOffline(NodeShard* shard, const std::vector<LogDirectoryStatus>* offline) {
  shard->TakeOffline(*offline);
  co_return absl::OkStatus();
}

Task<absl::Status> CountLogs(NodeShard* shard, std::atomic<size_t>* logs) {
  logs->fetch_add(shard->logs(), std::memory_order_relaxed);
  co_return absl::OkStatus();
}

Task<absl::Status> CountPartitions(NodeShard* shard, std::atomic<size_t>* partitions) {
  partitions->fetch_add(shard->partitions(), std::memory_order_relaxed);
  co_return absl::OkStatus();
}

Task<absl::Status> OpenApi(NodeShard* shard, const NodeServices* services) {
  shard->Open(*services);
  co_return absl::OkStatus();
}

Task<absl::Status> ListenTo(NodeShard* shard, std::vector<uint16_t> ports) {
  co_return (co_await shard->Listen(std::move(ports))).status();
}

Task<absl::Status> AcceptOn(NodeShard* shard) {
  shard->Accept();
  co_return absl::OkStatus();
}

Task<absl::Status> StopServerOf(NodeShard* shard) {
  co_await shard->StopServer();
  co_return absl::OkStatus();
}

}  // namespace

Node::Node(Shards& shards, NodeEnvs envs, NodeOptions options)
    : options_(std::move(options)),
      envs_(std::move(envs)),
      env_(*envs_.front()),
      shards_(shards),
      admin_(env_, shards_, options_.config, options_.admin),
      configs_(options_.config.node_id, options_.config.server_values),
      admission_(QuotaOf(options_.config.connections)),
      live_settings_(options_.config.node_id, configs_, admission_),
      brokers_(shards) {
  MR_CHECK(envs_.size() == shards.count());
}

Node::~Node() { MR_CHECK(parts_.empty()); }

Task<absl::Status> Node::On(ShardId shard, Step step) {
  NodeShard* part = parts_[shard.value()].get();
  co_return co_await shards_.Call<absl::Status>(
      here(), shard, [part, step = std::move(step)] { return step(part); });
}

Task<void> Node::OnOne(ShardId shard, Step step, absl::Status* result) {
  *result = co_await On(shard, std::move(step));
}

Task<absl::Status> Node::OnEach(Step step, bool with_first) {
  std::vector<absl::Status> results(parts_.size());
  TaskScope group(env_.reactor);
  for (uint32_t i = with_first ? 0 : 1; i < parts_.size(); ++i) {
    // Those that were not made (a start that failed early) have nothing to do.
    if (parts_[i] != nullptr) group.Spawn(OnOne(ShardId(i), step, &results[i]));
  }
  co_await group.Join();
  for (const absl::Status& result : results) {
    if (!result.ok()) co_return result;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Format() {
  const StorageConfig& storage = options_.config.storage;
  // A cluster has one id: the one any formatted directory names, or a new one.
  std::optional<std::string> cluster_id;
  std::vector<std::string> unformatted;
  std::vector<std::string> paths = storage.data_dirs;
  if (std::ranges::find(paths, storage.metadata_dir) == paths.end()) {
    paths.push_back(storage.metadata_dir);
  }
  const auto know = [&](const std::string& path, const DirectoryId& id) {
    if (path == storage.metadata_dir) metadata_directory_ = id;
    if (std::ranges::find(storage.data_dirs, path) != storage.data_dirs.end()) {
      directories_.push_back(id);
    }
  };
  for (const std::string& path : paths) {
    absl::StatusOr<std::optional<MetaProperties>> meta =
        co_await ReadMetaProperties(env_.disk, path);
    if (absl::IsFailedPrecondition(meta.status())) co_return meta.status();
    if (!meta.ok()) continue;  // The log store takes it offline, and says why.
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
    if ((*meta)->directory_id.has_value()) know(path, *(*meta)->directory_id);
  }
  cluster_id_ = cluster_id.has_value() ? *cluster_id : env_.random.NextUuid().ToString();
  for (const std::string& path : unformatted) {
    MetaProperties meta;
    meta.cluster_id = cluster_id_;
    meta.node_id = options_.config.node_id;
    meta.directory_id = env_.random.NextUuid();
    absl::Status formatted = co_await FormatLogDirectory(env_.disk, path, meta);
    if (!formatted.ok()) {
      if (storage.data_dirs.size() == 1 && path == storage.data_dirs.front()) {
        co_return While(path, formatted);
      }
      env_.logger.Error("cannot format {}: {}", path, std::string(formatted.message()));
      continue;
    }
    know(path, *meta.directory_id);
    env_.logger.Info("formatted {} for cluster {}, node {}", path, cluster_id_,
                     options_.config.node_id);
  }
  co_return absl::OkStatus();
}

RaftQuorumOptions Node::QuorumOptions() {
  const BrokerConfig& config = options_.config;
  RaftQuorumOptions quorum;
  quorum.node_id = config.node_id;
  quorum.cluster_id = cluster_id_;
  // Whoever has no id yet gets one, and the store keeps it.
  quorum.directory = metadata_directory_.value_or(env_.random.NextUuid());
  quorum.listener = config.listeners.controller_names.front();
  for (const QuorumVoter& voter : config.voters) {
    quorum.static_voters = quorum.static_voters.With(
        voter.id, {std::nullopt, {{quorum.listener, voter.address.host, voter.address.port}}});
  }
  if (config.voters.empty()) {
    quorum.initial_voters = quorum.initial_voters.With(config.node_id, {quorum.directory, {}});
  }
  quorum.on_failure = options_.on_failure;
  return quorum;
}

Task<absl::Status> Node::OpenMetadata() {
  const BrokerConfig& config = options_.config;
  MR_CO_RETURN_IF_ERROR(co_await CreateDirectoriesDurably(env_.disk, config.storage.metadata_dir));
  absl::StatusOr<std::unique_ptr<KvStore>> kv = co_await options_.open_kv_store(
      env_, fmt::format("{}/{}", config.storage.metadata_dir, kKvFolder));
  if (!kv.ok()) co_return While("metadata.log.dir", kv.status());
  kv_ = *std::move(kv);
  // The store syncs what is in its folder; its folder's own name is ours to make durable.
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.SyncDirectory(config.storage.metadata_dir));

  ControllerOptions options;
  options.cluster_id = cluster_id_;
  options.local_broker = config.node_id;
  const TopicConfig defaults = ResolveTopicConfig({}, config.server_values);
  options.topic_settings.isr_min = defaults.min_insync_replicas;
  options.topic_settings.unclean_election = defaults.unclean_leader_election;
  options.topic_settings.durable_on_disk = defaults.durability == Durability::kDisk;
  TopicRules& rules = options.topics;
  rules.default_partitions = config.topic_creation.partitions_default;
  rules.default_replication_factor = config.topic_creation.replication_factor_default;
  rules.delete_enabled = config.topic_creation.may_delete;
  rules.own = config.server_values;
  state_ = std::make_unique<MetadataState>();
  quorum_ = std::make_unique<RaftQuorum>(env_, *kv_, /*dialer=*/nullptr, *state_, QuorumOptions());
  controller_ = std::make_unique<Controller>(env_, std::move(options), *quorum_, *state_);
  quorum_->ObserveLeadership(*controller_);
  controller_->Start();
  MR_CO_RETURN_IF_ERROR(While("metadata", co_await quorum_->Start()));
  // The only voter elects itself at once, and has applied everything then.
  co_return While("metadata",
                  co_await quorum_->WaitUntilActive(env_.reactor.Now() + kElectionPatience));
}

Task<absl::Status> Node::MakeShards() {
  const BrokerConfig& config = options_.config;
  context_.reset(new NodeShardContext{
      config, configs_, brokers_, *kv_, cluster_id_,
      ChooseBudgets(config.memory, config.storage, options_.memory_bytes), options_.on_failure});
  parts_.resize(envs_.size());
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    MR_CO_RETURN_IF_ERROR(co_await shards_.Call<absl::Status>(
        here(), ShardId(i), [part = &parts_[i], env = envs_[i], context = context_.get()] {
          return Make(part, env, context);
        }));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::OpenLogs() {
  absl::StatusOr<std::vector<bool>> clean = co_await parts_.front()->LockStore();
  if (!clean.ok()) co_return clean.status();
  stopped_cleanly_ = std::ranges::all_of(*clean, std::identity());
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&clean, offline = parts_.front()->Offline()](NodeShard* shard) {
        return shard->Recover(*clean, offline);
      }));
  // Journals of a directory whose logs could not be recovered on some shard must not be discarded.
  MR_CO_RETURN_IF_ERROR(co_await SpreadOffline());
  // Discards the journals, which all have replayed.
  MR_CO_RETURN_IF_ERROR(co_await parts_.front()->StartStore());
  MR_CO_RETURN_IF_ERROR(co_await OnEach([](NodeShard* shard) { return shard->StartStore(); },
                                        /*with_first=*/false));
  logs_started_ = true;
  co_return co_await SpreadOffline();
}

Task<absl::Status> Node::SpreadOffline() {
  std::vector<std::vector<LogDirectoryStatus>> found(parts_.size());
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&found](NodeShard* shard) { return CollectOffline(shard, &found); }));
  std::vector<LogDirectoryStatus> all;
  for (auto& some : found) all.insert(all.end(), some.begin(), some.end());
  if (all.empty()) co_return absl::OkStatus();
  co_return co_await OnEach([&all](NodeShard* shard) { return ApplyOffline(shard, &all); });
}

Task<absl::Status> Node::CheckMetadataKnowsLogs() {
  if (!state_->image()->brokers().empty()) co_return absl::OkStatus();
  std::atomic<size_t> logs{0};
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&logs](NodeShard* shard) { return CountLogs(shard, &logs); }));
  if (logs == 0) co_return absl::OkStatus();
  // Going on would remove every one of them as a stray: data of a cluster whose metadata is
  // elsewhere, or gone, or Kafka's.
  co_return absl::FailedPreconditionError(fmt::format(
      "log.dirs hold {} partitions, but the metadata in {} is new and knows none of them. Set "
      "metadata.log.dir to where this cluster's metadata is, or log.dirs to empty directories",
      logs.load(), options_.config.storage.metadata_dir));
}

Task<absl::Status> Node::OpenApis() {
  // Shard 0's access to the controller needs the publisher, which needs every shard's applier; both
  // are lent before they are used.
  local_controller_ = std::make_unique<LocalController>(*controller_);
  const NodeServices services{controller_.get(), quorum_.get(), local_controller_.get(),
                              &controller_requests_, &admission_};
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&services](NodeShard* shard) { return OpenApi(shard, &services); }));
  std::vector<MetadataApplier*> appliers;
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    appliers.push_back(parts_[i]->applier());
    brokers_.Set(ShardId(i), parts_[i]->broker());
  }
  publisher_ = std::make_unique<MetadataPublisher>(env_.reactor, shards_, std::move(appliers));
  local_controller_->Attach(*publisher_);
  controller_requests_.Attach(*parts_.front()->admin(), *publisher_);
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Listen() {
  absl::StatusOr<std::vector<uint16_t>> ports = co_await parts_.front()->Listen({});
  if (!ports.ok()) co_return ports.status();
  MR_CO_RETURN_IF_ERROR(co_await OnEach(
      [&ports](NodeShard* shard) { return ListenTo(shard, *ports); }, /*with_first=*/false));

  const ListenerConfig& listeners = options_.config.listeners;
  for (const Endpoint& endpoint : listeners.advertised) {
    BrokerEndpoint advertised{endpoint.name, endpoint.host, endpoint.port, "PLAINTEXT"};
    if (advertised.host.empty()) advertised.host = options_.host_name;
    for (size_t i = 0; i < listeners.client.size() && advertised.port == 0; ++i) {
      if (listeners.client[i].endpoint.name == endpoint.name) advertised.port = (*ports)[i];
    }
    advertised_.push_back(std::move(advertised));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Register() {
  BrokerRegistration self{options_.config.node_id, env_.random.NextUuid(), cluster_id_, advertised_,
                          options_.config.rack};
  // Opened by now, so everything that was durable in them has been replayed.
  for (const DirectoryId& id : directories_) {
    self.log_directories.push_back({id, /*online=*/true, /*replayed=*/true});
  }
  self.features = AnnouncedFeatures();
  self.caught_up = true;
  const BrokerImage* before = controller_->image()->FindBroker(self.id);
  if (stopped_cleanly_ && before != nullptr) self.clean_epoch = before->epoch;
  absl::StatusOr<RegisteredBroker> registered =
      co_await controller_->RegisterBroker(std::move(self));
  if (!registered.ok()) co_return While("registration", registered.status());
  env_.logger.Info("broker {} registered with epoch {}", options_.config.node_id,
                   registered->epoch);
  co_return absl::OkStatus();
}

Task<absl::Status> Node::OpenPartitions() {
  // No request has been accepted: nothing is decided between catching up and following.
  MR_CO_RETURN_IF_ERROR(While("partitions", co_await publisher_->ApplyAll(state_->image())));
  live_settings_.Apply(*state_->image());
  state_->Follow(live_settings_);
  state_->Follow(*publisher_);
  publisher_->Start();
  co_return absl::OkStatus();
}

void Node::OpenAdmin() {
  NodeAdminView view;
  view.cluster_id = cluster_id_;
  view.advertised = advertised_;
  for (const std::unique_ptr<NodeShard>& part : parts_) view.shards.push_back(part.get());
  view.image = [this] { return controller_->image(); };
  view.controller = [this] { return std::optional(options_.config.node_id); };
  admin_.Open(std::move(view));
}

Task<absl::Status> Node::Start() {
  MR_CO_RETURN_IF_ERROR(co_await admin_.Start());
  MR_CO_RETURN_IF_ERROR(co_await Format());
  admin_.SetStage(NodeStage::kRecovering);
  MR_CO_RETURN_IF_ERROR(co_await OpenMetadata());
  MR_CO_RETURN_IF_ERROR(co_await MakeShards());
  MR_CO_RETURN_IF_ERROR(co_await OpenLogs());
  MR_CO_RETURN_IF_ERROR(co_await CheckMetadataKnowsLogs());
  MR_CO_RETURN_IF_ERROR(co_await OpenApis());
  MR_CO_RETURN_IF_ERROR(co_await Listen());
  OpenAdmin();
  admin_.SetStage(NodeStage::kRegistering);
  MR_CO_RETURN_IF_ERROR(co_await Register());
  MR_CO_RETURN_IF_ERROR(co_await OpenPartitions());
  MR_CO_RETURN_IF_ERROR(co_await OnEach([](NodeShard* shard) { return AcceptOn(shard); }));
  std::atomic<size_t> partitions{0};
  MR_CO_RETURN_IF_ERROR(co_await OnEach(
      [&partitions](NodeShard* shard) { return CountPartitions(shard, &partitions); }));
  env_.logger.Info("serving {} topics, {} partitions on {} shard{}",
                   state_->image()->topics().size(), partitions.load(), parts_.size(),
                   parts_.size() == 1 ? "" : "s");
  admin_.SetStage(NodeStage::kServing);
  co_return absl::OkStatus();
}

Task<absl::Status> Node::StopShards() {
  // No request is under way on any shard when the first of the other things goes.
  (void)co_await OnEach([](NodeShard* shard) { return StopServerOf(shard); });
  if (publisher_ != nullptr) co_await publisher_->Stop();
  absl::Status status = co_await OnEach(
      [](NodeShard* shard) { return shard->StopStore(absl::OkStatus()); }, /*with_first=*/false);
  if (!parts_.empty() && parts_.front() != nullptr) {
    absl::Status others = status;
    if (!logs_started_) others.Update(absl::AbortedError("not every shard's logs were started"));
    status.Update(co_await parts_.front()->StopStore(std::move(others)));
  }
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    (void)co_await shards_.Call<absl::Status>(here(), ShardId(i),
                                              [part = &parts_[i]] { return Destroy(part); });
  }
  publisher_.reset();
  parts_.clear();
  co_return status;
}

Task<absl::Status> Node::Stop() {
  co_await admin_.Close();
  absl::Status status = co_await StopShards();
  if (controller_ != nullptr) co_await controller_->Stop();
  if (quorum_ != nullptr) co_await quorum_->Stop();
  if (kv_ != nullptr) status.Update(co_await kv_->Close());
  co_await admin_.Stop();
  local_controller_.reset();
  context_.reset();
  controller_.reset();
  quorum_.reset();
  state_.reset();
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

#include "broker/node/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "broker/damage_watch.h"
#include "broker/node/quorum_settings.h"
#include "common/check.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "controller/image/feature_levels.h"

namespace millrace {
namespace {

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

Task<absl::Status> CountLogs(NodeShard* shard, std::atomic<uint64_t>* logs) {
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
      folder_(env_.disk, options_.config.storage.metadata_dir),
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

bool Node::HasOthers() const {
  const BrokerConfig& config = options_.config;
  const auto& file = format_.bootstrap;
  const bool formatted_with_others =
      file.ok() && file->has_value() && (*file)->voters.size() > 1 && config.voters.empty();
  return !config.is_controller || config.voters.size() > 1 || !config.quorum_bootstrap.empty() ||
         formatted_with_others;
}

void Node::Interrupt() {
  interrupted_ = true;
  if (link_ != nullptr) link_->Interrupt();
}

Task<absl::Status> Node::OpenStore() {
  const std::string& directory = options_.config.storage.metadata_dir;
  MR_CO_RETURN_IF_ERROR(co_await CreateDirectoriesDurably(env_.disk, directory));
  if (options_.config.is_controller) {
    MR_CO_ASSIGN_OR_RETURN(quorum_.alone, co_await folder_.IsAlone());
  }
  MR_CO_ASSIGN_OR_RETURN(const bool damaged, co_await folder_.HasDamage());
  if (damaged && StoreMayBeRestored()) {
    MR_CO_RETURN_IF_ERROR(
        While("metadata.log.dir", co_await SetStoreAside(absl::DataLossError(
                                      "the store failed as damaged while it was open"))));
  }
  absl::StatusOr<std::unique_ptr<KvStore>> kv =
      co_await options_.open_kv_store(env_, folder_.store_path());
  if (absl::IsDataLoss(kv.status()) && StoreMayBeRestored()) {
    MR_CO_RETURN_IF_ERROR(While("metadata.log.dir", co_await SetStoreAside(kv.status())));
    kv = co_await options_.open_kv_store(env_, folder_.store_path());
  }
  if (absl::IsDataLoss(kv.status()) && !StoreMayBeRestored()) {
    co_return absl::DataLossError(fmt::format(
        "metadata.log.dir: {}; {}", std::string(kv.status().message()), kNobodyToRestoreFrom));
  }
  if (!kv.ok()) co_return While("metadata.log.dir", kv.status());
  kv_ = *std::move(kv);
  const absl::StatusOr<size_t> set_aside = co_await folder_.CountSetAside();
  stores_set_aside_ = set_aside.value_or(0);  // Only told of.
  // A controller's quorum watches over its own writes.
  if (!options_.config.is_controller) {
    kv_ = std::make_unique<DamageWatch>(
        std::move(kv_), [this](absl::Status why) { return OnStoreDamage(std::move(why)); });
  }
  // The store syncs what is in its folder; its folder's own name is ours to make durable.
  co_return co_await env_.disk.SyncDirectory(directory);
}

Task<void> Node::OnStoreDamage(absl::Status why) {
  absl::Status remembered = co_await folder_.RememberDamage();
  env_.logger.Error(
      "the store in metadata.log.dir is damaged: {}. {}", std::string(why.message()),
      remembered.ok()
          ? std::string("The next start sets it aside and has the metadata from the controllers")
          : fmt::format("That cannot be noted for the next start ({}): remove {} before it",
                        std::string(remembered.message()), folder_.store_path()));
  // Nothing can be written any more: each log directory would go offline, one after the other.
  if (options_.on_failure) options_.on_failure(why);
}

// What a broker's holds its logs, its journals and the controllers tell again, all but how far the
// start of a log had been moved inside its first segment: records below it, which DeleteRecords or
// retention had hidden, are served again.
bool Node::StoreMayBeRestored() const {
  return !options_.config.is_controller || (options_.make_dialer && quorum_.HasOthers());
}

Task<absl::Status> Node::SetStoreAside(absl::Status damage) {
  // First: without its store this controller must not be taken for one that never voted.
  if (options_.config.is_controller) MR_CO_RETURN_IF_ERROR(co_await folder_.RememberStore());
  MR_CO_ASSIGN_OR_RETURN(const std::optional<std::string> aside, co_await folder_.SetStoreAside());
  env_.logger.Error("{}. {} may be removed once this node serves again",
                    std::string(damage.message()),
                    aside ? fmt::format("It was set aside as {} and", *aside)
                          : "It is out of the way already, and what was set aside");
  co_return absl::OkStatus();
}

Task<absl::Status> Node::StartController() {
  const BrokerConfig& config = options_.config;
  if (HasOthers() && options_.make_dialer) dialer_ = options_.make_dialer(env_);
  if (!config.is_controller) co_return absl::OkStatus();
  MR_CO_ASSIGN_OR_RETURN(quorum_.had_store, co_await folder_.HadStore());
  quorum_.remember_store = [this] { return folder_.RememberStore(); };
  quorum_.remember_alone = [this](bool alone) { return folder_.RememberAlone(alone); };
  quorum_.remember_damage = [this] { return folder_.RememberDamage(); };
  quorum_.on_failure = [this](const absl::Status& why) {
    quorum_failed_ = true;
    if (options_.on_failure) options_.on_failure(why);
  };
  if (!config.listeners.controller.empty() && options_.make_acceptor) {
    acceptor_ = options_.make_acceptor(env_);
  }
  controller_ =
      std::make_unique<NodeController>(env_, *kv_,
                                       NodeControllerContext{.config = config,
                                                             .configs = configs_,
                                                             .shards = shards_,
                                                             .admission = admission_,
                                                             .format = format_,
                                                             .quorum = quorum_,
                                                             .dialer = dialer_.get(),
                                                             .acceptor = acceptor_.get()});
  co_return co_await controller_->Start();
}

Task<absl::Status> Node::MakeShards() {
  const BrokerConfig& config = options_.config;
  context_.reset(new NodeShardContext{
      config, configs_, brokers_, *kv_, format_.cluster_id,
      ChooseBudgets(config.memory, config.storage, options_.memory_bytes, options_.descriptors),
      options_.on_failure,
      [this](BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how) {
        if (link_ != nullptr) link_->OnStreamLoss(peer, epoch, how);
      },
      [this](BrokerId peer, BrokerEpoch epoch) {
        if (link_ != nullptr) link_->OnStream(peer, epoch);
      },
      [this] { ReportOffline(); },
      [this](ShardId shard, const std::string& path, bool full) { OnFull(shard, path, full); },
      [this](ShardId shard, const std::string& path, bool slow) { OnSlow(shard, path, slow); },
      options_.make_groups});
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

std::optional<DirectoryId> Node::IdOf(const LogDirectoryStatus& directory) const {
  // It was read twice, and either time the disk may have refused.
  if (directory.id.has_value()) return directory.id;
  auto known = format_.directories.find(directory.path);
  if (known == format_.directories.end()) return std::nullopt;
  return known->second;
}

void Node::ReportOffline() {
  if (link_ == nullptr) return;  // Registering says it.
  std::vector<DirectoryId> ids;
  for (const LogDirectoryStatus& directory : parts_.front()->Offline()) {
    if (std::optional<DirectoryId> id = IdOf(directory)) ids.push_back(*id);
  }
  link_->session().SetOfflineDirectories(std::move(ids));
}

void Node::OnFull(ShardId shard, const std::string& path, bool full) {
  full_.Set(shard, path, full);
  ReportMarked();
}

void Node::OnSlow(ShardId shard, const std::string& path, bool slow) {
  slow_.Set(shard, path, slow);
  ReportMarked();
}

void Node::ReportMarked() {
  if (link_ == nullptr) return;
  std::vector<DirectoryId> full;
  std::vector<DirectoryId> slow;
  for (const LogDirectoryStatus& directory : parts_.front()->Directories()) {
    const std::optional<DirectoryId> id = IdOf(directory);
    if (id.has_value() && full_.Has(directory.path)) full.push_back(*id);
    if (id.has_value() && slow_.Has(directory.path)) slow.push_back(*id);
  }
  link_->session().SetMarkedDirectories(std::move(full), std::move(slow));
}

Task<absl::Status> Node::OpenApis() {
  // What the APIs ask of the controller needs the publisher, which needs every shard's applier; both
  // are lent before they are used.
  link_ = std::make_unique<NodeLink>(env_, NodeLinkContext{.config = options_.config,
                                                           .cluster_id = format_.cluster_id,
                                                           .directory = format_.metadata_directory,
                                                           .local = controller_.get(),
                                                           .dialer = dialer_.get()});
  if (interrupted_) link_->Interrupt();
  ReportMarked();
  const NodeServices services{controller_ == nullptr ? nullptr : &controller_->controller(),
                              controller_ == nullptr ? nullptr : &controller_->quorum(),
                              &link_->access(),
                              &link_->requests(),
                              &admission_,
                              &link_->isr(),
                              &link_->directories()};
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&services](NodeShard* shard) { return OpenApi(shard, &services); }));
  std::vector<MetadataApplier*> appliers;
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    appliers.push_back(parts_[i]->applier());
    brokers_.Set(ShardId(i), parts_[i]->broker());
  }
  publisher_ = std::make_unique<MetadataPublisher>(env_.reactor, shards_, std::move(appliers));
  link_->Attach(*publisher_);
  link_->ObserveController(
      [first = parts_.front().get()](std::optional<Instant> lost) { first->OnController(lost); });
  link_->ObserveHeartbeats(
      [first = parts_.front().get()](Instant sent) { first->OnHeartbeat(sent); });
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
  BrokerImage self;
  self.id = options_.config.node_id;
  self.incarnation = env_.random.NextUuid();
  self.endpoints = advertised_;
  self.rack = options_.config.rack;
  for (const LogDirectoryStatus& directory : parts_.front()->Directories()) {
    const std::optional<DirectoryId> id = IdOf(directory);
    if (!id.has_value()) continue;
    const bool online = directory.failure.ok();
    // Those that are online have been opened by now, so all that was durable in them was replayed.
    self.log_directories.push_back({*id, online, /*replayed=*/online});
  }
  self.features = AnnouncedFeatures();
  std::optional<BrokerEpoch> clean_epoch;
  const BrokerImage* before = link_->state().image()->FindBroker(self.id);
  if (stopped_cleanly_ && before != nullptr) clean_epoch = before->epoch;
  std::atomic<uint64_t> logs{0};
  MR_CO_RETURN_IF_ERROR(
      co_await OnEach([&logs](NodeShard* shard) { return CountLogs(shard, &logs); }));
  MR_CO_RETURN_IF_ERROR(
      While("registration", co_await link_->Begin(std::move(self), clean_epoch, logs)));
  registered_ = true;
  co_return absl::OkStatus();
}

Task<absl::Status> Node::OpenPartitions() {
  // What is decided meanwhile waits in the publisher.
  MetadataState& state = link_->state();
  live_settings_.Apply(*state.image());
  state.Follow(live_settings_);
  state.Follow(*publisher_);
  MR_CO_RETURN_IF_ERROR(While("partitions", co_await publisher_->ApplyAll(state.image())));
  publisher_->Start();
  co_return absl::OkStatus();
}

void Node::OpenAdmin() {
  admin_.registry().AddGauge(
      {"millrace_metadata_stores_set_aside",
       "Damaged stores in metadata.log.dir that the start found: a person may remove them."},
      [this] { return static_cast<double>(stores_set_aside_); });
  if (controller_ != nullptr) controller_->quorum().RegisterMetrics(admin_.registry());
  NodeAdminView view;
  view.cluster_id = format_.cluster_id;
  view.advertised = advertised_;
  for (const std::unique_ptr<NodeShard>& part : parts_) view.shards.push_back(part.get());
  view.image = [this] { return image(); };
  view.controller = [this] { return controller_id(); };
  view.is_full = [this](const std::string& directory) { return full_.Has(directory); };
  view.is_slow = [this](const std::string& directory) { return slow_.Has(directory); };
  admin_.Open(std::move(view));
}

Task<absl::Status> Node::StartBroker() {
  MR_CO_RETURN_IF_ERROR(co_await MakeShards());
  MR_CO_RETURN_IF_ERROR(co_await OpenLogs());
  MR_CO_RETURN_IF_ERROR(co_await OpenApis());
  MR_CO_RETURN_IF_ERROR(co_await Listen());
  OpenAdmin();
  admin_.SetStage(NodeStage::kRegistering);
  MR_CO_RETURN_IF_ERROR(co_await Register());
  MR_CO_RETURN_IF_ERROR(co_await OpenPartitions());
  MR_CO_RETURN_IF_ERROR(co_await OnEach([](NodeShard* shard) { return AcceptOn(shard); }));
  co_await link_->Serve();
  std::atomic<size_t> partitions{0};
  MR_CO_RETURN_IF_ERROR(co_await OnEach(
      [&partitions](NodeShard* shard) { return CountPartitions(shard, &partitions); }));
  env_.logger.Info("serving {} topics, {} partitions on {} shard{}",
                   link_->state().image()->topics().size(), partitions.load(), parts_.size(),
                   parts_.size() == 1 ? "" : "s");
  co_return absl::OkStatus();
}

Task<absl::Status> Node::Start() {
  MR_CO_RETURN_IF_ERROR(co_await admin_.Start());
  NodeFormatOptions format;
  format.cluster_id = options_.cluster_id;
  format.may_make_cluster = !HasOthers();
  absl::StatusOr<NodeFormat> formatted =
      co_await FormatNode(&env_, &options_.config, std::move(format));
  if (!formatted.ok()) co_return formatted.status();
  format_ = *std::move(formatted);
  if (options_.config.is_controller) {
    quorum_ = QuorumSettings(options_.config, format_, options_.host_name);
    quorum_.rereads_proposals = options_.rereads_proposals;
    folder_.SetIdentity(format_.metadata_directory);
  }
  admin_.SetStage(NodeStage::kRecovering);
  MR_CO_RETURN_IF_ERROR(co_await OpenStore());
  MR_CO_RETURN_IF_ERROR(co_await StartController());
  if (options_.config.is_broker) {
    MR_CO_RETURN_IF_ERROR(co_await StartBroker());
  } else {
    OpenAdmin();
  }
  admin_.SetStage(NodeStage::kServing);
  co_return absl::OkStatus();
}

Task<absl::Status> Node::StopShards() {
  // No request is under way on any shard when the first of the other things goes.
  (void)co_await OnEach([](NodeShard* shard) { return StopServerOf(shard); });
  if (publisher_ != nullptr) {
    link_->state().Unfollow(*publisher_);
    co_await publisher_->Stop();
  }
  absl::Status status = co_await OnEach(
      [](NodeShard* shard) { return shard->StopStore(absl::OkStatus()); }, /*with_first=*/false);
  if (!parts_.empty() && parts_.front() != nullptr) {
    absl::Status others = status;
    if (!logs_started_) others.Update(absl::AbortedError("not every shard's logs were started"));
    // A clean mark would have the next start say that nothing was lost.
    if (!stopped_cleanly_ && !registered_) {
      others.Update(
          absl::AbortedError("the controllers do not know that the stop before was none"));
    }
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
  if (link_ != nullptr) {
    // Where the metadata stands still this broker would not hear that others lead what it led, and
    // hold their clients up until it gives up waiting. They see its end at once.
    if (options_.config.controlled_shutdown && !quorum_failed_) co_await link_->Leave();
    // Requests that wait for the controller end now, or the servers would wait for them.
    co_await link_->Stop();
  }
  co_await admin_.Close();
  absl::Status status = co_await StopShards();
  link_.reset();
  if (controller_ != nullptr) co_await controller_->Stop();
  if (kv_ != nullptr) status.Update(co_await kv_->Close());
  co_await admin_.Stop();
  context_.reset();
  controller_.reset();
  acceptor_.reset();
  dialer_.reset();
  kv_.reset();
  co_return status;
}

std::shared_ptr<const MetadataImage> Node::image() const {
  if (controller_ != nullptr) return controller_->image();
  return link_ == nullptr ? nullptr : link_->state().image();
}

std::optional<BrokerId> Node::controller_id() const {
  if (controller_ != nullptr) return controller_->leader();
  return link_ == nullptr ? std::nullopt : link_->controller();
}

size_t Node::voters() const {
  return controller_ == nullptr ? 0 : controller_->quorum().core().voters().size();
}

std::optional<RaftTerm> Node::active_term() const {
  return controller_ == nullptr ? std::nullopt : controller_->active_term();
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

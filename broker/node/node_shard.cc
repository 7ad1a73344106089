#include "broker/node/node_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/control/alter_partition_batcher.h"
#include "broker/control/remote_controller.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "storage/kv/remote_kv_store.h"

namespace millrace {
namespace {

constexpr int32_t kUnlimitedAccepts = 2147483647;

GroupServiceOptions OptionsOf(const GroupConfig& config) {
  GroupServiceOptions options;
  options.groups.classic.session_min = config.session_min;
  options.groups.classic.session_max = config.session_max;
  options.groups.classic.initial_rebalance_delay = config.initial_rebalance_delay;
  options.groups.classic.members_max = static_cast<size_t>(config.members_max);
  options.groups.consumer.session_timeout = config.consumer_session;
  options.groups.consumer.heartbeat_interval = config.consumer_heartbeat;
  options.groups.consumer.session_timeout_min = config.consumer_session_min;
  options.groups.consumer.session_timeout_max = config.consumer_session_max;
  options.groups.consumer.heartbeat_interval_min = config.consumer_heartbeat_min;
  options.groups.consumer.heartbeat_interval_max = config.consumer_heartbeat_max;
  options.groups.consumer.assignment_interval_min = config.consumer_assignment_interval_min;
  options.groups.consumer.assignment_interval_max = config.consumer_assignment_interval_max;
  options.groups.consumer.members_max = static_cast<size_t>(config.consumer_members_max);
  options.groups.consumer.assignors = config.consumer_assignors;
  options.groups.consumer.assignment_interval = config.consumer_assignment_interval;
  options.groups.consumer.regex_refresh_interval = config.consumer_regex_refresh;
  options.groups.migration = {.upgrade = config.consumer_upgrade,
                              .downgrade = config.consumer_downgrade};
  options.groups.offset_metadata_bytes_max = static_cast<size_t>(config.offset_metadata_bytes_max);
  options.groups.offsets_retention = config.offsets_retention;
  options.groups.expiration_interval = config.expiration_interval;
  options.commit_timeout = config.commit_timeout;
  return options;
}

absl::Status While(std::string_view doing, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", doing, std::string(status.message())));
}

// An equal part of `whole`, rounded up.
template <typename T>
T Share(T whole, size_t shards) {
  return static_cast<T>((whole + static_cast<T>(shards) - 1) / static_cast<T>(shards));
}

Task<absl::Status> TakeOfflineThere(Broker* there, std::string path, absl::Status cause) {
  there->store.TakeOffline(path, cause);
  co_return absl::OkStatus();
}

}  // namespace

NodeShard::NodeShard(Env& env, const NodeShardContext& context)
    : env_(env),
      context_(context),
      request_metrics_(metrics_),
      budgets_(ShareOf(context.budgets, context.shards.count())),
      request_budget_(env.reactor, budgets_.requests,
                      static_cast<size_t>(context.config.connections.request_bytes_max)),
      fetch_budget_(env.reactor, budgets_.fetch),
      life_signs_(env.reactor,
                  [this](BrokerId broker, uint64_t number) {
                    return replication_ != nullptr && replication_->AskEcho(broker, number);
                  }),
      fencing_(context.config.session_timeout),
      telling_(env.reactor),
      telling_first_(context.shards.calls(), env.reactor.shard(), ShardId(0)) {
  if (!IsFirst()) {
    remote_kv_ = std::make_unique<RemoteKvStore>(context.shards.calls(), env.reactor.shard(),
                                                 ShardId(0), context.kv);
  }
  for (uint32_t i = 1; IsFirst() && i < context.shards.count(); ++i) {
    telling_doubts_.push_back(
        std::make_unique<OrderedTelling>(context.shards.calls(), ShardId(0), ShardId(i)));
  }
}

NodeShard::~NodeShard() {
  MR_CHECK(server_ == nullptr);
  MR_CHECK(store_ == nullptr);
}

void NodeShard::MakeStore(std::vector<bool> clean) {
  const BrokerConfig& config = context_.config;
  const size_t shards = context_.shards.count();
  LogStoreOptions options;
  options.log_dirs = config.storage.data_dirs;
  options.cluster_id = context_.cluster_id;
  options.node_id = config.node_id;
  options.shard = env_.reactor.shard();
  options.shards = static_cast<uint32_t>(shards);
  options.clean_directories = std::move(clean);
  options.cordoned_dirs = config.storage.cordoned_dirs;
  options.scrub_bytes_per_second = static_cast<uint64_t>(config.storage.scrub_bytes_per_second);
  options.scrub_interval = config.storage.scrub_interval;
  options.move_bytes_per_second = static_cast<uint64_t>(config.storage.move_bytes_per_second);
  options.on_offline = [this](const std::string& path, const absl::Status& cause) {
    OnDirectoryOffline(path, cause);
  };
  options.on_full = [this](const std::string& path, bool full) {
    TellFirst("full " + path, [shard = shard(), path, full](const NodeShardContext& node) {
      if (node.on_full) node.on_full(shard, path, full);
    });
  };
  options.slow_write = config.storage.slow_write;
  options.on_slow = [this](const std::string& path, bool slow) {
    TellFirst("slow " + path, [shard = shard(), path, slow](const NodeShardContext& node) {
      if (node.on_slow) node.on_slow(shard, path, slow);
    });
  };
  if (config.storage.segment_write_bytes > 0) {
    options.segment_write_bytes = static_cast<size_t>(config.storage.segment_write_bytes);
  }
  options.pending_bytes_max = std::max(budgets_.pending, options.segment_write_bytes);
  options.tail_cache_bytes_max = budgets_.tail_cache;
  options.producer_bytes_max = budgets_.producers;
  options.segment_write_age = config.storage.segment_write_delay;
  options.producer_check_interval = config.producer_id_check_interval;
  options.retention_check_interval = config.storage.retention_check_interval;
  options.retention_initial_delay = config.storage.retention_initial_delay;
  options.cleaner = context_.configs.Cleaner(MetadataImage(), static_cast<uint32_t>(shards));
  options.open_files_max = budgets_.open_files;
  store_ = std::make_unique<LogStore>(env_, remote_kv_ == nullptr ? context_.kv : *remote_kv_,
                                      std::move(options));
}

Task<absl::StatusOr<std::vector<bool>>> NodeShard::LockStore() {
  MakeStore({});
  absl::Status locked = co_await store_->Lock();
  if (!locked.ok()) co_return While("logs", locked);
  co_return store_->clean_directories();
}

Task<absl::Status> NodeShard::Recover(std::vector<bool> clean,
                                      std::vector<LogDirectoryStatus> offline) {
  if (store_ == nullptr) MakeStore(std::move(clean));
  TakeOffline(offline);
  co_return While("logs", co_await store_->Recover());
}

std::vector<LogDirectoryStatus> NodeShard::Offline() const {
  std::vector<LogDirectoryStatus> offline;
  for (LogDirectoryStatus& directory : store_->directories()) {
    if (!directory.failure.ok()) offline.push_back(std::move(directory));
  }
  return offline;
}

void NodeShard::TakeOffline(const std::vector<LogDirectoryStatus>& offline) {
  for (const LogDirectoryStatus& directory : offline) {
    store_->TakeOffline(directory.path, directory.failure);
  }
}

void NodeShard::OnDirectoryOffline(const std::string& path, const absl::Status& cause) {
  // Until the APIs are open the Node carries it from shard to shard, step by step.
  for (uint32_t i = 0; broker_ != nullptr && i < context_.shards.count(); ++i) {
    if (ShardId(i) != shard()) telling_.Spawn(TellOffline(ShardId(i), path, cause));
  }
  if (IsFirst() && context_.on_offline) context_.on_offline();
  if (IsFirst() && context_.on_failure && Offline().size() == store_->directories().size()) {
    context_.on_failure(absl::UnavailableError("all log directories are offline"));
  }
}

Task<void> NodeShard::TellOffline(ShardId to, std::string path, absl::Status cause) {
  Broker* there = context_.shards.at(to);
  (void)co_await context_.shards.calls().Call<absl::Status>(
      shard(), to, [there, path, cause] { return TakeOfflineThere(there, path, cause); });
}

Task<absl::Status> NodeShard::StartStore() { co_return While("logs", co_await store_->Start()); }

void NodeShard::Open(const NodeServices& services) {
  const BrokerConfig& config = context_.config;
  const size_t shards = context_.shards.count();
  Shards& calls = context_.shards.calls();
  const ShardId here = env_.reactor.shard();
  ControllerAccess* controller = services.access;
  admission_ = services.admission;
  if (!IsFirst()) {
    remote_controller_ = std::make_unique<RemoteController>(calls, here, *controller);
    controller = remote_controller_.get();
    remote_admission_ = std::make_unique<RemoteAdmission>(calls, here, *services.admission);
    admission_ = remote_admission_.get();
  }
  partitions_ = std::make_unique<PartitionTable>(
      env_, *store_, config.node_id, remote_kv_ == nullptr ? &context_.kv : remote_kv_.get(),
      PartitionTableOptions{.leader = {.lag_max = config.replication.lag_max},
                            .high_watermark_interval = config.replication.high_watermark_interval});
  IsrChannel* isr = services.isr;
  if (!IsFirst()) {
    remote_isr_ = std::make_unique<RemoteIsrChannel>(context_.shards.calls(), env_.reactor.shard(),
                                                     *services.isr);
    isr = remote_isr_.get();
  }
  partitions_->set_isr_channel(isr);
  applier_ = std::make_unique<MetadataApplier>(env_, config.node_id, static_cast<uint32_t>(shards),
                                               *partitions_, context_.configs);
  DirectoryReports* directories = services.directories;
  if (!IsFirst()) {
    remote_directories_ = std::make_unique<RemoteDirectoryReports>(calls, here, *directories);
    directories = remote_directories_.get();
  }
  applier_->set_directories(directories);
  partitions_->set_on_damaged(
      [this](TopicPartitionId id) { telling_.Spawn(applier_->Repair(id)); });
  GroupServiceOptions groups = OptionsOf(config.groups);
  groups.memory_bytes_max = budgets_.groups;
  groups.surely_leads = [this] { return fencing_.IsSurelyUnfenced(env_.reactor.Now()); };
  groups_ = context_.make_groups(env_, *partitions_, *store_, *applier_, std::move(groups));
  applier_->set_groups(groups_.get());
  lag_meter_ = std::make_unique<LagMeter>(env_, *partitions_, config.node_id);
  applier_->set_store(store_.get());
  AdminOptions options{.node_id = config.node_id, .cluster_id = context_.cluster_id};
  const std::vector<std::string>& controller_names = config.listeners.controller_names;
  if (!controller_names.empty()) options.controller_listener = controller_names.front();
  admin_.reset(new AdminContext{
      .options = std::move(options),
      .env = env_,
      .metadata = *applier_,
      .configs = context_.configs,
      .controller = IsFirst() ? services.controller : nullptr,
      .raft = IsFirst() ? services.raft : nullptr,
  });
  OpenReplication();
  FetchSessionOptions sessions;
  sessions.slots_max = Share(static_cast<size_t>(config.fetch_sessions_max), shards);
  sessions.partitions_max = Share(sessions.partitions_max, shards);
  sessions.name_bytes_max = Share(sessions.name_bytes_max, shards);
  broker_.reset(new Broker{
      .options = {.node_id = config.node_id,
                  .cluster_id = context_.cluster_id,
                  .auto_create_topics = config.topic_creation.auto_create,
                  .read_from_rack = config.replication.read_from_rack,
                  .fetch_bytes_max = static_cast<size_t>(config.fetch_bytes_max),
                  .describe_partitions_max = config.describe_partitions_max,
                  .groups_topic = {.partitions = config.groups.topic_partitions,
                                   .replication_factor = config.groups.topic_replication_factor,
                                   .segment_bytes = config.groups.topic_segment_bytes}},
      .env = env_,
      .shards = context_.shards,
      .controller = *controller,
      .metadata = *applier_,
      .partitions = *partitions_,
      .store = *store_,
      .configs = context_.configs,
      .fetch_budget = fetch_budget_,
      .groups = groups_.get(),
      .replication = replication_door_.get(),
      .doubts = &doubts_,
      .life_signs = &life_signs_,
      .fencing = &fencing_,
      .sessions = FetchSessionCache(sessions),
      .producer_ids = ProducerIdSource(env_, *controller),
      .validator{env_, {.memory_bytes_max = budgets_.validation}},
  });
  dispatcher_ = std::make_unique<Dispatcher>(*admin_, broker_.get(), calls, *services.requests,
                                             request_metrics_);
  RegisterMetrics();
}

void NodeShard::RegisterMetrics() {
  store_->RegisterMetrics(metrics_);
  replication_->RegisterMetrics(metrics_);
  partitions_->RegisterMetrics(metrics_);
  metrics_.AddGauge(
      {"millrace_connections", "Connections of clients (Kafka: connection-count)."},
      [this] { return server_ == nullptr ? 0.0 : static_cast<double>(server_->connections()); });
  metrics_.AddCounter(
      {"millrace_connections_accepted_total", "Connections that were served."},
      [this] { return server_ == nullptr ? 0.0 : static_cast<double>(server_->accepted()); });
  metrics_.AddCounter({"millrace_connections_closed_slow_total",
                       "Connections closed because others waited for memory that a slow request "
                       "or reply of theirs kept."},
                      [this] { return static_cast<double>(request_budget_.closed()); });
  constexpr const char* kBudget = "Bytes of a memory budget in use.";
  metrics_.AddGauge({"millrace_memory_bytes", kBudget, {{"budget", "groups"}}}, [this] {
    return groups_ == nullptr ? 0.0 : static_cast<double>(groups_->memory_bytes());
  });
  metrics_.AddGauge({"millrace_memory_bytes", kBudget, {{"budget", "requests"}}},
                    [this] { return static_cast<double>(request_budget_.used()); });
  metrics_.AddGauge({"millrace_memory_bytes", kBudget, {{"budget", "fetch"}}},
                    [this] { return static_cast<double>(fetch_budget_.used()); });
}

PartitionEnds NodeShard::Ends(size_t max) const {
  PartitionEnds ends;
  partitions_->ForEach([&](const Partition& partition) {
    if (!partition.leads() || !partition.high_watermark_is_current()) return;
    if (ends.ends.size() == max) {
      ++ends.omitted;
      return;
    }
    ends.ends.push_back({partition.topic(), partition.id().partition, partition.high_watermark()});
  });
  return ends;
}

void NodeShard::OpenReplication() {
  const BrokerConfig& config = context_.config;
  const std::string& listener = config.listeners.inter_broker_name;
  peers_ = std::make_unique<ImagePeers>(*applier_, listener);
  ReplicationOptions options;
  options.cluster_id = context_.cluster_id;
  options.self = config.node_id;
  options.shards = static_cast<uint32_t>(context_.shards.count());
  options.batch_bytes_max = static_cast<size_t>(config.connections.request_bytes_max);
  // Consumers that are sent to followers see there what is committed.
  if (config.replication.read_from_rack) options.high_watermark_delay = options.start_delay;
  options.on_loss = [this](BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how) {
    if (how == StreamLoss::kBroken && epoch.has_value()) {
      doubts_.OnBroken(peer, *epoch, env_.reactor.Now());
    }
    life_signs_.OnLost(peer);
    TellFirst(fmt::format("loss {} {}", peer, static_cast<int>(how)),
              [peer, epoch, how](const NodeShardContext& node) {
                if (node.on_stream_loss) node.on_stream_loss(peer, epoch, how);
              });
  };
  options.on_stream = [this](BrokerId peer, BrokerEpoch epoch) {
    doubts_.OnStream(peer, epoch);
    TellFirst(fmt::format("stream {}", peer), [peer, epoch](const NodeShardContext& node) {
      if (node.on_stream) node.on_stream(peer, epoch);
    });
  };
  options.on_echo = [this](BrokerId peer, uint64_t number) { life_signs_.OnEcho(peer, number); };
  replication_ =
      std::make_unique<ReplicationShard>(env_, *store_, *partitions_, *peers_, std::move(options));
  applier_->set_replication(replication_.get());
  replication_door_ =
      std::make_unique<ReplicationDoor>(env_, context_.shards, *replication_, listener);
}

void NodeShard::OnController(std::optional<Instant> lost) {
  TellDoubts("controller", [lost](FencingDoubts& doubts) { doubts.OnController(lost); });
}

void NodeShard::OnHeartbeat(Instant sent) {
  TellDoubts("heartbeat", [sent](FencingDoubts& doubts) { doubts.OnHeartbeat(sent); });
}

void NodeShard::TellDoubts(std::string subject, std::function<void(FencingDoubts&)> what) {
  what(fencing_);
  for (uint32_t i = 1; i < context_.shards.count(); ++i) {
    Broker* there = context_.shards.at(ShardId(i));
    telling_doubts_.at(i - 1)->Tell(subject, [there, what] { what(*there->fencing); });
  }
}

void NodeShard::TellFirst(std::string subject, std::function<void(const NodeShardContext&)> what) {
  telling_first_.Tell(std::move(subject),
                      [context = &context_, what = std::move(what)] { what(*context); });
}

ServerOptions NodeShard::MakeServerOptions(const std::vector<uint16_t>& ports) const {
  const BrokerConfig& config = context_.config;
  const size_t shards = context_.shards.count();
  ServerOptions server;
  for (size_t i = 0; i < config.listeners.client.size(); ++i) {
    const Endpoint& endpoint = config.listeners.client[i].endpoint;
    ListenerOptions one;
    one.name = endpoint.name;
    one.bind = {endpoint.host, IsFirst() ? endpoint.port : ports.at(i)};
    one.socket.backlog = config.connections.listen_backlog;
    one.socket.send_buffer_bytes = config.connections.send_buffer_bytes;
    one.socket.receive_buffer_bytes = config.connections.receive_buffer_bytes;
    if (shards > 1) one.socket.sharing = IsFirst() ? PortSharing::kFirst : PortSharing::kJoin;
    server.listeners.push_back(std::move(one));
  }
  server.connection.frame_bytes_max = static_cast<size_t>(config.connections.request_bytes_max);
  server.connection.idle_max = config.connections.idle_max;
  if (config.memory.connection_output_bytes_max > 0) {
    server.connection.reply_bytes_max =
        static_cast<size_t>(config.memory.connection_output_bytes_max);
  }
  // The kernel spreads connections evenly enough for an equal part each.
  server.accepts_per_second_max = config.connections.connections_per_second_max;
  if (server.accepts_per_second_max < kUnlimitedAccepts) {
    server.accepts_per_second_max =
        static_cast<int32_t>(Share(int64_t{server.accepts_per_second_max}, shards));
  }
  return server;
}

Task<absl::StatusOr<std::vector<uint16_t>>> NodeShard::Listen(std::vector<uint16_t> ports) {
  server_ = std::make_unique<Server>(env_, MakeServerOptions(ports), *dispatcher_, request_budget_,
                                     *admission_);
  absl::Status listening = co_await server_->Listen();
  if (!listening.ok()) co_return listening;
  std::vector<uint16_t> bound;
  for (const NamedListener& listener : context_.config.listeners.client) {
    bound.push_back(server_->BoundAddress(listener.endpoint.name).port);
  }
  co_return bound;
}

void NodeShard::Accept() { server_->Accept(); }

Task<void> NodeShard::StopServer() {
  // First, so that members who wait for their group are told to look for another coordinator.
  if (groups_ != nullptr) co_await groups_->Stop();
  if (server_ != nullptr) co_await server_->Stop();
  server_.reset();
  co_await telling_.Stop();
  co_await telling_first_.Stop();
  for (auto& telling : telling_doubts_) co_await telling->Stop();
}

Task<absl::Status> NodeShard::StopStore(absl::Status others) {
  absl::Status status;
  if (replication_ != nullptr) co_await replication_->Stop();
  if (partitions_ != nullptr) co_await partitions_->Stop();
  if (store_ != nullptr) status = co_await store_->Stop(std::move(others));
  if (remote_kv_ != nullptr) status.Update(co_await remote_kv_->Close());
  dispatcher_.reset();
  broker_.reset();
  admin_.reset();
  replication_door_.reset();
  replication_.reset();
  peers_.reset();
  applier_.reset();
  groups_.reset();
  partitions_.reset();
  store_.reset();
  co_return status;
}

}  // namespace millrace

#include "test/bench/micro_node.h"

#include <utility>

#include "common/check.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"

namespace millrace::bench {
namespace {

constexpr const char* kDataDirectory = "/data";
constexpr const char* kMetadataDirectory = "/meta";
constexpr const char* kListener = "PLAINTEXT";
constexpr const char* kCluster = "micro";
// Nothing waits for memory, and nothing is evicted: a benchmark's loop does not suspend.
constexpr size_t kPlenty = size_t{1} << 30;

void CheckOk(const absl::Status& status) { MR_CHECK(status.ok()); }

}  // namespace

MicroNode::MicroNode(SimWorld& world)
    : world_(world),
      env_(world.AddNode("micro").Boot()),
      shards_({&env_.reactor}),
      brokers_(shards_),
      fetch_budget_(env_.reactor, kPlenty),
      configs_(BrokerId(1), {}),
      connection_(std::make_shared<ConnectionContext>()) {
  connection_->listener = kListener;
}

MicroNode& MicroNode::New(uint64_t seed) {
  auto* node = new MicroNode(*new SimWorld(seed));
  node->world_.Run(node->env_, StartTask(node));
  return *node;
}

Task<void> MicroNode::StartTask(MicroNode* self) {
  Env& env = self->env_;
  const BrokerId id(1);
  MetaProperties meta;
  meta.cluster_id = kCluster;
  meta.node_id = id;
  meta.directory_id = env.random.NextUuid();
  CheckOk(co_await FormatLogDirectory(env.disk, kDataDirectory, meta));
  absl::StatusOr<std::unique_ptr<LogKvStore>> kv =
      co_await LogKvStore::Open(env, kMetadataDirectory, {});
  CheckOk(kv.status());
  self->kv_ = *std::move(kv);
  self->state_ = std::make_unique<MetadataState>();
  RaftQuorumOptions quorum;
  quorum.node_id = id;
  quorum.cluster_id = kCluster;
  quorum.directory = *meta.directory_id;
  quorum.initial_voters = quorum.initial_voters.With(id, {quorum.directory, {}});
  self->quorum_ =
      std::make_unique<RaftQuorum>(env, *self->kv_, nullptr, *self->state_, std::move(quorum));
  self->controller_ =
      std::make_unique<Controller>(env, ControllerOptions{}, *self->quorum_, *self->state_);
  CheckOk(co_await self->quorum_->Start());
  CheckOk(co_await self->quorum_->WaitUntilActive(env.reactor.Now() + seconds(10)));

  LogStoreOptions store;
  store.log_dirs = {kDataDirectory};
  store.pending_bytes_max = kPlenty;
  store.tail_cache_bytes_max = kPlenty;
  self->store_ = std::make_unique<LogStore>(env, *self->kv_, std::move(store));
  CheckOk(co_await self->store_->Start());
  self->partitions_ = std::make_unique<PartitionTable>(env, *self->store_, id);
  self->applier_ =
      std::make_unique<MetadataApplier>(env, id, 1, *self->partitions_, self->configs_);
  self->publisher_ = std::make_unique<MetadataPublisher>(
      env.reactor, self->shards_, std::vector<MetadataApplier*>{self->applier_.get()});
  self->access_ = std::make_unique<LocalController>(*self->controller_, id);
  self->access_->Attach(*self->publisher_);
  self->broker_.reset(new Broker{
      .options = {.node_id = id, .cluster_id = kCluster},
      .env = env,
      .shards = self->brokers_,
      .controller = *self->access_,
      .metadata = *self->applier_,
      .partitions = *self->partitions_,
      .store = *self->store_,
      .configs = self->configs_,
      .fetch_budget = self->fetch_budget_,
      .sessions = FetchSessionCache({}),
      .producer_ids = ProducerIdSource(env, *self->access_),
      .validator{env, {}},
  });
  self->brokers_.Set(ShardId(0), self->broker_.get());
  self->admin_.reset(new AdminContext{
      .options = {.node_id = id, .cluster_id = kCluster},
      .env = env,
      .metadata = *self->applier_,
      .configs = self->configs_,
      .controller = self->controller_.get(),
      .raft = self->quorum_.get(),
  });
  self->requests_.Attach(*self->admin_, *self->publisher_);
  self->dispatcher_ = std::make_unique<Dispatcher>(
      *self->admin_, self->broker_.get(), self->shards_, self->requests_, self->request_metrics_);

  BrokerRegistration registration{
      id, env.random.NextUuid(), kCluster, {{kListener, "micro", 9092, kListener}}};
  registration.log_directories = {{*meta.directory_id, /*online=*/true, /*replayed=*/true}};
  registration.features = AnnouncedFeatures();
  registration.caught_up = true;
  CheckOk((co_await self->controller_->RegisterBroker(std::move(registration))).status());
  self->state_->Follow(*self->publisher_);
  self->publisher_->Start();
}

Task<void> MicroNode::CreateTask(MicroNode* self, CreateTopicRequest request) {
  std::vector<CreateTopicRequest> requests;
  requests.push_back(std::move(request));
  absl::StatusOr<std::vector<CreateTopicReply>> replies =
      co_await self->access_->CreateTopics(std::move(requests), /*validate_only=*/false);
  CheckOk(replies.status());
  CheckOk(replies->front().status);
}

void MicroNode::CreateTopic(std::string name, int32_t partitions, bool durable) {
  CreateTopicRequest request;
  request.name = std::move(name);
  request.partitions = partitions;
  request.configs.emplace_back("millrace.durability", durable ? "disk" : "page-cache");
  world_.Run(env_, CreateTask(this, std::move(request)));
}

Partition& MicroNode::partition(const std::string& topic, int32_t index) {
  MetadataImage::Topic image = state_->image()->FindTopic(topic);
  MR_CHECK(image != nullptr);
  Partition* found = partitions_->Find({image->topic_id, PartitionId(index)});
  MR_CHECK(found != nullptr);
  return *found;
}

Task<ApiReply> MicroNode::Handle(Slice frame) {
  auto order = std::make_shared<RequestOrder>(env_.reactor);
  order->ReachFront();  // No other request of this connection is before it.
  return dispatcher_->Handle(std::move(frame), connection_, std::move(order), cancel_.token(),
                             drain_.token());
}

}  // namespace millrace::bench

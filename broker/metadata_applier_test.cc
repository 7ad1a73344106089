#include "broker/metadata_applier.h"

#include <catch2/catch.hpp>
#include <memory>
#include <utility>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "controller/image/metadata_delta.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"
#include "storage/log_store.h"

namespace millrace {
namespace {

const TopicId kTopic(7, 7);
const BrokerId kSelf(1);
const BrokerId kOther(2);

PartitionRecord Led(int32_t partition, int32_t partition_epoch, BrokerIds isr) {
  PartitionImage state;
  state.replicas = {kSelf, kOther};
  state.directories = {kUnassignedDirectory, kUnassignedDirectory};
  state.isr = std::move(isr);
  state.leader = kSelf;
  state.partition_epoch = PartitionEpoch(partition_epoch);
  return {kTopic, PartitionId(partition), state};
}

RegisterBrokerRecord Broker(BrokerId id, bool fenced) {
  BrokerImage broker;
  broker.id = id;
  broker.fenced = fenced;
  return {broker};
}

// One shard of broker 1, and what the metadata says.
struct Shard {
  SimWorld world{1};
  Env& env = world.AddNode("n1").Boot();
  std::unique_ptr<LogKvStore> kv;
  std::unique_ptr<LogStore> store;
  std::unique_ptr<PartitionTable> partitions;
  TopicConfigSource configs{kSelf, {}};
  std::unique_ptr<MetadataApplier> applier;
  std::shared_ptr<const MetadataImage> image = std::make_shared<const MetadataImage>();
  int64_t index = 0;

  Shard() { REQUIRE(world.Run(env, StartTask(this)).ok()); }
  ~Shard() { world.Run(env, StopTask(this)).IgnoreError(); }

  static Task<absl::Status> StartTask(Shard* self) {
    MetaProperties meta;
    meta.cluster_id = "c";
    meta.node_id = kSelf;
    meta.directory_id = self->env.random.NextUuid();
    const absl::Status formatted = co_await FormatLogDirectory(self->env.disk, "/data", meta);
    if (!formatted.ok()) co_return formatted;
    absl::StatusOr<std::unique_ptr<LogKvStore>> kv =
        co_await LogKvStore::Open(self->env, "/meta", {});
    if (!kv.ok()) co_return kv.status();
    self->kv = *std::move(kv);
    LogStoreOptions options;
    options.log_dirs = {"/data"};
    self->store = std::make_unique<LogStore>(self->env, *self->kv, std::move(options));
    const absl::Status started = co_await self->store->Start();
    if (!started.ok()) co_return started;
    self->partitions = std::make_unique<PartitionTable>(self->env, *self->store, kSelf);
    self->applier =
        std::make_unique<MetadataApplier>(self->env, kSelf, 1, *self->partitions, self->configs);
    co_return absl::OkStatus();
  }
  static Task<absl::Status> StopTask(Shard* self) {
    co_await self->partitions->Stop();
    absl::Status stopped = co_await self->store->Stop();
    stopped.Update(co_await self->kv->Close());
    co_return stopped;
  }

  static Task<absl::Status> ApplyTask(Shard* self, std::shared_ptr<const MetadataChange> change) {
    co_await self->applier->Apply(std::move(change));
    co_return absl::OkStatus();
  }

  // As MetadataPublisher does.
  void Apply(const std::vector<MetadataRecord>& records) {
    MetadataDelta delta(image);
    for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
    image = delta.Build(RaftIndex(++index));
    auto change = std::make_shared<MetadataChange>();
    change->image = image;
    change->changed = delta.changed_topics();
    change->partitions = delta.changed_partitions();
    change->brokers = delta.changed_brokers();
    change->broker_defaults = delta.broker_defaults_changed();
    REQUIRE(world.Run(env, ApplyTask(this, std::move(change))).ok());
  }

  const PartitionAssignment* Assigned(int32_t partition) {
    Partition* found = partitions->Find({kTopic, PartitionId(partition)});
    return found == nullptr ? nullptr : &found->assignment();
  }
};

}  // namespace

TEST_CASE("MetadataApplier: a change of some partitions is for them, one of brokers for all") {
  Shard shard;
  shard.Apply({Broker(kSelf, false), Broker(kOther, false), TopicRecord{"t", kTopic},
               Led(0, 0, {kSelf, kOther}), Led(1, 0, {kSelf})});
  REQUIRE(shard.Assigned(0) != nullptr);
  REQUIRE(shard.Assigned(1) != nullptr);
  CHECK(shard.Assigned(1)->Find(kOther)->active);

  // Broker 2 is fenced. It leaves the ISR of partition 0, and was in no other; but also the leader
  // of partition 1 must know that it may not join.
  shard.Apply({Led(0, 1, {kSelf}), Broker(kOther, true)});
  CHECK(shard.Assigned(0)->partition_epoch == PartitionEpoch(1));
  CHECK(shard.Assigned(0)->isr_size() == 1);
  CHECK_FALSE(shard.Assigned(0)->Find(kOther)->active);
  CHECK_FALSE(shard.Assigned(1)->Find(kOther)->active);

  // A new partition is opened, one that moved away is not.
  PartitionRecord moved = Led(0, 2, {kOther});
  moved.state.replicas = {kOther};
  moved.state.directories = {kUnassignedDirectory};
  moved.state.leader = kOther;
  shard.Apply({Led(2, 0, {kSelf}), moved});
  CHECK(shard.Assigned(0) == nullptr);
  CHECK(shard.Assigned(1) != nullptr);
  CHECK(shard.Assigned(2) != nullptr);
}

TEST_CASE("MetadataApplier: settings of a topic reach all of its partitions") {
  Shard shard;
  shard.Apply(
      {Broker(kSelf, false), TopicRecord{"t", kTopic}, Led(0, 0, {kSelf}), Led(1, 0, {kSelf})});
  shard.Apply(
      {Led(0, 1, {kSelf}), ConfigRecord{ConfigResource::kTopic, "t", "min.insync.replicas", "2"}});
  for (int32_t p : {0, 1}) {
    CHECK(shard.partitions->Find({kTopic, PartitionId(p)})->rules().isr_min == 2);
  }
}

TEST_CASE("MetadataApplier: settings of all brokers reach topics that have none of their own") {
  Shard shard;
  const auto isr_min = [&shard](int32_t p) {
    return shard.partitions->Find({kTopic, PartitionId(p)})->rules().isr_min;
  };
  shard.Apply({Broker(kSelf, false), TopicRecord{"t", kTopic}, Led(0, 0, {kSelf})});
  CHECK(isr_min(0) == 1);
  shard.Apply({ConfigRecord{ConfigResource::kBroker, "", "min.insync.replicas", "2"}});
  CHECK(isr_min(0) == 2);
  // Also those that come later.
  shard.Apply({Led(1, 0, {kSelf})});
  CHECK(isr_min(1) == 2);
}

TEST_CASE("MetadataApplier: a replica that could not be opened is tried again with its topic") {
  Shard shard;
  SimDiskImage& disk = shard.world.FindNode("n1")->disk();
  disk.Break("/data", SimAccess::kRoom, absl::ResourceExhaustedError("no room"));
  shard.Apply({Broker(kSelf, false), TopicRecord{"t", kTopic}, Led(0, 0, {kSelf})});
  REQUIRE(shard.Assigned(0) == nullptr);
  disk.Mend("/data");
  shard.Apply({Led(1, 0, {kSelf})});
  CHECK(shard.Assigned(0) != nullptr);
  CHECK(shard.Assigned(1) != nullptr);
}

}  // namespace millrace

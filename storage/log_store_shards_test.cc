// Several stores in one directory: what the shards of a process do with each other's journals and
// marks.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_directory.h"
#include "storage/log_store.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr const char* kFolder = "/data";
constexpr int kLogs = 8;

TopicPartitionId IdOf(int number) { return {TopicId(5, 5), PartitionId(number)}; }

// The stores of `count` shards, all run by one reactor: what matters is who reads which files.
class Stores {
 public:
  Stores(SimWorld& world, Env& env, uint32_t count) : world_(world), env_(env), count_(count) {}

  absl::Status Start() {
    (void)world_.Run(env_, FormatLogDirectory(env_.disk, kFolder,
                                              MetaProperties{1, "c", BrokerId(1), Uuid(9, 9), {}}));
    (void)world_.Run(env_, env_.disk.SyncDirectory("/"));
    auto kv = world_.Run(env_, LogKvStore::Open(env_, "/kv", LogKvStore::Options()));
    if (!kv.ok()) return kv.status();
    kv_ = *std::move(kv);
    std::vector<bool> clean;
    for (uint32_t i = 0; i < count_; ++i) {
      LogStoreOptions options;
      options.log_dirs = {kFolder};
      options.shard = ShardId(i);
      options.shards = count_;
      options.clean_directories = clean;
      stores_.push_back(std::make_unique<LogStore>(env_, *kv_, options));
      if (i > 0) continue;
      if (absl::Status locked = world_.Run(env_, stores_[0]->Lock()); !locked.ok()) return locked;
      clean = stores_[0]->clean_directories();
    }
    for (auto& store : stores_) {
      if (absl::Status status = world_.Run(env_, store->Recover()); !status.ok()) return status;
    }
    for (auto& store : stores_) {
      if (absl::Status status = world_.Run(env_, store->Start()); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // `others` is what shard 0 is told of the rest.
  absl::Status Stop(absl::Status others = absl::OkStatus()) {
    for (uint32_t i = count_; i > 1; --i) others.Update(world_.Run(env_, stores_[i - 1]->Stop()));
    others.Update(world_.Run(env_, stores_[0]->Stop(others)));
    stores_.clear();
    (void)world_.Run(env_, kv_->Close());
    return others;
  }

  LogStore& of(int number) { return *stores_[ShardOf(IdOf(number), count_).value()]; }
  LogStore& store(uint32_t shard) { return *stores_[shard]; }

  void AppendDurably(int number) {
    auto opened = world_.Run(env_, of(number).Open(IdOf(number), "t", {}, /*create=*/true));
    REQUIRE(opened.ok());
    Log& log = **opened;
    BatchView batch = TestBatch({"value " + std::to_string(number)});
    auto admission = world_.Run(env_, of(number).Admit(batch.bytes().size(), CancellationToken()));
    REQUIRE(admission.ok());
    REQUIRE(log.Append(batch, LeaderEpoch(0), *admission).ok());
    REQUIRE(world_.RunUntil([&log] { return log.durable_end() == log.end_offset(); }, seconds(10)));
  }

 private:
  SimWorld& world_;
  Env& env_;
  const uint32_t count_;
  std::unique_ptr<KvStore> kv_;
  std::vector<std::unique_ptr<LogStore>> stores_;
};

void Crash(SimWorld& world, SimNode& node, Env& env, Stores& stores) {
  node.PowerLoss();
  (void)world;
  (void)env;
  (void)stores.Stop();
}

TEST_CASE("LogStore: journals are replayed whatever the number of shards was") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  const std::vector<uint32_t> counts = {3, 1, 2, 5};
  for (size_t run = 0; run < counts.size(); ++run) {
    CAPTURE(run);
    Env& env = node.Boot();
    Stores stores(world, env, counts[run]);
    REQUIRE(stores.Start().ok());
    for (int number = 0; number < kLogs; ++number) {
      Log* log = stores.of(number).Find(IdOf(number));
      REQUIRE((log != nullptr) == (run > 0));
      if (log != nullptr) CHECK(log->end_offset() == Offset(static_cast<int64_t>(run)));
      stores.AppendDurably(number);
    }
    Crash(world, node, env, stores);
  }
}

TEST_CASE(
    "LogStore: what another shard sets aside while this one recovers is that one's to count") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  const MetaProperties meta{1, "c", BrokerId(1), Uuid(9, 9), {}};
  REQUIRE(world.Run(env, FormatLogDirectory(env.disk, kFolder, meta)).ok());
  const auto set_aside = [&](uint64_t number) {
    const std::string folder = StrayDirectoryName("old", PartitionId(0), Uuid(1, number));
    REQUIRE(world.Run(env, env.disk.CreateDirectories(JoinPath(kFolder, folder))).ok());
  };
  auto kv = world.Run(env, LogKvStore::Open(env, "/kv", LogKvStore::Options()));
  REQUIRE(kv.ok());
  LogStoreOptions options;
  options.log_dirs = {kFolder};
  options.shards = 2;
  LogStore store(env, **kv, options);
  set_aside(1);
  REQUIRE(world.Run(env, store.Lock()).ok());
  set_aside(2);
  REQUIRE(world.Run(env, store.Start()).ok());
  MetricRegistry metrics;
  store.RegisterMetrics(metrics);
  CHECK(StraysSaid(metrics) == 1);
  REQUIRE(world.Run(env, store.Stop()).ok());
  REQUIRE(world.Run(env, (*kv)->Close()).ok());
}

TEST_CASE("LogStore: every shard learns that the stop was clean, and only a clean stop of all is") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  for (bool others_clean : {true, false}) {
    CAPTURE(others_clean);
    {
      Stores stores(world, node.Boot(), 2);
      REQUIRE(stores.Start().ok());
      stores.AppendDurably(1);
      (void)stores.Stop(others_clean ? absl::OkStatus() : absl::UnavailableError("another shard"));
      node.StopGracefully();
    }
    Stores stores(world, node.Boot(), 3);
    REQUIRE(stores.Start().ok());
    for (uint32_t shard = 0; shard < 3; ++shard) {
      CHECK(stores.store(shard).was_clean() == others_clean);
    }
    CHECK(stores.Stop().ok());
    node.StopGracefully();
  }
}

}  // namespace
}  // namespace millrace

// Stories of single whole nodes that lost something they had on disk.
#include "broker/node/node.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "storage/log_files.h"
#include "test/sim/kafka_client.h"
#include "test/sim/node_program.h"
#include "test/sim/story.h"

using namespace millrace;
using namespace millrace::simtest;

namespace {

constexpr Duration kLong = seconds(120);

Task<absl::Status> CreateTopic(Env* env, SocketAddress broker, std::string name,
                               int32_t partitions) {
  KafkaClient client(*env, "test");
  absl::Status status = co_await client.Connect(std::move(broker), seconds(5));
  if (status.ok()) {
    kafka::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    request.timeout_ms = 5000;
    auto response =
        co_await client.Call<kafka::CreateTopicsResponse>(std::move(request), 7, seconds(8));
    status = response.status();
    if (status.ok() && response->topics.front().error_code != 0) {
      status = absl::UnavailableError("CreateTopics was refused");
    }
  }
  co_await client.Stop();
  co_return status;
}

class World {
 public:
  SimNode& Add(std::string name) { return world_.AddNode(std::move(name)); }
  SimNode& Client() {
    if (client_ == nullptr) {
      client_ = &world_.AddNode("client");
      (void)client_->Boot();
    }
    return *client_;
  }

  void Start(SimNode& node, const NodePlan& plan) {
    node.Start(
        [plan](SimProcess& process) { return std::make_unique<NodeProgram>(process, plan); });
  }
  // Started, within `kLong`; what it says when it cannot.
  absl::Status Runs(SimNode& node) {
    const bool ended = world_.RunUntil(
        [&] {
          return node.state() == SimNode::State::kRunning ||
                 node.state() == SimNode::State::kFailed;
        },
        kLong);
    return ended ? node.start_status() : absl::DeadlineExceededError("it goes on starting");
  }
  absl::Status Create(SimNode& broker, std::string name, int32_t partitions = 1) {
    Env& env = Client().process().env();
    return world_.Run(env, CreateTopic(&env, {broker.name(), kBrokerPort}, name, partitions));
  }

  // Of a node that is off: the files whose path begins with `prefix` are gone.
  void Remove(SimNode& node, const std::string& prefix) {
    const std::vector<std::string> files = node.disk().Files();
    Env& env = node.Boot();
    for (const std::string& path : files) {
      if (path.starts_with(prefix)) REQUIRE(world_.Run(env, env.disk.Remove("/" + path)).ok());
    }
    node.Kill();
  }
  // The folders in `directory` that hold files and pass.
  template <typename Passes>
  std::set<std::string> Folders(SimNode& node, const std::string& directory, Passes passes) {
    std::set<std::string> folders;
    for (const std::string& path : node.disk().Files()) {
      if (!path.starts_with(directory + "/")) continue;
      const std::string rest = path.substr(directory.size() + 1);
      const size_t slash = rest.find('/');
      if (slash != std::string::npos && passes(rest.substr(0, slash))) {
        folders.insert(rest.substr(0, slash));
      }
    }
    return folders;
  }
  SimWorld& sim() { return world_; }

 private:
  SimWorld world_{1};
  SimNode* client_ = nullptr;
};

NodePlan Alone(const SimNode& node) {
  NodePlan plan;
  plan.cluster_id = "c1u5ter000000000000001";
  plan.voters = fmt::format("1@{}:{}", node.name(), kControllerPort);
  return plan;
}

// A controller alone, and a broker alone that knows it.
struct Pair {
  explicit Pair(World& in)
      : world(in), controller(in.Add("controller-1")), broker(in.Add("broker-2")) {
    controller_plan = Alone(controller);
    controller_plan.is_broker = false;
    broker_plan = controller_plan;
    broker_plan.id = BrokerId(2);
    broker_plan.is_broker = true;
    broker_plan.is_controller = false;
  }
  void Start() {
    world.Start(controller, controller_plan);
    REQUIRE(world.Runs(controller).ok());
    world.Start(broker, broker_plan);
    REQUIRE(world.Runs(broker).ok());
  }

  World& world;
  SimNode& controller;
  SimNode& broker;
  NodePlan controller_plan;
  NodePlan broker_plan;
};

// RocksDB reads a rotten table only when it compacts it: from then on every write fails so.
class Rotten final : public KvStore {
 public:
  Rotten(std::unique_ptr<KvStore> kv, const bool* rotten) : kv_(std::move(kv)), rotten_(rotten) {}
  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override {
    return kv_->Get(space, std::move(key));
  }
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override {
    return kv_->Scan(std::move(range), entries_max, bytes_max);
  }
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override {
    if (*rotten_) co_return absl::DataLossError("block checksum mismatch");
    co_return co_await kv_->Write(std::move(batch), options);
  }
  Task<absl::Status> Flush() override { return kv_->Flush(); }
  Task<absl::Status> Close() override { return kv_->Close(); }

 private:
  std::unique_ptr<KvStore> kv_;
  const bool* rotten_;
};

}  // namespace

TEST_CASE(
    "Node: logs of topics that the cluster does not know are set aside, and none is deleted") {
  World world;
  Pair pair(world);
  pair.Start();
  REQUIRE(world.Create(pair.broker, "kept", 2).ok());
  world.sim().RunFor(seconds(5));
  pair.broker.StopGracefully();
  pair.controller.StopGracefully();
  // The metadata is set up anew under the same id, and others make topics in it: it cannot be told
  // from one in which "kept" was deleted.
  world.Remove(pair.controller, "data/");
  SimNode& other = world.Add("broker-3");
  NodePlan other_plan = pair.broker_plan;
  other_plan.id = BrokerId(3);
  world.Start(pair.controller, pair.controller_plan);
  CHECK(world.Runs(pair.controller) == absl::OkStatus());
  world.Start(other, other_plan);
  CHECK(world.Runs(other) == absl::OkStatus());
  REQUIRE(world.Create(other, "new").ok());
  for (int life = 0; life < 2; ++life) {
    world.Start(pair.broker, pair.broker_plan);
    CHECK(world.Runs(pair.broker) == absl::OkStatus());
    world.sim().RunFor(kLong);  // Beyond file.delete.delay.ms.
    CHECK(world.Folders(pair.broker, "data", IsStrayDirectoryName).size() == 2);
    CHECK(world.Folders(pair.broker, "data", IsDeletedDirectoryName).empty());
    CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName).empty());
    pair.broker.StopGracefully();
  }
  other.StopGracefully();
  pair.controller.StopGracefully();
}

TEST_CASE("Node: a broker whose store turns out to be damaged stops, and then begins another one") {
  World world;
  Pair pair(world);
  bool rotten = false;
  pair.broker_plan.wrap_store = [&rotten](std::unique_ptr<KvStore> kv) -> std::unique_ptr<KvStore> {
    return std::make_unique<Rotten>(std::move(kv), &rotten);
  };
  pair.Start();
  REQUIRE(world.Create(pair.broker, "before").ok());
  rotten = true;
  (void)world.Create(pair.broker, "meanwhile");  // Its log wants a checkpoint.
  REQUIRE(world.sim().RunUntil([&] { return !pair.broker.up(); }, kLong));
  rotten = false;
  world.Start(pair.broker, pair.broker_plan);
  CHECK(world.Runs(pair.broker) == absl::OkStatus());
  const auto aside = [](std::string_view name) { return name == "millrace-state.damaged.1"; };
  CHECK(world.Folders(pair.broker, "data", aside).size() == 1);
  REQUIRE(world.Create(pair.broker, "after").ok());
  CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName).size() == 3);
  pair.broker.StopGracefully();
  pair.controller.StopGracefully();
}

TEST_CASE(
    "Node: what lies in a directory that is offline is not made anew where it was forgotten") {
  World world;
  Pair pair(world);
  pair.broker_plan.log_dirs = "/data,/more";
  pair.Start();
  REQUIRE(world.Create(pair.broker, "spread", 2).ok());
  world.sim().RunFor(seconds(5));
  const auto before = world.Folders(pair.broker, "data", ParsePartitionDirectoryName);
  REQUIRE(before.size() == 1);
  REQUIRE(world.Folders(pair.broker, "more", ParsePartitionDirectoryName).size() == 1);
  pair.broker.StopGracefully();
  // The store was set aside, or its disk replaced, and the other disk does not answer.
  world.Remove(pair.broker, "data/millrace-state/");
  pair.broker.disk().Break("/more", SimAccess::kRead, absl::DataLossError("input/output error"));
  world.Start(pair.broker, pair.broker_plan);
  CHECK(world.Runs(pair.broker) == absl::OkStatus());
  world.sim().RunFor(seconds(5));
  CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName) == before);
  // New ones are made.
  REQUIRE(world.Create(pair.broker, "new").ok());
  CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName).size() == 2);
  pair.broker.StopGracefully();
  pair.broker.disk().Mend("/more");
  world.Start(pair.broker, pair.broker_plan);
  CHECK(world.Runs(pair.broker) == absl::OkStatus());
  world.sim().RunFor(seconds(5));
  CHECK(world.Folders(pair.broker, "more", IsStrayDirectoryName).empty());
  CHECK(world.Folders(pair.broker, "more", ParsePartitionDirectoryName).size() == 1);
  CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName).size() == 2);
  pair.broker.StopGracefully();
  pair.controller.StopGracefully();
}

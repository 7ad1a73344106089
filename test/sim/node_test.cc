// Stories of single whole nodes that lost something they had on disk.
#include "broker/node/node.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/delete_records_request.h"
#include "proto/kafka/delete_records_response.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/delete_topics_response.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/kv/rotten_kv_store_test_tools.h"
#include "storage/log_files.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"
#include "test/sim/kafka_client.h"
#include "test/sim/node_program.h"
#include "test/sim/story.h"

using namespace millrace;
using namespace millrace::simtest;

namespace {

constexpr Duration kLong = seconds(120);

template <typename Response, typename Request>
Task<absl::StatusOr<Response>> Ask(Env* env, SocketAddress broker, Request request,
                                   int16_t version) {
  KafkaClient client(*env, "test");
  const absl::Status connected = co_await client.Connect(std::move(broker), seconds(5));
  absl::StatusOr<Response> response = absl::UnavailableError(connected.message());
  if (connected.ok()) {
    response = co_await client.Call<Response>(std::move(request), version, seconds(8));
  }
  co_await client.Stop();
  co_return response;
}

absl::Status Refused(std::string_view what, int16_t error) {
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("{} was refused: {}", what, error));
}

// What a Fetch finds of the only partition of a topic.
struct Fetched {
  int64_t log_start;
  std::vector<std::pair<int64_t, std::string>> records;
};

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
  absl::Status Create(SimNode& broker, std::string name, int32_t partitions = 1,
                      int16_t replicas = 1) {
    kafka::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = partitions;
    topic.replication_factor = replicas;
    request.timeout_ms = 5000;
    auto response = AskOf<kafka::CreateTopicsResponse>(broker, std::move(request), 7);
    if (!response.ok()) return response.status();
    return Refused("CreateTopics", response->topics.front().error_code);
  }
  absl::StatusOr<kafka::MetadataResponse> Metadata(SimNode& broker, const std::string& topic) {
    kafka::MetadataRequest request;
    request.topics.emplace().emplace_back().name = topic;
    return AskOf<kafka::MetadataResponse>(broker, std::move(request), 12);
  }
  absl::Status Delete(SimNode& broker, std::string name) {
    kafka::DeleteTopicsRequest request;
    request.topics.emplace_back().name = std::move(name);
    request.timeout_ms = 5000;
    auto response = AskOf<kafka::DeleteTopicsResponse>(broker, std::move(request), 6);
    if (!response.ok()) return response.status();
    return Refused("DeleteTopics", response->responses.front().error_code);
  }
  // One record each; partition 0.
  absl::Status Produce(SimNode& broker, std::string topic, const std::string& value) {
    BatchBuilder builder(BatchBuilderOptions{});
    builder.Append(Client().process().env().clock.Now(), std::nullopt,
                   std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
    kafka::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 5000;
    kafka::ProduceRequest::TopicProduceData data;
    data.name = std::move(topic);
    data.partition_data.push_back({0, Chain(builder.Build()->bytes())});
    request.topic_data.push_back(std::move(data));
    auto response = AskOf<kafka::ProduceResponse>(broker, std::move(request), 9);
    if (!response.ok()) return response.status();
    return Refused("Produce", response->responses[0].partition_responses[0].error_code);
  }
  absl::Status DeleteRecords(SimNode& broker, std::string topic, int64_t before) {
    kafka::DeleteRecordsRequest request;
    request.topics.push_back({std::move(topic), {{0, before}}});
    request.timeout_ms = 5000;
    auto response = AskOf<kafka::DeleteRecordsResponse>(broker, std::move(request), 2);
    if (!response.ok()) return response.status();
    return Refused("DeleteRecords", response->topics[0].partitions[0].error_code);
  }
  // `epoch`: what the client knows.
  absl::StatusOr<Fetched> Fetch(SimNode& broker, std::string topic, int64_t from,
                                int32_t epoch = -1) {
    kafka::FetchRequest request;
    request.max_wait_ms = 0;
    request.topics.emplace_back().topic = std::move(topic);
    auto& asked = request.topics.front().partitions.emplace_back();
    asked.fetch_offset = from;
    asked.current_leader_epoch = epoch;
    asked.partition_max_bytes = 1 << 20;
    auto response = AskOf<kafka::FetchResponse>(broker, std::move(request), 12);
    if (!response.ok()) return response.status();
    const auto& found = response->responses.at(0).partitions.at(0);
    absl::Status refused = Refused("Fetch", found.error_code);
    if (!refused.ok()) return refused;
    Fetched fetched{found.log_start_offset, {}};
    if (!found.records.has_value()) return fetched;
    BatchReader batches(found.records->Flatten());
    for (auto batch = batches.Next(); batch.ok() && batch->has_value(); batch = batches.Next()) {
      RecordReader records((*batch)->records(), (*batch)->header().record_count);
      for (RecordView record; records.Next(record);) {
        const Offset at = (*batch)->header().base_offset + OffsetDelta(record.offset_delta);
        fetched.records.emplace_back(at.value(),
                                     std::string(record.value->begin(), record.value->end()));
      }
    }
    return fetched;
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
  template <typename Response, typename Request>
  absl::StatusOr<Response> AskOf(SimNode& broker, Request request, int16_t version) {
    Env& env = Client().process().env();
    return world_.Run(
        env, Ask<Response>(&env, {broker.name(), kBrokerPort}, std::move(request), version));
  }

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

// Three brokers, and a topic "t" of one partition on all of them. Each is a controller, too, unless
// another node is the only one.
struct Three {
  explicit Three(bool with_controller_apart = false) {
    std::string voters;
    for (int32_t id = 1; id <= 3; ++id) {
      const SimNode& node = *nodes.emplace_back(&world.Add(fmt::format("node-{}", id)));
      voters += fmt::format("{}{}@{}:{}", id == 1 ? "" : ",", id, node.name(), kControllerPort);
    }
    NodePlan plan;
    plan.cluster_id = "c1u5ter000000000000001";
    plan.voters = voters;
    if (with_controller_apart) {
      controller = &world.Add("controller-9");
      plan.id = BrokerId(9);
      plan.voters = fmt::format("9@{}:{}", controller->name(), kControllerPort);
      plan.is_broker = false;
      world.Start(*controller, plan);
      REQUIRE(world.Runs(*controller) == absl::OkStatus());
      plan.is_broker = true;
      plan.is_controller = false;
    }
    for (int32_t id = 1; id <= 3; ++id) {
      plan.id = BrokerId(id);
      world.Start(Node(id), plan);
    }
    for (SimNode* node : nodes) REQUIRE(world.Runs(*node) == absl::OkStatus());
    REQUIRE(world.Create(*nodes[0], "t", 1, 3) == absl::OkStatus());
    world.sim().RunFor(seconds(5));
    auto told = world.Metadata(*nodes[0], "t");
    REQUIRE(told.status() == absl::OkStatus());
    leader = told->topics[0].partitions[0].leader_id;
    REQUIRE(leader > 0);
    replicas = told->topics[0].partitions[0].replica_nodes;
  }
  ~Three() {
    for (SimNode* node : nodes) {
      if (node->up()) node->StopGracefully();
    }
    if (controller != nullptr) controller->StopGracefully();
  }
  SimNode& Node(int32_t id) { return *nodes[static_cast<size_t>(id) - 1]; }
  SimNode& Leader() { return Node(leader); }
  SimNode& Survivor() { return *nodes[leader == 1 ? 1 : 0]; }
  // What the survivor says, which is another leader.
  void CheckAnother(const absl::StatusOr<kafka::MetadataResponse>& told) const {
    REQUIRE(told.status() == absl::OkStatus());
    CHECK(told->topics[0].partitions[0].error_code == 0);
    CHECK(told->topics[0].partitions[0].leader_id > 0);
    CHECK(told->topics[0].partitions[0].leader_id != leader);
    CHECK(told->brokers.size() == 3);  // A client that hears of both at once may lose the first.
  }

  World world;
  std::vector<SimNode*> nodes;
  SimNode* controller = nullptr;
  int32_t leader = -1;
  std::vector<int32_t> replicas;
};

Task<void> HealAfter(Env* env, SimWorld* world, Duration time) {
  (void)co_await Sleep(env->reactor, time);
  world->network().HealAll();
}

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
    return std::make_unique<RottenKvStore>(std::move(kv), &rotten);
  };
  pair.Start();
  const auto fill = [&](const std::string& topic, const std::string& value, int count) {
    for (int i = 0; i < count; ++i) {
      absl::Status produced = world.Produce(pair.broker, topic, value);
      for (int tries = 0; !produced.ok() && i == 0 && tries < 30; ++tries) {  // No leader yet.
        world.sim().RunFor(seconds(1));
        produced = world.Produce(pair.broker, topic, value);
      }
      REQUIRE(produced == absl::OkStatus());
    }
  };
  for (const char* topic : {"before", "again"}) {
    REQUIRE(world.Create(pair.broker, topic).ok());
    fill(topic, "old", 20);
    REQUIRE(world.DeleteRecords(pair.broker, topic, 15).ok());
  }
  // What a clean stop leaves of "again" is not about the topic that comes to have that name.
  pair.broker.StopGracefully();
  world.Start(pair.broker, pair.broker_plan);
  REQUIRE(world.Runs(pair.broker).ok());
  REQUIRE(world.Delete(pair.broker, "again").ok());
  REQUIRE(world.Create(pair.broker, "again") == absl::OkStatus());
  fill("again", "new", 10);
  fill("before", "new", 10);
  world.sim().RunFor(kLong);  // Into the segments.
  fill("again", "new", 10);   // In the journal.
  rotten = true;
  (void)world.Create(pair.broker, "meanwhile");  // Its log wants a checkpoint.
  REQUIRE(world.sim().RunUntil([&] { return !pair.broker.up(); }, kLong));
  rotten = false;
  world.Start(pair.broker, pair.broker_plan);
  CHECK(world.Runs(pair.broker) == absl::OkStatus());
  const auto aside = [](std::string_view name) { return name == "millrace-state.damaged.1"; };
  CHECK(world.Folders(pair.broker, "data", aside).size() == 1);
  world.sim().RunFor(seconds(5));
  const auto again = world.Fetch(pair.broker, "again", 0);
  REQUIRE(again.status() == absl::OkStatus());
  REQUIRE(again->records.size() == 20);
  for (const auto& [offset, value] : again->records) CHECK(value == "new");
  // How far its start had been moved is forgotten where the segment holds more.
  const auto before = world.Fetch(pair.broker, "before", 15);
  REQUIRE(before.status() == absl::OkStatus());
  CHECK(before->log_start <= 15);
  REQUIRE(before->records.size() == 15);
  for (const auto& [offset, value] : before->records) {
    CHECK(value == (offset < 20 ? "old" : "new"));
  }
  REQUIRE(world.Create(pair.broker, "after").ok());
  CHECK(world.Folders(pair.broker, "data", ParsePartitionDirectoryName).size() == 4);
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

TEST_CASE("Node: a start that the controllers never heard of does not make a crash a clean stop") {
  World world;
  Pair pair(world);
  const auto clean = [&] {
    const auto files = pair.broker.disk().Files();
    return std::ranges::any_of(
        files, [](const std::string& path) { return path.ends_with(kCleanShutdownFile); });
  };
  pair.Start();
  pair.broker.Kill();
  pair.controller.StopGracefully();
  world.Start(pair.broker, pair.broker_plan);
  CHECK_FALSE(world.Runs(pair.broker).ok());  // Nobody registers it.
  pair.broker.StopGracefully();
  CHECK_FALSE(clean());
  world.Start(pair.controller, pair.controller_plan);
  REQUIRE(world.Runs(pair.controller).ok());
  world.Start(pair.broker, pair.broker_plan);
  REQUIRE(world.Runs(pair.broker).ok());
  pair.broker.StopGracefully();
  CHECK(clean());
  // Nothing was lost since.
  pair.controller.StopGracefully();
  world.Start(pair.broker, pair.broker_plan);
  CHECK_FALSE(world.Runs(pair.broker).ok());
  pair.broker.StopGracefully();
  CHECK(clean());
}

TEST_CASE("Node: who asks for a leader that has just died is told the next one") {
  Three three;
  three.Leader().Kill();
  // The survivors have lost their streams, and none is fenced yet.
  three.world.sim().RunFor(milliseconds(5));
  three.CheckAnother(three.world.Metadata(three.Survivor(), "t"));
  three.world.sim().RunFor(seconds(1));
  auto after = three.world.Metadata(three.Survivor(), "t");
  REQUIRE(after.status() == absl::OkStatus());
  CHECK(after->brokers.size() == 2);
}

TEST_CASE("Node: who asks before the survivors have lost the dead leader is told the next one") {
  Three three;
  // What tells them of its end is late.
  Env& env = three.world.Client().process().env();
  for (SimNode* node : three.nodes) {
    if (node != &three.Leader()) three.world.sim().network().Cut(*node, three.Leader());
  }
  three.Leader().Kill();
  TaskScope later(env.reactor);
  later.Spawn(HealAfter(&env, &three.world.sim(), milliseconds(30)));
  const auto told = three.world.Metadata(three.Survivor(), "t");
  three.world.sim().RunFor(seconds(1));
  three.CheckAnother(told);
}

// A leader has died, another one was elected, and does not know it yet; it will in 30 ms.
struct NewsOnTheirWay {
  NewsOnTheirWay() {
    REQUIRE(three.replicas.front() == three.leader);
    REQUIRE(three.world.Produce(three.Leader(), "t", "before") == absl::OkStatus());
    three.world.sim().RunFor(seconds(1));
    three.world.sim().network().CutOneWay(*three.controller, Next());
    three.Leader().Kill();
    three.world.sim().RunFor(milliseconds(50));
    const auto told = three.world.Metadata(three.Node(three.replicas[2]), "t");
    REQUIRE(told.status() == absl::OkStatus());
    REQUIRE(told->topics[0].partitions[0].leader_id == three.replicas[1]);
    later.Spawn(HealAfter(&env, &three.world.sim(), milliseconds(30)));
  }
  ~NewsOnTheirWay() { three.world.sim().RunFor(seconds(1)); }
  SimNode& Next() { return three.Node(three.replicas[1]); }

  Three three{/*with_controller_apart=*/true};
  Env& env = three.world.Client().process().env();
  TaskScope later{env.reactor};
};

TEST_CASE("Node: a new leader that has not heard of it yet takes records as soon as it does") {
  NewsOnTheirWay news;
  CHECK(news.three.world.Produce(news.Next(), "t", "early") == absl::OkStatus());
}

TEST_CASE("Node: a new leader that has not heard of it yet is read from as soon as it does") {
  NewsOnTheirWay news;
  const auto fetched = news.three.world.Fetch(news.Next(), "t", 0, /*epoch=*/1);
  REQUIRE(fetched.status() == absl::OkStatus());
  CHECK(fetched->records == std::vector<std::pair<int64_t, std::string>>{{0, "before"}});
}

TEST_CASE("Node: who takes a follower for the leader is told so soon, and the next time at once") {
  Three three;
  Env& env = three.world.Client().process().env();
  const auto takes = [&] {
    const Instant began = env.reactor.Now();
    CHECK(three.world.Produce(three.Survivor(), "t", "astray").message() ==
          "Produce was refused: 6");
    return env.reactor.Now() - began;
  };
  CHECK(takes() < milliseconds(110));
  CHECK(takes() < milliseconds(10));
}

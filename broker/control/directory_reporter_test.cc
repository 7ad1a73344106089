#include "broker/control/directory_reporter.h"

#include <catch2/catch.hpp>
#include <vector>

#include "broker/kafka_error.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/assign_replicas_to_dirs_request.h"
#include "proto/kafka/assign_replicas_to_dirs_response.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"

using namespace millrace;  // NOLINT

namespace {

constexpr TopicId kTopic(1, 1);
constexpr DirectoryId kOne(7, 1);
constexpr DirectoryId kOther(7, 2);

TopicPartitionId Id(int32_t partition) { return {kTopic, PartitionId(partition)}; }

// Plays the active controller: answers each partition with `codes` in turn, then with success.
class FakeController final : public ControllerRequests {
 public:
  explicit FakeController(Env& env) : env_(env) {}
  Task<ForwardedReply> Answer(ForwardedRequest request) override {
    kafka::Reader in(Slice::Copy(request.body));
    kafka::AssignReplicasToDirsRequest body;
    body.Decode(in, request.version);
    requests.push_back(body);
    co_await Sleep(env_.reactor, milliseconds(1));
    ForwardedReply reply;
    if (unreachable > 0) {
      --unreachable;
      reply.action = ApiReply::Action::kClose;
      co_return reply;
    }
    kafka::AssignReplicasToDirsResponse response;
    for (const auto& directory : body.directories) {
      auto& to = response.directories.emplace_back();
      to.id = directory.id;
      for (const auto& topic : directory.topics) {
        auto& named = to.topics.emplace_back();
        named.topic_id = topic.topic_id;
        for (const auto& partition : topic.partitions) {
          auto& one = named.partitions.emplace_back();
          one.partition_index = partition.partition_index;
          if (codes.empty()) continue;
          one.error_code = codes.front();
          codes.erase(codes.begin());
        }
      }
    }
    reply.frame =
        std::string(kafka::EncodeResponse(response, request.version, 0)->Flatten().view());
    co_return reply;
  }

  std::vector<kafka::AssignReplicasToDirsRequest> requests;
  std::vector<int16_t> codes;
  int unreachable = 0;

 private:
  Env& env_;
};

Task<void> Wait(Env* env, Duration time) { (void)co_await Sleep(env->reactor, time); }

struct World {
  World() { reporter.Start(); }
  ~World() { world.Run(env, reporter.Stop()); }
  void Note(int32_t partition, DirectoryId directory) {
    world.Run(env, reporter.NoteDirectory(Id(partition), directory));
  }
  void Pass(Duration time) { world.Run(env, Wait(&env, time)); }

  SimWorld world{1};
  Env& env = world.AddNode("n").Boot();
  FakeController controller{env};
  std::optional<BrokerEpoch> epoch = BrokerEpoch(77);
  DirectoryReporter reporter{
      env, controller, {.self = BrokerId(1), .epoch = [this] { return epoch; }}};
};

Task<void> NoteAll(DirectoryReporter* reporter) {
  co_await reporter->NoteDirectory(Id(0), kOne);
  co_await reporter->NoteDirectory(Id(1), kOther);
  co_await reporter->NoteDirectory(Id(2), kOne);
}

}  // namespace

TEST_CASE("DirectoryReporter: what comes together goes in one request, by directory") {
  World w;
  w.world.Run(w.env, NoteAll(&w.reporter));
  w.Pass(milliseconds(100));
  REQUIRE(w.controller.requests.size() == 1);
  const auto& request = w.controller.requests.front();
  CHECK(request.broker_id == 1);
  CHECK(request.broker_epoch == 77);
  REQUIRE(request.directories.size() == 2);
  CHECK(request.directories[0].id == kOne);
  CHECK(request.directories[0].topics.front().partitions.size() == 2);
  CHECK(request.directories[1].id == kOther);
}

TEST_CASE("DirectoryReporter: what nobody answered, or was not decided, is asked again") {
  World w;
  w.controller.unreachable = 2;
  w.controller.codes = {static_cast<int16_t>(kafka::KafkaError::kNotController)};
  w.Note(0, kOne);
  w.Pass(seconds(10));
  CHECK(w.controller.requests.size() == 4);
}

TEST_CASE("DirectoryReporter: nothing is asked before this broker is registered") {
  World w;
  w.epoch = std::nullopt;
  w.Note(0, kOne);
  w.Pass(seconds(1));
  CHECK(w.controller.requests.empty());
  w.epoch = BrokerEpoch(5);
  w.Pass(seconds(10));
  CHECK(w.controller.requests.size() == 1);
}

TEST_CASE("DirectoryReporter: a replica that is gone is not asked about again") {
  World w;
  w.controller.codes = {static_cast<int16_t>(kafka::KafkaError::kUnknownTopicId)};
  w.Note(0, kOne);
  w.Pass(seconds(10));
  CHECK(w.controller.requests.size() == 1);
}

TEST_CASE("DirectoryReporter: a replica that moves while it is asked about is told again") {
  World w;
  w.Note(0, kOne);
  while (w.controller.requests.empty()) w.Pass(microseconds(10));
  w.Note(0, kOther);
  w.Pass(milliseconds(100));
  REQUIRE(w.controller.requests.size() == 2);
  CHECK(w.controller.requests.back().directories.front().id == kOther);
}

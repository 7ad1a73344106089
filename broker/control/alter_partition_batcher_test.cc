#include "broker/control/alter_partition_batcher.h"

#include <catch2/catch.hpp>

#include "broker/control/forwarding_controller.h"
#include "broker/kafka_error.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/alter_partition_request.h"
#include "proto/kafka/alter_partition_response.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"

using namespace millrace;  // NOLINT

namespace {

constexpr TopicId kTopic(1, 1);

TopicPartitionId Id(int32_t partition) { return {kTopic, PartitionId(partition)}; }

IsrProposal Proposal() {
  return {LeaderEpoch(3),
          PartitionEpoch(5),
          {{BrokerId(1), BrokerEpoch(10)}, {BrokerId(2), std::nullopt}}};
}

// Plays the active controller: answers with `codes` in turn, then with success.
class FakeController final : public ControllerRequests {
 public:
  explicit FakeController(Env& env) : env_(env) {}
  Task<ForwardedReply> Answer(ForwardedRequest request) override {
    co_await Sleep(env_.reactor, milliseconds(1));
    kafka::Reader in(Slice::Copy(request.body));
    ForwardedReply reply;
    if (request.api_key == kafka::CreateTopicsRequest::kApiKey) {
      kafka::CreateTopicsResponse response;
      auto& topic = response.topics.emplace_back();
      topic.name = "t";
      topic.error_code = codes.empty() ? 0 : codes.front();
      reply.frame = Frame(response, request.version);
      co_return reply;
    }
    kafka::AlterPartitionRequest body;
    body.Decode(in, request.version);
    requests.push_back(body);
    if (unreachable > 0) {
      --unreachable;
      reply.action = ApiReply::Action::kClose;
      co_return reply;
    }
    kafka::AlterPartitionResponse response;
    for (const auto& topic : body.topics) {
      auto& answer = response.topics.emplace_back();
      answer.topic_id = topic.topic_id;
      for (const auto& partition : topic.partitions) {
        auto& one = answer.partitions.emplace_back();
        one.partition_index = partition.partition_index;
        one.leader_epoch = partition.leader_epoch;
        one.partition_epoch = partition.partition_epoch + 1;
        for (const auto& member : partition.new_isr_with_epochs) {
          one.isr.push_back(member.broker_id);
        }
        if (!codes.empty()) {
          one.error_code = codes.front();
          codes.erase(codes.begin());
        }
      }
    }
    reply.frame = Frame(response, request.version);
    co_return reply;
  }

  std::vector<kafka::AlterPartitionRequest> requests;
  std::vector<int16_t> codes;
  int unreachable = 0;

 private:
  template <typename Response>
  static std::string Frame(const Response& response, int16_t version) {
    return std::string(kafka::EncodeResponse(response, version, 0)->Flatten().view());
  }
  Env& env_;
};

struct World {
  World() { batcher.Start(); }
  ~World() { world.Run(env, batcher.Stop()); }
  Task<void> Propose(int32_t partition) {
    outcomes.emplace_back(partition,
                          co_await batcher.Propose(Id(partition), Proposal(), cancel.token()));
  }

  SimWorld world{1};
  Env& env = world.AddNode("n").Boot();
  FakeController controller{env};
  std::optional<BrokerEpoch> epoch = BrokerEpoch(77);
  AlterPartitionBatcher batcher{
      env, controller, {.self = BrokerId(1), .epoch = [this] { return epoch; }}};
  CancellationSource cancel;
  std::vector<std::pair<int32_t, IsrOutcome>> outcomes;
};

}  // namespace

TEST_CASE("AlterPartitionBatcher: what comes together goes in one request, with epochs") {
  World w;
  TaskScope scope(w.env.reactor);
  for (int32_t p : {0, 1, 2}) scope.Spawn(w.Propose(p));
  w.world.Run(w.env, scope.Join());
  REQUIRE(w.controller.requests.size() == 1);
  const auto& request = w.controller.requests.front();
  CHECK(request.broker_epoch == 77);
  REQUIRE(request.topics.size() == 1);
  REQUIRE(request.topics.front().partitions.size() == 3);
  CHECK(request.topics.front().partitions[0].new_isr_with_epochs[0].broker_epoch == 10);
  CHECK(request.topics.front().partitions[0].new_isr_with_epochs[1].broker_epoch == -1);
  for (const auto& [partition, outcome] : w.outcomes) {
    REQUIRE(outcome.has_value());
    CHECK(outcome->partition_epoch == PartitionEpoch(6));
    CHECK(outcome->isr == std::vector{BrokerId(1), BrokerId(2)});
  }
}

TEST_CASE("AlterPartitionBatcher: refusals are told apart, and what may pass is asked again") {
  World w;
  w.controller.codes = {ErrorCode(kafka::KafkaError::kIneligibleReplica),
                        ErrorCode(kafka::KafkaError::kInvalidUpdateVersion),
                        ErrorCode(kafka::KafkaError::kNotController)};
  w.controller.unreachable = 2;
  TaskScope scope(w.env.reactor);
  for (int32_t p : {0, 1, 2}) scope.Spawn(w.Propose(p));
  w.world.Run(w.env, scope.Join());
  CHECK(w.controller.requests.size() == 4);
  std::map<int32_t, IsrOutcome> by_partition(w.outcomes.begin(), w.outcomes.end());
  CHECK(by_partition.at(0).error() == IsrRefusal::kGivenUp);
  CHECK(by_partition.at(1).error() == IsrRefusal::kSuperseded);
  CHECK(by_partition.at(2).has_value());
}

TEST_CASE("AlterPartitionBatcher: a leader that is no longer one does not wait") {
  World w;
  w.epoch = std::nullopt;  // Not registered yet: nothing can be asked.
  TaskScope scope(w.env.reactor);
  scope.Spawn(w.Propose(0));
  w.world.RunFor(seconds(1));
  CHECK(w.outcomes.empty());
  w.cancel.Cancel();
  w.world.Run(w.env, scope.Join());
  CHECK(w.outcomes.front().second.error() == IsrRefusal::kCancelled);
}

TEST_CASE(
    "ForwardingController: a refused creation keeps its meaning, a failed one may be retried") {
  World w;
  ForwardingController forwarding(w.controller, BrokerId(1), [] { return std::nullopt; });
  for (auto [code, kind] :
       {std::pair{kafka::KafkaError::kTopicAlreadyExists, ErrorKind::kTopicAlreadyExists},
        std::pair{kafka::KafkaError::kInvalidReplicationFactor,
                  ErrorKind::kInvalidReplicationFactor},
        std::pair{kafka::KafkaError::kUnknownServerError, ErrorKind::kNotController}}) {
    w.controller.codes = {ErrorCode(code)};
    CreateTopicRequest request;
    request.name = "t";
    auto replies = w.world.Run(w.env, forwarding.CreateTopics({request}, false));
    REQUIRE(replies.ok());
    CHECK(KindOf(replies->front().status) == kind);
  }
}

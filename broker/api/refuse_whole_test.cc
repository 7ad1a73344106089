#include "broker/api/refuse_whole.h"

#include <catch2/catch.hpp>

#include "broker/api/request_timeout.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/add_raft_voter_request.h"
#include "proto/kafka/add_raft_voter_response.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/elect_leaders_request.h"
#include "proto/kafka/header.h"
#include "proto/kafka/list_partition_reassignments_response.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/response_header.h"
#include "proto/kafka/unregister_broker_request.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

template <typename Body>
ApiRequest Asked(const Body& body, int16_t version) {
  kafka::Writer out;
  body.Encode(out, version);
  absl::StatusOr<Chain> bytes = std::move(out).Finish();
  REQUIRE(bytes.ok());
  ApiRequest request;
  request.api_key = Body::kApiKey;
  request.version = version;
  request.correlation_id = 77;
  request.body = bytes->Flatten();
  return request;
}

template <typename Response>
Response Answered(const ApiReply& reply, int16_t version) {
  REQUIRE(reply.action == ApiReply::Action::kSend);
  kafka::Reader in(Slice(reply.body.Flatten()));
  (void)in.ReadInt32();
  kafka::ResponseHeader header;
  header.Decode(in, kafka::ResponseHeaderVersion(*kafka::FindApi(Response::kApiKey), version));
  CHECK(header.correlation_id == 77);
  Response response;
  response.Decode(in, version);
  REQUIRE(in.Finish().ok());
  return response;
}

TEST_CASE("RefuseWhole: a change of the voters has an error of its own") {
  kafka::AddRaftVoterRequest add;
  const ApiReply reply = RefuseWhole(Asked(add, 1), kafka::KafkaError::kRequestTimedOut, "late");
  const auto response = Answered<kafka::AddRaftVoterResponse>(reply, 1);
  CHECK(response.error_code == 7);
  CHECK(response.error_message == "late");
}

TEST_CASE("TimeoutOf: what a request for the controller says of its time") {
  kafka::CreateTopicsRequest create;
  create.timeout_ms = 1234;
  create.topics.push_back({.name = "a", .num_partitions = 1, .replication_factor = 1});
  CHECK(TimeoutOf(Asked(create, 7)) == milliseconds(1234));
  kafka::AddRaftVoterRequest add;
  add.timeout_ms = -1;
  CHECK(TimeoutOf(Asked(add, 1)) == milliseconds(0));
  kafka::UnregisterBrokerRequest without;
  CHECK_FALSE(TimeoutOf(Asked(without, 0)).has_value());
  ApiRequest broken = Asked(create, 7);
  broken.body = broken.body.From(1);
  CHECK_FALSE(TimeoutOf(broken).has_value());
}

TEST_CASE("RefuseWhole: everything that a request names gets the error and the reason") {
  kafka::CreateTopicsRequest create;
  create.topics.push_back({.name = "a", .num_partitions = 1, .replication_factor = 1});
  create.topics.push_back({.name = "b", .num_partitions = 1, .replication_factor = 1});
  for (int16_t version : {2, 5, 7}) {
    const ApiReply reply =
        RefuseWhole(Asked(create, version), kafka::KafkaError::kInvalidRequest, "too large");
    const auto response = Answered<kafka::CreateTopicsResponse>(reply, version);
    REQUIRE(response.topics.size() == 2);
    CHECK(response.topics[1].name == "b");
    CHECK(response.topics[1].error_code == 42);
    CHECK(response.topics[1].error_message == "too large");
  }
}

TEST_CASE("RefuseWhole: of very many things only the first get the reason, all the error") {
  kafka::CreateTopicsRequest create;
  for (int i = 0; i < 1000; ++i) create.topics.push_back({.name = "t" + std::to_string(i)});
  const std::string why(200, 'w');
  const ApiReply reply = RefuseWhole(Asked(create, 5), kafka::KafkaError::kInvalidRequest, why);
  CHECK(reply.body.size() < 50'000);
  const auto response = Answered<kafka::CreateTopicsResponse>(reply, 5);
  REQUIRE(response.topics.size() == 1000);
  CHECK(response.topics.front().error_message == why);
  CHECK(response.topics.back().error_message == std::nullopt);
  CHECK(response.topics.back().error_code == 42);
}

TEST_CASE(
    "RefuseWhole: an answer with an error of its own has that, one without any place closes") {
  ApiRequest list;
  list.api_key = kafka::ListPartitionReassignmentsResponse::kApiKey;
  list.correlation_id = 77;
  const ApiReply reply = RefuseWhole(list, kafka::KafkaError::kInvalidRequest, "too large");
  CHECK(Answered<kafka::ListPartitionReassignmentsResponse>(reply, 0).error_code == 42);

  const ApiReply closed = RefuseWhole(Asked(kafka::ElectLeadersRequest(), 0),
                                      kafka::KafkaError::kInvalidRequest, "too large");
  CHECK(closed.action == ApiReply::Action::kClose);
  CHECK(closed.reason == "too large");
}

}  // namespace
}  // namespace millrace

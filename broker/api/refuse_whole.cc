#include "broker/api/refuse_whole.h"

#include <optional>
#include <utility>

#include "broker/api/api_support.h"
#include "proto/kafka/add_raft_voter_response.h"
#include "proto/kafka/alter_configs_request.h"
#include "proto/kafka/alter_configs_response.h"
#include "proto/kafka/alter_partition_reassignments_response.h"
#include "proto/kafka/create_partitions_request.h"
#include "proto/kafka/create_partitions_response.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/delete_topics_response.h"
#include "proto/kafka/elect_leaders_response.h"
#include "proto/kafka/incremental_alter_configs_request.h"
#include "proto/kafka/incremental_alter_configs_response.h"
#include "proto/kafka/list_partition_reassignments_response.h"
#include "proto/kafka/remove_raft_voter_response.h"
#include "proto/kafka/unregister_broker_response.h"
#include "proto/kafka/update_features_response.h"

namespace millrace {
namespace {

using kafka::ApiKey;

// So many things get the reason, all of them the error: a request may name a million.
constexpr size_t kReasonsMax = 10;

struct Refusal {
  int16_t code;
  const std::string& why;

  // Of the `number`th thing.
  std::optional<std::string> reason(size_t number) const {
    return number < kReasonsMax ? std::optional(why) : std::nullopt;
  }
};

// `result` is the last of as many as `results` has.
template <typename Result, typename Results>
void Fail(Result& result, const Refusal& refusal, const Results& results) {
  result.error_code = refusal.code;
  result.error_message = refusal.reason(results.size() - 1);
}

void Refuse(const kafka::CreateTopicsRequest& request, Refusal refusal,
            kafka::CreateTopicsResponse& response) {
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    Fail(result, refusal, response.topics);
  }
}

void Refuse(const kafka::DeleteTopicsRequest& request, Refusal refusal,
            kafka::DeleteTopicsResponse& response) {
  for (const std::string& name : request.topic_names) {
    auto& result = response.responses.emplace_back();
    result.name = name;
    Fail(result, refusal, response.responses);
  }
  for (const auto& topic : request.topics) {
    auto& result = response.responses.emplace_back();
    result.name = topic.name;
    result.topic_id = topic.topic_id;
    Fail(result, refusal, response.responses);
  }
}

void Refuse(const kafka::CreatePartitionsRequest& request, Refusal refusal,
            kafka::CreatePartitionsResponse& response) {
  for (const auto& topic : request.topics) {
    response.results.push_back({topic.name, refusal.code, refusal.reason(response.results.size())});
  }
}

// Of both ways to alter configurations.
template <typename Request, typename Response>
void Refuse(const Request& request, Refusal refusal, Response& response) {
  for (const auto& resource : request.resources) {
    auto& result = response.responses.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    Fail(result, refusal, response.responses);
  }
}

template <typename Request, typename Response>
ApiReply RefuseEach(const ApiRequest& request, Refusal refusal) {
  absl::StatusOr<Request> body = DecodeBody<Request>(request);
  if (!body.ok()) return Undecodable(body.status());
  Response response;
  Refuse(*body, refusal, response);
  return Reply(request, response);
}

// From version `since` on the answer has an error of its own.
template <typename Response>
ApiReply RefuseAtTop(const ApiRequest& request, Refusal refusal, int16_t since) {
  if (request.version < since) return ApiReply::Close(refusal.why);
  Response response;
  response.error_code = refusal.code;
  response.error_message = refusal.why;
  return Reply(request, response);
}

}  // namespace

ApiReply RefuseWhole(const ApiRequest& request, kafka::KafkaError error, const std::string& why) {
  const Refusal refusal{ErrorCode(error), why};
  switch (static_cast<ApiKey>(request.api_key)) {
    case ApiKey::kCreateTopics:
      return RefuseEach<kafka::CreateTopicsRequest, kafka::CreateTopicsResponse>(request, refusal);
    case ApiKey::kDeleteTopics:
      return RefuseEach<kafka::DeleteTopicsRequest, kafka::DeleteTopicsResponse>(request, refusal);
    case ApiKey::kCreatePartitions:
      return RefuseEach<kafka::CreatePartitionsRequest, kafka::CreatePartitionsResponse>(request,
                                                                                         refusal);
    case ApiKey::kAlterConfigs:
      return RefuseEach<kafka::AlterConfigsRequest, kafka::AlterConfigsResponse>(request, refusal);
    case ApiKey::kIncrementalAlterConfigs:
      return RefuseEach<kafka::IncrementalAlterConfigsRequest,
                        kafka::IncrementalAlterConfigsResponse>(request, refusal);
    case ApiKey::kAlterPartitionReassignments:
      return RefuseAtTop<kafka::AlterPartitionReassignmentsResponse>(request, refusal, 0);
    case ApiKey::kListPartitionReassignments:
      return RefuseAtTop<kafka::ListPartitionReassignmentsResponse>(request, refusal, 0);
    case ApiKey::kUpdateFeatures:
      return RefuseAtTop<kafka::UpdateFeaturesResponse>(request, refusal, 0);
    case ApiKey::kUnregisterBroker:
      return RefuseAtTop<kafka::UnregisterBrokerResponse>(request, refusal, 0);
    case ApiKey::kAddRaftVoter:
      return RefuseAtTop<kafka::AddRaftVoterResponse>(request, refusal, 0);
    case ApiKey::kRemoveRaftVoter:
      return RefuseAtTop<kafka::RemoveRaftVoterResponse>(request, refusal, 0);
    case ApiKey::kElectLeaders: {
      if (request.version < 1) return ApiReply::Close(why);
      kafka::ElectLeadersResponse response;
      response.error_code = refusal.code;
      return Reply(request, response);
    }
    default:
      return ApiReply::Close(why);  // Without a place for it, or for brokers and controllers alone.
  }
}

}  // namespace millrace

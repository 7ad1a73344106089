// CreateTopics (key 19), versions 2 to 7.
//
// Promises: when the answer arrives the topic's partitions can be produced to and fetched from. -1
// partitions or replicas mean the
//           broker's defaults. From v5 the answer holds partitions, replication factor and all
//           configs; from v7 the topic id.
// Errors:   per topic, with Kafka's message: see controller/topic_decisions.h. INVALID_REQUEST for
// duplicates. Source:   KIP-4, KIP-464, KIP-525, rule 5.47.
#include "broker/api/api_support.h"
#include "broker/api/config_view.h"
#include "broker/api/handlers.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"

namespace millrace {
namespace {

using kafka::CreateTopicsRequest;
using kafka::CreateTopicsResponse;

CreateTopicRequest FromWire(const CreateTopicsRequest::CreatableTopic& topic) {
  CreateTopicRequest request;
  request.name = topic.name;
  if (topic.num_partitions != -1) request.partitions = topic.num_partitions;
  if (topic.replication_factor != -1) request.replication_factor = topic.replication_factor;
  for (const auto& assignment : topic.assignments) {
    std::vector<BrokerId> brokers(assignment.broker_ids.begin(), assignment.broker_ids.end());
    if (!request.assignments.emplace(assignment.partition_index, std::move(brokers)).second) {
      request.duplicate_assignment = true;
    }
  }
  for (const auto& config : topic.configs) request.configs.emplace_back(config.name, config.value);
  return request;
}

CreateTopicsResponse::CreatableTopicResult ToWire(const AdminContext& admin,
                                                  const CreateTopicReply& reply) {
  CreateTopicsResponse::CreatableTopicResult result;
  result.name = reply.name;
  result.error_code = ErrorCode(reply.status);
  result.error_message = ErrorMessage(reply.status);
  if (!reply.status.ok()) return result;
  result.topic_id = reply.topic_id;
  result.num_partitions = reply.partitions;
  result.replication_factor = static_cast<int16_t>(reply.replication_factor);
  for (const ConfigEntry& entry : admin.configs.Describe(*admin.image(), reply.configs)) {
    result.configs->push_back({std::string(entry.name), entry.value, entry.is_read_only,
                               ConfigSourceToWire(entry.source), entry.is_sensitive});
  }
  return result;
}

}  // namespace

Task<ApiReply> HandleCreateTopics(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<CreateTopicsRequest> body = DecodeBody<CreateTopicsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  std::vector<CreateTopicRequest> topics;
  topics.reserve(body->topics.size());
  for (const auto& topic : body->topics) topics.push_back(FromWire(topic));
  absl::StatusOr<std::vector<CreateTopicReply>> replies =
      co_await admin->active().CreateTopics(topics, body->validate_only);

  CreateTopicsResponse response;
  if (!replies.ok()) {
    for (const CreateTopicRequest& topic : topics) {
      CreateTopicReply failed;
      failed.name = topic.name;
      failed.status = replies.status();
      response.topics.push_back(ToWire(*admin, failed));
    }
    co_return Reply(request, response);
  }
  for (const CreateTopicReply& reply : *replies) response.topics.push_back(ToWire(*admin, reply));
  co_return Reply(request, response);
}

}  // namespace millrace

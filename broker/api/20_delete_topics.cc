// DeleteTopics (key 20), versions 1 to 6. By name, or from v6 by id.
//
// Promises: when the answer arrives the topic is gone from metadata and from this broker; its files
// follow after
//           file.delete.delay.ms.
// Errors:   per topic UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, TOPIC_DELETION_DISABLED,
// INVALID_REQUEST (named twice, or
//           by name and id at once, or by neither).
// Source:   KIP-4, KIP-516, KIP-599.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/delete_topics_response.h"

namespace millrace {
namespace {

using kafka::DeleteTopicsRequest;
using kafka::DeleteTopicsResponse;

struct Asked {
  std::vector<DeleteTopicRequest> topics;
  std::vector<DeleteTopicsResponse::DeletableTopicResult> refused;
};

Asked FromWire(const DeleteTopicsRequest& body) {
  Asked asked;
  for (const std::string& name : body.topic_names) asked.topics.push_back({name, std::nullopt});
  for (const auto& topic : body.topics) {
    const bool by_id = !topic.topic_id.is_zero();
    if (by_id == topic.name.has_value()) {
      DeleteTopicsResponse::DeletableTopicResult refused;
      refused.name = topic.name;
      refused.topic_id = topic.topic_id;
      refused.error_code = ErrorCode(kafka::KafkaError::kInvalidRequest);
      refused.error_message = by_id ? "You may not specify both topic name and topic id."
                                    : "Neither topic name nor id were specified.";
      asked.refused.push_back(std::move(refused));
    } else if (by_id) {
      asked.topics.push_back({std::nullopt, topic.topic_id});
    } else {
      asked.topics.push_back({topic.name, std::nullopt});
    }
  }
  return asked;
}

}  // namespace

Task<ApiReply> HandleDeleteTopics(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<DeleteTopicsRequest> body = DecodeBody<DeleteTopicsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  Asked asked = FromWire(*body);
  absl::StatusOr<std::vector<DeleteTopicReply>> replies =
      co_await admin->active().DeleteTopics(asked.topics);
  if (!replies.ok()) {
    std::vector<DeleteTopicReply> failed;
    for (const DeleteTopicRequest& topic : asked.topics) {
      failed.push_back({topic.name, topic.topic_id, replies.status()});
    }
    replies = std::move(failed);
  }
  DeleteTopicsResponse response;
  response.responses = std::move(asked.refused);
  for (const DeleteTopicReply& reply : *replies) {
    DeleteTopicsResponse::DeletableTopicResult result;
    result.name = reply.name;
    result.topic_id = reply.topic_id.value_or(Uuid(0, 0));
    result.error_code = ErrorCode(reply.status);
    result.error_message = ErrorMessage(reply.status);
    // Clients of those versions do not know TOPIC_DELETION_DISABLED.
    if (request.version < 3 && KindOf(reply.status) == ErrorKind::kTopicDeletionDisabled) {
      result.error_code = ErrorCode(kafka::KafkaError::kInvalidRequest);
    }
    response.responses.push_back(std::move(result));
  }
  co_return Reply(request, response);
}

}  // namespace millrace

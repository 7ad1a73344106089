// CreatePartitions (key 37), versions 0 to 3. More partitions for topics that exist.
//
// Promises: when the answer arrives the new partitions can be produced to and fetched from.
// Errors:   per topic UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS (not an increase, or the topic is
//           a coordinator's), INVALID_REPLICA_ASSIGNMENT, INVALID_REQUEST (named twice; answered once).
// Source:   KIP-195, rules 5.46, 6.8.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "common/error_kind.h"
#include "proto/kafka/create_partitions_request.h"
#include "proto/kafka/create_partitions_response.h"

namespace millrace {

Task<ApiReply> HandleCreatePartitions(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::CreatePartitionsRequest> body =
      DecodeBody<kafka::CreatePartitionsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  std::vector<CreatePartitionsRequest> topics;
  for (const auto& topic : body->topics) {
    CreatePartitionsRequest asked{topic.name, topic.count, std::nullopt};
    // A key's partition is its hash modulo their number: with another one groups would be looked for
    // where they are not, and begin without members and offsets. Kafka lets it happen.
    asked.keeps_count = IsInternalTopic(topic.name);
    if (topic.assignments.has_value()) {
      asked.assignments.emplace();
      for (const auto& assignment : *topic.assignments) {
        asked.assignments->emplace_back(assignment.broker_ids.begin(), assignment.broker_ids.end());
      }
    }
    topics.push_back(std::move(asked));
  }
  absl::StatusOr<std::vector<CreatePartitionsReply>> replies =
      co_await admin->active().CreatePartitions(topics, body->validate_only);
  if (!replies.ok()) {
    std::vector<CreatePartitionsReply> failed;
    for (const CreatePartitionsRequest& topic : topics)
      failed.push_back({topic.topic, replies.status()});
    replies = std::move(failed);
  }
  kafka::CreatePartitionsResponse response;
  for (const CreatePartitionsReply& reply : *replies) {
    response.results.push_back({reply.topic, ErrorCode(reply.status), ErrorMessage(reply.status)});
  }
  co_return Reply(request, response);
}

}  // namespace millrace

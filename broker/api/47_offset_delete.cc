// OffsetDelete (key 47), version 0. Offsets that a group has committed are deleted.
//
// Errors: of the request: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (its members do not say what they read),
//         those of a coordinator. Per partition: GROUP_SUBSCRIBED_TO_TOPIC,
//         UNKNOWN_TOPIC_OR_PARTITION.
// Source: KIP-496; rule 7.25.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/offset_delete_request.h"
#include "proto/kafka/offset_delete_response.h"

namespace millrace {

Task<ApiReply> HandleOffsetDelete(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::OffsetDeleteRequest> body = DecodeBody<kafka::OffsetDeleteRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const std::shared_ptr<const MetadataImage> image = broker->image();
  OffsetsToDelete deletion{body->group_id, {}};
  for (const auto& topic : body->topics) {
    if (image->FindTopic(topic.name) == nullptr) continue;
    auto& known = deletion.topics.emplace_back();
    known.name = topic.name;
    for (const auto& one : topic.partitions) known.partitions.emplace_back(one.partition_index);
  }
  DeletedOffsets deleted;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (!at.has_value()) {
    deleted.error = at.error();
  } else {
    deleted = co_await AtCoordinator<DeletedOffsets>(
        broker, *at, request.cancel,
        [at = *at, &deletion](GroupService& groups, CancellationToken) {
          return groups.DeleteOffsets(at, deletion);
        });
  }
  kafka::OffsetDeleteResponse response;
  response.error_code = ErrorCode(deleted.error);
  size_t answered = 0;
  for (size_t t = 0; deleted.error == kafka::KafkaError::kNone && t < body->topics.size(); ++t) {
    const auto& asked = body->topics[t];
    const bool known =
        answered < deletion.topics.size() && deletion.topics[answered].name == asked.name;
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      topic.partitions.push_back({asked.partitions[p].partition_index,
                                  ErrorCode(known ? deleted.partitions[answered][p]
                                                  : kafka::KafkaError::kUnknownTopicOrPartition)});
    }
    if (known) ++answered;
  }
  co_return Reply(request, response);
}

}  // namespace millrace

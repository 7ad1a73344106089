// OffsetDelete (key 47), version 0. Offsets that a group has committed are deleted.
//
// Errors: of the request: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (its members do not
//         say what they read), those of a coordinator. Per partition: GROUP_SUBSCRIBED_TO_TOPIC (also
//         where what its members say is not understood), UNKNOWN_TOPIC_OR_PARTITION.
// Source: KIP-496; rule 7.25.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/offset_delete_request.h"
#include "proto/kafka/offset_delete_response.h"

namespace millrace {
namespace {

bool IsThere(const MetadataImage& image, const std::string& topic, PartitionId partition) {
  const MetadataImage::Topic known = image.FindTopic(topic);
  return known != nullptr && known->Find(partition) != nullptr;
}

}  // namespace

Task<ApiReply> HandleOffsetDelete(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::OffsetDeleteRequest> body = DecodeBody<kafka::OffsetDeleteRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const std::shared_ptr<const MetadataImage> image = broker->image();
  OffsetsToDelete deletion{body->group_id, {}};
  for (const auto& topic : body->topics) {
    auto& asked = deletion.topics.emplace_back();
    asked.name = topic.name;
    for (const auto& one : topic.partitions) {
      const PartitionId id(one.partition_index);
      if (IsThere(*image, topic.name, id)) asked.partitions.push_back(id);
    }
  }
  DeletedOffsets deleted;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (body->group_id.empty()) {
    deleted.error = kafka::KafkaError::kInvalidGroupId;
  } else if (!at.has_value()) {
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
  for (size_t t = 0; deleted.error == kafka::KafkaError::kNone && t < body->topics.size(); ++t) {
    const auto& asked = body->topics[t];
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    auto answer = deleted.partitions[t].begin();
    for (const auto& one : asked.partitions) {
      const bool known = IsThere(*image, asked.name, PartitionId(one.partition_index));
      const auto error = known ? *answer++ : kafka::KafkaError::kUnknownTopicOrPartition;
      topic.partitions.push_back({one.partition_index, ErrorCode(error)});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

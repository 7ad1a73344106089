// DescribeTopicPartitions (key 75), version 0. Topics and partitions page by page, with eligible
// leader replicas.
//
// Promises: topics in order of name, at most `response_partition_limit` partitions (2000 at the
// most), and a cursor where the
//           next page begins. An empty topic list asks for all. Nothing is created.
// Errors:   per topic UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION; INVALID_REQUEST (the
// connection is closed) for
//           a cursor of a negative partition.
// Note:     eligible leader replicas are empty lists, never null: Kafka's own tools do not expect
// null. Source:   KIP-966.
#include <algorithm>
#include <set>
#include <span>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "proto/kafka/describe_topic_partitions_request.h"
#include "proto/kafka/describe_topic_partitions_response.h"

namespace millrace {
namespace {

using Response = kafka::DescribeTopicPartitionsResponse;
using ResponseTopic = Response::DescribeTopicPartitionsResponseTopic;

std::vector<int32_t> IdsOf(std::span<const BrokerId> brokers) {
  std::vector<int32_t> ids;
  for (BrokerId id : brokers) ids.push_back(id.value());
  return ids;
}

// Adds the topic's partitions from `first` on while there is room; says where it stopped, if before
// the end.
std::optional<int32_t> AddTopic(const MetadataImage& image, const TopicImage& topic, int32_t first,
                                int32_t room, const std::string& listener, ResponseTopic* out) {
  out->name = topic.name;
  out->topic_id = topic.topic_id;
  out->is_internal = IsInternalTopic(topic.name);
  out->topic_authorized_operations = kAllTopicOperations;
  const int32_t end = static_cast<int32_t>(topic.partitions.size());
  const int32_t stop = static_cast<int32_t>(std::min<int64_t>(end, int64_t{first} + room));
  for (int32_t p = first; p < stop; ++p) {
    const PartitionImage& partition = topic.partitions[static_cast<size_t>(p)];
    PartitionView view = ViewPartition(image, partition, listener);
    out->partitions.push_back({ErrorCode(view.error), p, view.leader,
                               partition.leader_epoch.value(), std::move(view.replicas),
                               std::move(view.isr), IdsOf(partition.elr),
                               IdsOf(partition.last_known_elr), std::move(view.offline)});
  }
  return stop < end ? std::optional(std::max(stop, first)) : std::nullopt;
}

}  // namespace

Task<ApiReply> HandleDescribeTopicPartitions(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::DescribeTopicPartitionsRequest> body =
      DecodeBody<kafka::DescribeTopicPartitionsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  if (body->cursor.has_value() && body->cursor->partition_index < 0) {
    co_return ApiReply::Close("DescribeTopicPartitions: the cursor names a negative partition");
  }
  const std::shared_ptr<const MetadataImage> image = broker->image();
  const std::string from = body->cursor.has_value() ? body->cursor->topic_name : "";
  std::set<std::string> asked;
  for (const auto& topic : body->topics) asked.insert(topic.name);

  Response response;
  int32_t room = std::clamp(body->response_partition_limit, 1,
                            std::max(1, broker->options.describe_partitions_max));
  // One topic; false when the page is full.
  auto add = [&](const std::string& name, const TopicImage* topic) {
    if (room == 0) {
      response.next_cursor = Response::Cursor{name, 0};
      return false;
    }
    ResponseTopic out;
    if (topic == nullptr) {
      absl::Status valid = ValidateTopicName(name);
      out.name = name;
      out.error_code =
          valid.ok() ? ErrorCode(kafka::KafkaError::kUnknownTopicOrPartition) : ErrorCode(valid);
      response.topics.push_back(std::move(out));
      return true;
    }
    // A cursor into this topic; one that points beyond its end gives an empty list.
    const int32_t first = body->cursor.has_value() && name == from
                              ? std::min(body->cursor->partition_index,
                                         static_cast<int32_t>(topic->partitions.size()))
                              : 0;
    std::optional<int32_t> stopped =
        AddTopic(*image, *topic, first, room, request.connection->listener, &out);
    room -= static_cast<int32_t>(out.partitions.size());
    response.topics.push_back(std::move(out));
    if (stopped.has_value()) response.next_cursor = Response::Cursor{name, *stopped};
    return !stopped.has_value();
  };
  if (asked.empty()) {
    image->topics().ForEachFrom(from,
                                [&](const std::string& name, const MetadataImage::Topic& topic) {
                                  return add(name, topic.get());
                                });
  } else {
    for (auto name = asked.lower_bound(from); name != asked.end(); ++name) {
      if (!add(*name, image->FindTopic(*name).get())) break;
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

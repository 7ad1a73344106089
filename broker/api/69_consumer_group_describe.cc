// ConsumerGroupDescribe (key 69), versions 0 and 1. State, members and assignments of consumer groups.
//
// Promises: what is told is committed.
// Errors:   per group: GROUP_ID_NOT_FOUND (also for a classic group), UNSUPPORTED_VERSION where
//           group.version is 0, those of a coordinator.
// Source:   KIP-848, KIP-1099 (the member's type); rule 8.19.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/consumer_group_describe_request.h"
#include "proto/kafka/consumer_group_describe_response.h"

namespace millrace {
namespace {

using Response = kafka::ConsumerGroupDescribeResponse;

constexpr int8_t kClassicMember = 0;
constexpr int8_t kConsumerMember = 1;

// Topics that are gone have no name to show.
Response::Assignment ToWire(const MetadataImage& image, const PartitionList& partitions) {
  Response::Assignment assignment;
  for (Response::TopicPartitions& topic : ByTopic<Response::TopicPartitions>(partitions)) {
    const MetadataImage::Topic known = image.FindTopic(topic.topic_id);
    if (known == nullptr) continue;
    topic.topic_name = known->name;
    assignment.topic_partitions.push_back(std::move(topic));
  }
  return assignment;
}

Response::DescribedGroup ToWire(const MetadataImage& image, std::string group_id,
                                DescribedConsumerGroup described) {
  Response::DescribedGroup answer;
  answer.group_id = std::move(group_id);
  answer.error_code = ErrorCode(described.error);
  if (described.error != kafka::KafkaError::kNone) return answer;
  if (!described.group.has_value()) {
    answer.error_code = ErrorCode(kafka::KafkaError::kGroupIdNotFound);
    answer.error_message = fmt::format("Group {} is not a consumer group.", answer.group_id);
    return answer;
  }
  ConsumerGroupView& group = *described.group;
  answer.group_state = std::move(group.state);
  answer.group_epoch = group.group_epoch;
  answer.assignment_epoch = group.assignment_epoch;
  answer.assignor_name = std::move(group.assignor);
  for (ConsumerGroup::MemberView& member : group.members) {
    Response::Member& told = answer.members.emplace_back();
    told.member_id = std::move(member.member_id);
    told.instance_id = std::move(member.instance_id);
    told.rack_id = std::move(member.rack);
    told.member_epoch = member.epoch.value();
    told.client_id = std::move(member.client_id);
    told.client_host = std::move(member.client_host);
    told.subscribed_topic_names = std::move(member.topic_names);
    // As Kafka: "" where there is none.
    told.subscribed_topic_regex = std::move(member.topic_regex).value_or("");
    told.assignment = ToWire(image, member.assigned);
    told.target_assignment = ToWire(image, member.target);
    told.member_type = member.classic ? kClassicMember : kConsumerMember;
  }
  return answer;
}

Task<DescribedConsumerGroup> DescribeOne(Broker* broker, std::string group_id,
                                         CancellationToken cancel) {
  if (!ServesConsumerGroups(*broker->image())) {
    co_return DescribedConsumerGroup{kafka::KafkaError::kUnsupportedVersion};
  }
  auto at = CoordinatorOf(*broker, group_id);
  if (!at.has_value()) co_return DescribedConsumerGroup{at.error()};
  co_return co_await AtCoordinator<DescribedConsumerGroup>(
      broker, *at, cancel, [at = *at, &group_id](GroupService& groups, CancellationToken) {
        return groups.DescribeConsumer(at, group_id);
      });
}

}  // namespace

Task<ApiReply> HandleConsumerGroupDescribe(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::ConsumerGroupDescribeRequest> body =
      DecodeBody<kafka::ConsumerGroupDescribeRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  Response response;
  // Each once, however often it was named.
  const std::set<std::string> groups(body->group_ids.begin(), body->group_ids.end());
  for (const std::string& group_id : groups) {
    if (request.cancel.cancelled()) break;
    DescribedConsumerGroup described = co_await DescribeOne(broker, group_id, request.cancel);
    Response::DescribedGroup& answer =
        response.groups.emplace_back(ToWire(*broker->image(), group_id, std::move(described)));
    if (body->include_authorized_operations) answer.authorized_operations = kAllGroupOperations;
  }
  co_return Reply(request, response);
}

}  // namespace millrace

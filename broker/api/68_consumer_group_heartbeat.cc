// ConsumerGroupHeartbeat (key 68), versions 0 and 1. All that a member of a consumer group says: it
// joins, lives, tells what it owns, leaves; and is told what it shall own.
//
// Errors: UNSUPPORTED_VERSION where group.version is 0; those of ConsumerGroup; GROUP_ID_NOT_FOUND for
//         a group that is not there, or is a classic one with members; those of a coordinator.
// Source: KIP-848, KIP-1082; rules 8.1-8.16.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/consumer_group_heartbeat_request.h"
#include "proto/kafka/consumer_group_heartbeat_response.h"

namespace millrace {
namespace {

using kafka::ConsumerGroupHeartbeatRequest;
using kafka::ConsumerGroupHeartbeatResponse;

constexpr int16_t kOwnMemberIdVersion = 1;

ConsumerHeartbeat FromWire(const ApiRequest& request, ConsumerGroupHeartbeatRequest& body) {
  ConsumerHeartbeat beat{.group_id = std::move(body.group_id),
                         .member_id = std::move(body.member_id),
                         .epoch = MemberEpoch(body.member_epoch),
                         .instance_id = std::move(body.instance_id),
                         .rack = std::move(body.rack_id),
                         .topic_names = std::move(body.subscribed_topic_names),
                         .topic_regex = std::move(body.subscribed_topic_regex),
                         .server_assignor = std::move(body.server_assignor),
                         .client_id = request.client_id.value_or(""),
                         .client_host = "/" + request.connection->peer.host,
                         .must_bring_its_id = request.version >= kOwnMemberIdVersion};
  if (body.rebalance_timeout_ms != -1) {
    beat.rebalance_timeout = milliseconds(body.rebalance_timeout_ms);
  }
  if (body.topic_partitions.has_value()) beat.owned = FromTopics(*body.topic_partitions);
  return beat;
}

ConsumerGroupHeartbeatResponse ToWire(ConsumerHeartbeatReply reply) {
  ConsumerGroupHeartbeatResponse response;
  response.error_code = ErrorCode(reply.error);
  response.error_message = std::move(reply.message);
  response.member_id = std::move(reply.member_id);
  response.member_epoch = reply.epoch.value();
  response.heartbeat_interval_ms = static_cast<int32_t>(
      std::chrono::duration_cast<milliseconds>(reply.heartbeat_interval).count());
  if (reply.assignment.has_value()) {
    response.assignment.emplace().topic_partitions =
        ByTopic<ConsumerGroupHeartbeatResponse::TopicPartitions>(*reply.assignment);
  }
  return response;
}

}  // namespace

Task<ApiReply> HandleConsumerGroupHeartbeat(Broker* broker, ApiRequest request) {
  absl::StatusOr<ConsumerGroupHeartbeatRequest> body =
      DecodeBody<ConsumerGroupHeartbeatRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  ConsumerHeartbeatReply reply;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (!ServesConsumerGroups(*broker->image())) {
    reply.error = kafka::KafkaError::kUnsupportedVersion;
  } else if (!at.has_value()) {
    reply.error = at.error();
  } else {
    const ConsumerHeartbeat beat = FromWire(request, *body);
    reply = co_await AtCoordinator<ConsumerHeartbeatReply>(
        broker, *at, request.cancel, [at = *at, &beat](GroupService& groups, CancellationToken) {
          return groups.ConsumerBeat(at, beat);
        });
  }
  co_return Reply(request, ToWire(std::move(reply)));
}

}  // namespace millrace

// JoinGroup (key 11), versions 0 to 9. A member of a classic group says what it can do, and waits
// until the group knows who is in it.
//
// Promises: the answer comes when the rebalance's first half is over; later requests of the
//           connection are served meanwhile.
// Errors:   INVALID_GROUP_ID; INVALID_REQUEST for more protocols, or more metadata, than a member may
//           have (kProtocolsMax, kMetadataBytesMax); those of ClassicGroup; those of a coordinator
//           (broker/coordinator/group_service.h).
// Source:   KIP-62, KIP-345, KIP-394, KIP-559, KIP-814; rules 7.2-7.12.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/join_group_request.h"
#include "proto/kafka/join_group_response.h"

namespace millrace {
namespace {

constexpr int16_t kRebalanceTimeoutVersion = 1;
constexpr int16_t kMemberIdRequiredVersion = 4;
constexpr int16_t kNullProtocolVersion = 7;
constexpr int16_t kSkipAssignmentVersion = 9;
// Of one member. Honest ones know a few, with some kilobytes at most.
constexpr size_t kProtocolsMax = 1000;
constexpr size_t kMetadataBytesMax = 4 << 20;

JoinGroup FromWire(const ApiRequest& request, kafka::JoinGroupRequest& body) {
  JoinGroup join{
      .member = {std::move(body.member_id), std::move(body.group_instance_id)},
      .client_id = request.client_id.value_or(""),
      .client_host = "/" + request.connection->peer.host,
      .session_timeout = milliseconds(body.session_timeout_ms),
      // v0 has one time-out for both.
      .rebalance_timeout =
          milliseconds(request.version >= kRebalanceTimeoutVersion ? body.rebalance_timeout_ms
                                                                   : body.session_timeout_ms),
      .protocol_type = std::move(body.protocol_type),
      .protocols = {},
      .must_know_its_id = request.version >= kMemberIdRequiredVersion,
      .may_skip_assignment = request.version >= kSkipAssignmentVersion,
  };
  join.protocols.reserve(body.protocols.size());
  for (auto& protocol : body.protocols) {
    join.protocols.push_back({std::move(protocol.name), TextOf(protocol.metadata)});
  }
  return join;
}

kafka::JoinGroupResponse ToWire(JoinedGroup joined, int16_t version) {
  kafka::JoinGroupResponse response;
  response.error_code = ErrorCode(joined.error);
  response.generation_id = joined.generation.has_value() ? joined.generation->value() : -1;
  response.protocol_type = std::move(joined.protocol_type);
  response.protocol_name = std::move(joined.protocol_name);
  if (!response.protocol_name.has_value() && version < kNullProtocolVersion) {
    response.protocol_name = "";
  }
  response.leader = std::move(joined.leader);
  response.skip_assignment = version >= kSkipAssignmentVersion && joined.skip_assignment;
  response.member_id = std::move(joined.member_id);
  response.members.reserve(joined.members.size());
  for (JoinedGroup::Member& member : joined.members) {
    response.members.push_back(
        {std::move(member.member_id), std::move(member.instance_id), BytesOf(member.metadata)});
  }
  return response;
}

kafka::KafkaError Check(const kafka::JoinGroupRequest& body) {
  if (body.group_id.empty()) return kafka::KafkaError::kInvalidGroupId;
  if (body.protocols.size() > kProtocolsMax) return kafka::KafkaError::kInvalidRequest;
  size_t bytes = 0;
  for (const auto& protocol : body.protocols) bytes += protocol.metadata.size();
  return bytes > kMetadataBytesMax ? kafka::KafkaError::kInvalidRequest : kafka::KafkaError::kNone;
}

}  // namespace

Task<ApiReply> HandleJoinGroup(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::JoinGroupRequest> body = DecodeBody<kafka::JoinGroupRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  JoinedGroup joined;
  joined.error = Check(*body);
  joined.member_id = body->member_id;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (joined.error == kafka::KafkaError::kNone && !at.has_value()) joined.error = at.error();
  if (joined.error == kafka::KafkaError::kNone) {
    const std::string group_id = body->group_id;
    const JoinGroup join = FromWire(request, *body);
    request.body = Slice();  // It may wait for minutes: the receive buffer goes.
    body->protocols.clear();
    request.order->Release();
    joined = co_await AtCoordinator<JoinedGroup>(
        broker, *at, request.cancel,
        [at = *at, &group_id, &join](GroupService& groups, CancellationToken cancel) {
          return groups.Join(at, group_id, join, cancel);
        });
  }
  co_return Reply(request, ToWire(std::move(joined), request.version));
}

}  // namespace millrace

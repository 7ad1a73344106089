// Heartbeat (key 12), versions 0 to 4. A member of a classic group is alive, and learns whether the
// group is changing.
//
// Errors: REBALANCE_IN_PROGRESS: join again. UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION,
//         FENCED_INSTANCE_ID; INVALID_GROUP_ID; those of a coordinator, but that one which is loading
//         answers NONE: its members have not been silent.
// Source: rules 7.16, 7.21.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/heartbeat_request.h"
#include "proto/kafka/heartbeat_response.h"

namespace millrace {
namespace {

Task<kafka::KafkaError> Beat(GroupService* groups, TopicPartitionId at,
                             const kafka::HeartbeatRequest* body) {
  co_return groups->Heartbeat(at, body->group_id, {body->member_id, body->group_instance_id},
                              GenerationId(body->generation_id));
}

}  // namespace

Task<ApiReply> HandleHeartbeat(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::HeartbeatRequest> body = DecodeBody<kafka::HeartbeatRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::HeartbeatResponse response;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (body->group_id.empty()) {
    response.error_code = ErrorCode(kafka::KafkaError::kInvalidGroupId);
  } else if (!at.has_value()) {
    response.error_code = ErrorCode(at.error());
  } else {
    response.error_code = ErrorCode(co_await AtCoordinator<kafka::KafkaError>(
        broker, *at, request.cancel,
        [at = *at, body = &*body](GroupService& groups, CancellationToken) {
          return Beat(&groups, at, body);
        }));
  }
  co_return Reply(request, response);
}

}  // namespace millrace

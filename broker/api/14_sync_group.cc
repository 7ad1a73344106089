// SyncGroup (key 14), versions 0 to 5. The leader of a classic group says what each member gets; each
// member is told its own part.
//
// Promises: the answer comes when the leader's assignment is committed; later requests of the
//           connection are served meanwhile.
// Errors:   INVALID_GROUP_ID; INCONSISTENT_GROUP_PROTOCOL where the type or name of the protocol is null
//           (v5+); those of ClassicGroup; those of a coordinator.
// Source:   KIP-345, KIP-559; rules 7.13, 7.14.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/sync_group_request.h"
#include "proto/kafka/sync_group_response.h"

namespace millrace {
namespace {

constexpr int16_t kProtocolVersion = 5;

// Of a whole group. A thousand members with thousands of partitions stay below.
constexpr size_t kAssignmentBytesMax = 16 << 20;

bool IsTooMuch(const kafka::SyncGroupRequest& body) {
  size_t bytes = 0;
  for (const auto& assignment : body.assignments) bytes += assignment.assignment.size();
  return bytes > kAssignmentBytesMax;
}

SyncGroup FromWire(kafka::SyncGroupRequest& body) {
  SyncGroup sync{.member = {std::move(body.member_id), std::move(body.group_instance_id)},
                 .generation = GenerationId(body.generation_id),
                 .protocol_type = std::move(body.protocol_type),
                 .protocol_name = std::move(body.protocol_name),
                 .assignments = {}};
  sync.assignments.reserve(body.assignments.size());
  for (auto& assignment : body.assignments) {
    sync.assignments.push_back({std::move(assignment.member_id), TextOf(assignment.assignment)});
  }
  return sync;
}

}  // namespace

Task<ApiReply> HandleSyncGroup(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::SyncGroupRequest> body = DecodeBody<kafka::SyncGroupRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  SyncedGroup synced;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (request.version >= kProtocolVersion &&
      (!body->protocol_type.has_value() || !body->protocol_name.has_value())) {
    // The schema allows null, the broker does not.
    synced.error = kafka::KafkaError::kInconsistentGroupProtocol;
  } else if (body->group_id.empty()) {
    synced.error = kafka::KafkaError::kInvalidGroupId;
  } else if (IsTooMuch(*body)) {
    synced.error = kafka::KafkaError::kInvalidRequest;
  } else if (!at.has_value()) {
    synced.error = at.error();
  } else {
    const std::string group_id = body->group_id;
    const SyncGroup sync = FromWire(*body);
    request.body = Slice();
    body->assignments.clear();
    request.order->Release();
    synced = co_await AtCoordinator<SyncedGroup>(
        broker, *at, request.cancel,
        [at = *at, &group_id, &sync](GroupService& groups, CancellationToken cancel) {
          return groups.Sync(at, group_id, sync, cancel);
        });
  }
  kafka::SyncGroupResponse response;
  response.error_code = ErrorCode(synced.error);
  response.protocol_type = std::move(synced.protocol_type);
  response.protocol_name = std::move(synced.protocol_name);
  response.assignment = BytesOf(synced.assignment);
  co_return Reply(request, response);
}

}  // namespace millrace

// LeaveGroup (key 13), versions 0 to 5. Members leave a classic group, or are removed from it.
//
// Promises: from v3 several members, each with an answer of its own.
// Errors:   per member: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; before v3 of the request.
//           INVALID_GROUP_ID; those of a coordinator.
// Source:   KIP-345; rules 7.19, 7.22.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/leave_group_request.h"
#include "proto/kafka/leave_group_response.h"

namespace millrace {
namespace {

constexpr int16_t kSeveralMembersVersion = 3;

}  // namespace

Task<ApiReply> HandleLeaveGroup(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::LeaveGroupRequest> body = DecodeBody<kafka::LeaveGroupRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  std::vector<MemberIdentity> members;
  if (request.version < kSeveralMembersVersion) {
    members.push_back({body->member_id, std::nullopt});
  } else {
    for (const auto& member : body->members) {
      members.push_back({member.member_id, member.group_instance_id});
    }
  }
  LeftGroup left;
  auto at = CoordinatorOf(*broker, body->group_id);
  if (body->group_id.empty()) {
    left.error = kafka::KafkaError::kInvalidGroupId;
  } else if (!at.has_value()) {
    left.error = at.error();
  } else {
    left = co_await AtCoordinator<LeftGroup>(
        broker, *at, request.cancel,
        [at = *at, body = &*body, &members](GroupService& groups, CancellationToken) {
          return groups.Leave(at, body->group_id, members);
        });
  }
  kafka::LeaveGroupResponse response;
  response.error_code = ErrorCode(left.error);
  const bool answered = left.error == kafka::KafkaError::kNone;
  if (request.version < kSeveralMembersVersion) {
    if (answered) response.error_code = ErrorCode(left.members.front());
  } else if (answered) {
    for (size_t i = 0; i < members.size(); ++i) {
      response.members.push_back({std::move(members[i].member_id),
                                  std::move(members[i].instance_id), ErrorCode(left.members[i])});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

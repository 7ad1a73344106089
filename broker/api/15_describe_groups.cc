// DescribeGroups (key 15), versions 0 to 6. State, members and assignment of classic groups.
//
// Promises: what is told is committed. Metadata and assignments are the members' own bytes.
// Errors:   per group: a group that does not exist is "Dead", from v6 with GROUP_ID_NOT_FOUND; those
//           of a coordinator.
// Source:   rule 7.24.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/describe_groups_request.h"
#include "proto/kafka/describe_groups_response.h"

namespace millrace {
namespace {

using Answer = kafka::DescribeGroupsResponse::DescribedGroup;

constexpr int16_t kNotFoundVersion = 6;

Answer ToWire(std::string group_id, DescribedGroup described, int16_t version) {
  Answer answer;
  answer.group_id = std::move(group_id);
  answer.error_code = ErrorCode(described.error);
  if (described.error != kafka::KafkaError::kNone) return answer;
  if (!described.group.has_value()) {
    answer.group_state = "Dead";
    if (version >= kNotFoundVersion) {
      answer.error_code = ErrorCode(kafka::KafkaError::kGroupIdNotFound);
      answer.error_message = fmt::format("Group {} not found.", answer.group_id);
    }
    return answer;
  }
  GroupView& group = *described.group;
  answer.group_state = std::move(group.state);
  answer.protocol_type = std::move(group.protocol_type);
  answer.protocol_data = std::move(group.protocol);
  answer.members.reserve(group.members.size());
  for (ClassicGroup::MemberView& member : group.members) {
    answer.members.push_back({std::move(member.member_id), std::move(member.instance_id),
                              std::move(member.client_id), std::move(member.client_host),
                              BytesOf(member.metadata), BytesOf(member.assignment)});
  }
  return answer;
}

}  // namespace

Task<ApiReply> HandleDescribeGroups(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::DescribeGroupsRequest> body =
      DecodeBody<kafka::DescribeGroupsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::DescribeGroupsResponse response;
  // Each once, however often it was named.
  const std::set<std::string> groups(body->groups.begin(), body->groups.end());
  for (const std::string& group_id : groups) {
    if (request.cancel.cancelled()) break;
    DescribedGroup described;
    auto at = CoordinatorOf(*broker, group_id);
    if (!at.has_value()) {
      described.error = at.error();
    } else {
      described = co_await AtCoordinator<DescribedGroup>(
          broker, *at, request.cancel,
          [at = *at, &group_id](GroupService& groups, CancellationToken) {
            return groups.Describe(at, group_id);
          });
    }
    Answer& answer =
        response.groups.emplace_back(ToWire(group_id, std::move(described), request.version));
    if (body->include_authorized_operations && answer.error_code == 0) {
      answer.authorized_operations = kAllGroupOperations;
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

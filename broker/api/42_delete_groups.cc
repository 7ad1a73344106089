// DeleteGroups (key 42), versions 0 to 3. Groups without members, and their offsets, are deleted.
//
// Errors: per group: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, those of a coordinator.
// Source: KIP-229; rule 7.25.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/delete_groups_request.h"
#include "proto/kafka/delete_groups_response.h"

namespace millrace {

Task<ApiReply> HandleDeleteGroups(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::DeleteGroupsRequest> body = DecodeBody<kafka::DeleteGroupsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::DeleteGroupsResponse response;
  for (std::string& group_id : body->groups_names) {
    kafka::KafkaError error;
    auto at = CoordinatorOf(*broker, group_id);
    if (!at.has_value()) {
      error = at.error();
    } else {
      error = co_await AtCoordinator<kafka::KafkaError>(
          broker, *at, request.cancel,
          [at = *at, &group_id](GroupService& groups, CancellationToken) {
            return groups.Delete(at, group_id);
          });
    }
    auto& result = response.results.emplace_back();
    result.group_id = std::move(group_id);
    result.error_code = ErrorCode(error);
  }
  co_return Reply(request, response);
}

}  // namespace millrace

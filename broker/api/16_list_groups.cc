// ListGroups (key 16), versions 0 to 5. The groups that this broker coordinates.
//
// Promises: filters by state (v4) and type (v5); names are compared without regard to case.
// Errors:   COORDINATOR_LOAD_IN_PROGRESS: not all of them are known yet; those that are come too.
// Source:   KIP-518, KIP-848; rule 7.24.
#include <absl/strings/match.h>

#include <algorithm>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "broker/on_shard.h"
#include "proto/kafka/list_groups_request.h"
#include "proto/kafka/list_groups_response.h"

namespace millrace {
namespace {

bool Passes(const std::vector<std::string>& filter, const std::string& value) {
  return filter.empty() || std::ranges::any_of(filter, [&](const std::string& wanted) {
           return absl::EqualsIgnoreCase(wanted, value);
         });
}

Task<ListedGroups> ListOn(Broker* there) { co_return there->groups->List(); }

}  // namespace

Task<ApiReply> HandleListGroups(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::ListGroupsRequest> body = DecodeBody<kafka::ListGroupsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::ListGroupsResponse response;
  std::vector<ListedGroups> listed =
      co_await ForEachShard<ListedGroups>(broker, [](Broker& there) { return ListOn(&there); });
  for (ListedGroups& shard : listed) {
    if (shard.error != kafka::KafkaError::kNone) response.error_code = ErrorCode(shard.error);
    for (GroupListing& group : shard.groups) {
      if (!Passes(body->states_filter, group.state)) continue;
      if (!Passes(body->types_filter, group.type)) continue;
      response.groups.push_back({std::move(group.group_id), std::move(group.protocol_type),
                                 std::move(group.state), std::move(group.type)});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

// AddRaftVoter (key 80), versions 0 to 1. A controller that follows the metadata becomes a voter.
//
// Promises: when the answer arrives the change is committed (also where v1 would have been content
//           with less). The new voter must run and have caught up: that is waited for, within the
//           request's time-out and a minute.
// Errors:   INCONSISTENT_CLUSTER_ID, UNSUPPORTED_VERSION (kraft.version 0), INVALID_REQUEST (no
//           replica, no endpoint), DUPLICATE_VOTER, REQUEST_TIMED_OUT.
// Source:   KIP-853.
#include <fmt/format.h>

#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/voter_requests.h"
#include "common/status_macros.h"
#include "proto/kafka/add_raft_voter_request.h"
#include "proto/kafka/add_raft_voter_response.h"

namespace millrace {
namespace {

Task<absl::Status> Add(AdminContext* admin, kafka::AddRaftVoterRequest body) {
  MR_CO_RETURN_IF_ERROR(CheckClusterId(*admin, body.cluster_id));
  MR_CO_RETURN_IF_ERROR(CheckVotersMayChange(*admin, "adding"));
  if (!IsReplicaKey(body.voter_id, body.voter_directory_id)) {
    co_return MakeError(ErrorKind::kInvalidRequest,
                        "Add voter request didn't include a valid voter");
  }
  MR_CO_ASSIGN_OR_RETURN(
      std::vector<raft::VoterEndpoint> endpoints,
      EndpointsFromWire(body.listeners, admin->options.controller_listener, "Add voter request"));
  co_return VoterError(co_await admin->quorum().AddVoter(
      {BrokerId(body.voter_id), body.voter_directory_id}, std::move(endpoints),
      VoterDeadline(*admin, body.timeout_ms)));
}

}  // namespace

Task<ApiReply> HandleAddRaftVoter(AdminContext* admin, ApiRequest request) {
  using Response = kafka::AddRaftVoterResponse;
  absl::StatusOr<kafka::AddRaftVoterRequest> body = DecodeBody<kafka::AddRaftVoterRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  const absl::Status status = co_await Add(admin, *std::move(body));
  Response response;
  response.error_code = ErrorCode(status);
  response.error_message = ErrorMessage(status);
  co_return Reply(request, response);
}

}  // namespace millrace

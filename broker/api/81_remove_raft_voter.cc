// RemoveRaftVoter (key 81), version 0. A controller is no voter any more; it may be the active one.
//
// Promises: when the answer arrives the change is committed.
// Errors:   INCONSISTENT_CLUSTER_ID, UNSUPPORTED_VERSION (kraft.version 0), INVALID_REQUEST (no
//           replica; the last voter), VOTER_NOT_FOUND, REQUEST_TIMED_OUT.
// Source:   KIP-853.
#include <fmt/format.h>

#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/voter_requests.h"
#include "common/status_macros.h"
#include "proto/kafka/remove_raft_voter_request.h"
#include "proto/kafka/remove_raft_voter_response.h"

namespace millrace {
namespace {

Task<absl::Status> Remove(AdminContext* admin, kafka::RemoveRaftVoterRequest body) {
  constexpr int32_t kTimeoutMs = 30'000;  // The request has none.
  MR_CO_RETURN_IF_ERROR(CheckClusterId(*admin, body.cluster_id));
  MR_CO_RETURN_IF_ERROR(CheckVotersMayChange(*admin, "removing"));
  if (!IsReplicaKey(body.voter_id, body.voter_directory_id)) {
    co_return MakeError(ErrorKind::kInvalidRequest,
                        "Remove voter request didn't include a valid voter");
  }
  co_return VoterError(co_await admin->quorum().RemoveVoter(
      {BrokerId(body.voter_id), body.voter_directory_id}, VoterDeadline(*admin, kTimeoutMs)));
}

}  // namespace

Task<ApiReply> HandleRemoveRaftVoter(AdminContext* admin, ApiRequest request) {
  using Response = kafka::RemoveRaftVoterResponse;
  absl::StatusOr<kafka::RemoveRaftVoterRequest> body =
      DecodeBody<kafka::RemoveRaftVoterRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  const absl::Status status = co_await Remove(admin, *std::move(body));
  Response response;
  response.error_code = ErrorCode(status);
  response.error_message = ErrorMessage(status);
  co_return Reply(request, response);
}

}  // namespace millrace

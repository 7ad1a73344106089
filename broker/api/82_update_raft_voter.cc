// UpdateRaftVoter (key 82), version 0. A voter says where it is reached now. On controller listeners
// only. (Our own controllers say so over their own streams.)
//
// Errors:   INCONSISTENT_CLUSTER_ID, INVALID_REQUEST (no replica, no endpoint, no range of
//           kraft.version), FENCED_LEADER_EPOCH and UNKNOWN_LEADER_EPOCH (of another leader's
//           term), VOTER_NOT_FOUND.
// Source:   KIP-853.
#include <fmt/format.h>

#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/voter_requests.h"
#include "common/status_macros.h"
#include "proto/kafka/update_raft_voter_request.h"
#include "proto/kafka/update_raft_voter_response.h"

namespace millrace {
namespace {

absl::Status CheckTerm(const QuorumStatus& status, int32_t epoch) {
  if (epoch < status.term.value()) {
    return MakeError(ErrorKind::kFencedLeaderEpoch, "The quorum has a newer leader.");
  }
  if (epoch > status.term.value()) {
    return MakeError(ErrorKind::kUnknownLeaderEpoch, "That leader is not known here yet.");
  }
  return absl::OkStatus();
}

Task<absl::Status> Update(AdminContext* admin, kafka::UpdateRaftVoterRequest body) {
  constexpr int32_t kTimeoutMs = 30'000;  // The request has none.
  MR_CO_RETURN_IF_ERROR(CheckClusterId(*admin, body.cluster_id));
  const auto& range = body.kraft_version_feature;
  if (!IsReplicaKey(body.voter_id, body.voter_directory_id) || range.min_supported_version < 0 ||
      range.max_supported_version < range.min_supported_version) {
    co_return MakeError(ErrorKind::kInvalidRequest,
                        "Update voter request didn't include a valid voter");
  }
  MR_CO_ASSIGN_OR_RETURN(std::vector<raft::VoterEndpoint> endpoints,
                         EndpointsFromWire(body.listeners, admin->options.controller_listener,
                                           "Update voter request"));
  MR_CO_RETURN_IF_ERROR(CheckTerm(admin->quorum().Describe(), body.current_leader_epoch));
  co_return VoterError(co_await admin->quorum().UpdateVoter(
      {BrokerId(body.voter_id), body.voter_directory_id}, std::move(endpoints),
      VoterDeadline(*admin, kTimeoutMs)));
}

}  // namespace

Task<ApiReply> HandleUpdateRaftVoter(AdminContext* admin, ApiRequest request) {
  using Response = kafka::UpdateRaftVoterResponse;
  absl::StatusOr<kafka::UpdateRaftVoterRequest> body =
      DecodeBody<kafka::UpdateRaftVoterRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  Response response;
  response.error_code = ErrorCode(co_await Update(admin, *std::move(body)));
  const QuorumStatus status = admin->quorum().Describe();
  response.current_leader.leader_id = LeaderToWire(status.leader);
  response.current_leader.leader_epoch = static_cast<int32_t>(status.term.value());
  co_return Reply(request, response);
}

}  // namespace millrace

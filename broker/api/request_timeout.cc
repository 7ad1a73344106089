#include "broker/api/request_timeout.h"

#include <algorithm>

#include "broker/api/api_support.h"
#include "proto/kafka/add_raft_voter_request.h"
#include "proto/kafka/alter_partition_reassignments_request.h"
#include "proto/kafka/create_partitions_request.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/elect_leaders_request.h"
#include "proto/kafka/list_partition_reassignments_request.h"
#include "proto/kafka/update_features_request.h"

namespace millrace {
namespace {

using kafka::ApiKey;

template <typename Request>
std::optional<milliseconds> Read(const ApiRequest& request) {
  absl::StatusOr<Request> body = DecodeBody<Request>(request);
  if (!body.ok()) return std::nullopt;
  return milliseconds(std::max(0, body->timeout_ms));
}

}  // namespace

std::optional<milliseconds> TimeoutOf(const ApiRequest& request) {
  switch (static_cast<ApiKey>(request.api_key)) {
    case ApiKey::kCreateTopics:
      return Read<kafka::CreateTopicsRequest>(request);
    case ApiKey::kDeleteTopics:
      return Read<kafka::DeleteTopicsRequest>(request);
    case ApiKey::kCreatePartitions:
      return Read<kafka::CreatePartitionsRequest>(request);
    case ApiKey::kElectLeaders:
      return Read<kafka::ElectLeadersRequest>(request);
    case ApiKey::kAlterPartitionReassignments:
      return Read<kafka::AlterPartitionReassignmentsRequest>(request);
    case ApiKey::kListPartitionReassignments:
      return Read<kafka::ListPartitionReassignmentsRequest>(request);
    case ApiKey::kUpdateFeatures:
      return Read<kafka::UpdateFeaturesRequest>(request);
    case ApiKey::kAddRaftVoter:
      return Read<kafka::AddRaftVoterRequest>(request);
    default:
      return std::nullopt;
  }
}

}  // namespace millrace

// AlterPartitionReassignments (key 45), versions 0 to 1. Gives partitions other replicas, or stops
// giving them.
//
// Promises: when the answer arrives the reassignment has begun (key 46 lists it) or was cancelled;
//           moving the data takes as long as it takes. No replicas (null): cancel.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT,
//           INVALID_REPLICATION_FACTOR (v1, where the request forbids it),
//           NO_REASSIGNMENT_IN_PROGRESS.
// Source:   KIP-455, KIP-860.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/alter_partition_reassignments_request.h"
#include "proto/kafka/alter_partition_reassignments_response.h"

namespace millrace {
namespace {

using Response = kafka::AlterPartitionReassignmentsResponse;

}  // namespace

Task<ApiReply> HandleAlterPartitionReassignments(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::AlterPartitionReassignmentsRequest> body =
      DecodeBody<kafka::AlterPartitionReassignmentsRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  std::vector<ReassignmentRequest> asked;
  for (const auto& topic : body->topics) {
    for (const auto& partition : topic.partitions) {
      std::optional<BrokerIds> replicas;
      if (partition.replicas.has_value()) {
        replicas.emplace(partition.replicas->begin(), partition.replicas->end());
      }
      asked.push_back({topic.name, PartitionId(partition.partition_index), std::move(replicas)});
    }
  }
  absl::StatusOr<std::vector<ReassignmentReply>> replies =
      co_await admin->active().AlterReassignments(std::move(asked),
                                                  body->allow_replication_factor_change);
  Response response;
  response.allow_replication_factor_change = body->allow_replication_factor_change;
  response.error_code = ErrorCode(replies.status());
  response.error_message = ErrorMessage(replies.status());
  size_t next = 0;  // The replies are in the order of the request.
  for (size_t t = 0; replies.ok() && t < body->topics.size(); ++t) {
    auto& topic = response.responses.emplace_back();
    topic.name = body->topics[t].name;
    for (const auto& partition : body->topics[t].partitions) {
      const absl::Status& status = (*replies)[next++].status;
      topic.partitions.push_back(
          {partition.partition_index, ErrorCode(status), ErrorMessage(status)});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

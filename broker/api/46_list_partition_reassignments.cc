// ListPartitionReassignments (key 46), version 0. The reassignments that are under way.
//
// Promises: those of the partitions asked for, or all; as the active controller knows them.
//           Partitions without one, and unknown ones, are left out.
// Source:   KIP-455.
#include <span>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/list_partition_reassignments_request.h"
#include "proto/kafka/list_partition_reassignments_response.h"

namespace millrace {
namespace {

using Response = kafka::ListPartitionReassignmentsResponse;

std::vector<int32_t> ToWire(std::span<const BrokerId> brokers) {
  std::vector<int32_t> ids;
  ids.reserve(brokers.size());
  for (BrokerId id : brokers) ids.push_back(id.value());
  return ids;
}

}  // namespace

Task<ApiReply> HandleListPartitionReassignments(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::ListPartitionReassignmentsRequest> body =
      DecodeBody<kafka::ListPartitionReassignmentsRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  std::optional<std::vector<ReassignmentQuery>> query;
  if (body->topics.has_value()) {
    query.emplace();
    for (const auto& topic : *body->topics) {
      query->push_back(
          {topic.name, {topic.partition_indexes.begin(), topic.partition_indexes.end()}});
    }
  }
  absl::StatusOr<std::vector<OngoingReassignment>> ongoing =
      admin->active().ListReassignments(query);
  Response response;
  response.error_code = ErrorCode(ongoing.status());
  response.error_message = ErrorMessage(ongoing.status());
  if (!ongoing.ok()) co_return Reply(request, response);
  for (const OngoingReassignment& one : *ongoing) {
    if (response.topics.empty() || response.topics.back().name != one.topic) {
      response.topics.emplace_back();
      response.topics.back().name = one.topic;
    }
    response.topics.back().partitions.push_back(
        {one.partition.value(), ToWire(one.replicas), ToWire(one.adding), ToWire(one.removing)});
  }
  co_return Reply(request, response);
}

}  // namespace millrace

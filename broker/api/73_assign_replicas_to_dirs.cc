// AssignReplicasToDirs (key 73), version 0. A broker says in which log directories its replicas live,
// so that the controller knows whom it hits when one fails. Between brokers and controllers: on
// controller listeners only.
//
// Errors:   as a whole STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED; per partition
//           UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER (this broker has
//           no replica of it).
// Source:   KIP-858.
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/assign_replicas_to_dirs_request.h"
#include "proto/kafka/assign_replicas_to_dirs_response.h"

namespace millrace {

Task<ApiReply> HandleAssignReplicasToDirs(AdminContext* admin, ApiRequest request) {
  using Response = kafka::AssignReplicasToDirsResponse;
  absl::StatusOr<kafka::AssignReplicasToDirsRequest> body =
      DecodeBody<kafka::AssignReplicasToDirsRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  AssignDirectoriesRequest asked{BrokerId(body->broker_id), BrokerEpoch(body->broker_epoch), {}};
  for (const auto& directory : body->directories) {
    for (const auto& topic : directory.topics) {
      for (const auto& partition : topic.partitions) {
        asked.assignments.push_back(
            {{topic.topic_id, PartitionId(partition.partition_index)}, directory.id});
      }
    }
  }
  absl::StatusOr<std::vector<AssignDirectoryReply>> replies =
      co_await admin->active().AssignDirectories(std::move(asked));
  Response response;
  response.error_code = ErrorCode(replies.status());
  if (!replies.ok()) co_return Reply(request, response);
  size_t next = 0;  // The replies are in the order of the request.
  for (const auto& directory : body->directories) {
    auto& directory_reply = response.directories.emplace_back();
    directory_reply.id = directory.id;
    for (const auto& topic : directory.topics) {
      auto& topic_reply = directory_reply.topics.emplace_back();
      topic_reply.topic_id = topic.topic_id;
      for (const auto& partition : topic.partitions) {
        topic_reply.partitions.push_back(
            {partition.partition_index, ErrorCode((*replies)[next++].status)});
      }
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

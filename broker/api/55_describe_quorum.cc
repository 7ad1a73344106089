// DescribeQuorum (key 55), versions 0 to 2. The controllers that agree on the metadata: who leads, who
// votes, who observes, who is how far behind.
//
// Promises: as the active controller knows it. Offsets are indexes of the metadata log. Observers
//           are controllers without a vote, and brokers that are no controllers: those are as far
//           as their last heartbeat said, and are forgotten after five minutes of silence. v2 has
//           directory ids, and the endpoints of voters.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION for anything but __cluster_metadata-0;
//           NOT_LEADER_OR_FOLLOWER when the leadership has just gone elsewhere.
// Source:   KIP-595, KIP-836, KIP-853.
#include <map>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "controller/quorum/raft_quorum.h"
#include "proto/kafka/describe_quorum_request.h"
#include "proto/kafka/describe_quorum_response.h"

namespace millrace {
namespace {

using Response = kafka::DescribeQuorumResponse;

constexpr char kMetadataTopic[] = "__cluster_metadata";
// A version below cannot carry directory ids and endpoints: an answer that has them is refused.
constexpr int16_t kDirectoriesVersion = 2;

int64_t ToWire(const std::optional<Timestamp>& time) { return time.has_value() ? time->ms() : -1; }

Response::ReplicaState ToWire(const QuorumReplica& replica, int16_t version) {
  return {replica.key.id.value(),
          version >= kDirectoriesVersion ? replica.key.directory : Uuid(0, 0),
          replica.log_end.value(), ToWire(replica.last_fetch), ToWire(replica.last_caught_up)};
}

void Describe(const QuorumStatus& status, int16_t version, Response::PartitionData* partition) {
  partition->leader_id = LeaderToWire(status.leader);
  partition->leader_epoch = static_cast<int32_t>(status.term.value());
  partition->high_watermark = status.high_watermark.value();
  for (const QuorumReplica& replica : status.replicas) {
    const bool votes = status.voters.Contains(replica.key);
    (votes ? partition->current_voters : partition->observers).push_back(ToWire(replica, version));
  }
}

void AddNodes(const QuorumStatus& status, Response* response) {
  for (const auto& [id, voter] : status.voters.all()) {
    auto& node = response->nodes.emplace_back();
    node.node_id = id.value();
    for (const raft::VoterEndpoint& endpoint : voter.endpoints) {
      node.listeners.push_back({endpoint.listener, endpoint.host, endpoint.port});
    }
  }
}

}  // namespace

Task<ApiReply> HandleDescribeQuorum(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::DescribeQuorumRequest> body =
      DecodeBody<kafka::DescribeQuorumRequest>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  const QuorumStatus status = admin->quorum().Describe();
  const bool leads = status.leader == admin->options.node_id;
  bool described = false;
  Response response;
  for (const auto& topic : body->topics) {
    auto& topic_reply = response.topics.emplace_back();
    topic_reply.topic_name = topic.topic_name;
    for (const auto& asked : topic.partitions) {
      auto& partition = topic_reply.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      absl::Status known;
      if (topic.topic_name != kMetadataTopic || asked.partition_index != 0) {
        known = MakeError(ErrorKind::kUnknownTopicOrPartition,
                          "This server does not host this topic-partition.");
      } else if (!leads) {
        known = MakeError(ErrorKind::kNotLeaderOrFollower,
                          "This controller is not the active one any more.");
      }
      partition.error_code = ErrorCode(known);
      partition.error_message = ErrorMessage(known);
      // Once: a short question asked a million times would make gigabytes of answers.
      if (known.ok() && !std::exchange(described, true))
        Describe(status, request.version, &partition);
    }
  }
  if (described && request.version >= kDirectoriesVersion) AddNodes(status, &response);
  co_return Reply(request, response);
}

}  // namespace millrace

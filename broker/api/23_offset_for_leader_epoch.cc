// OffsetForLeaderEpoch (key 23), versions 2 to 4. Where a leader epoch ended: how a consumer or
// follower finds out that the log it read was truncated.
//
// Promises: the current epoch ends at the log end; an unknown, higher one gives epoch -1 and offset
// -1; one below the first known
//           gives that first entry's start (rule 4.2).
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
// UNKNOWN_LEADER_EPOCH. Source:   KIP-101, KIP-279, KIP-320.
#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "proto/kafka/offset_for_leader_epoch_request.h"
#include "proto/kafka/offset_for_leader_epoch_response.h"

namespace millrace {
namespace {

using kafka::OffsetForLeaderEpochRequest;
using kafka::OffsetForLeaderEpochResponse;

OffsetForLeaderEpochResponse::EpochEndOffset Answer(
    Broker& broker, const std::string& topic,
    const OffsetForLeaderEpochRequest::OffsetForLeaderPartition& asked) {
  OffsetForLeaderEpochResponse::EpochEndOffset answer;
  answer.partition = asked.partition;
  absl::StatusOr<Partition*> partition = FindPartition(broker, topic, asked.partition);
  absl::Status status = partition.ok()
                            ? (*partition)->CheckLeader(EpochFromWire(asked.current_leader_epoch))
                            : partition.status();
  if (!status.ok()) {
    answer.error_code = ErrorCode(status);
    return answer;
  }
  std::optional<LeaderEpoch> epoch = EpochFromWire(asked.leader_epoch);
  if (!epoch.has_value()) return answer;
  if (*epoch == (*partition)->leader_epoch()) {
    answer.leader_epoch = epoch->value();
    answer.end_offset = (*partition)->log().end_offset().value();
    return answer;
  }
  if (std::optional<EpochEnd> end = (*partition)->log().EndOffsetForEpoch(*epoch);
      end.has_value()) {
    answer.leader_epoch = end->epoch.value();
    answer.end_offset = end->end_offset.value();
  }
  return answer;
}

}  // namespace

Task<ApiReply> HandleOffsetForLeaderEpoch(Broker* broker, ApiRequest request) {
  absl::StatusOr<OffsetForLeaderEpochRequest> body =
      DecodeBody<OffsetForLeaderEpochRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  OffsetForLeaderEpochResponse response;
  for (const auto& topic : body->topics) {
    OffsetForLeaderEpochResponse::OffsetForLeaderTopicResult result;
    result.topic = topic.topic;
    for (const auto& asked : topic.partitions)
      result.partitions.push_back(Answer(*broker, topic.topic, asked));
    response.topics.push_back(std::move(result));
  }
  co_return Reply(request, response);
}

}  // namespace millrace

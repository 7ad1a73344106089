// OffsetForLeaderEpoch (key 23), versions 2 to 4. Where a leader epoch ended: how a consumer or
// follower finds out that the log it read was truncated.
//
// Promises: the current epoch ends at the log end; an unknown, higher one gives epoch -1 and offset
// -1; one below the first known
//           gives that first entry's start (rule 4.2).
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
// UNKNOWN_LEADER_EPOCH. Source:   KIP-101, KIP-279, KIP-320.
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/await_leadership.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/on_shard.h"
#include "proto/kafka/offset_for_leader_epoch_request.h"
#include "proto/kafka/offset_for_leader_epoch_response.h"

namespace millrace {
namespace {

using kafka::OffsetForLeaderEpochRequest;
using kafka::OffsetForLeaderEpochResponse;

struct Asked {
  TopicPartitionId id;
  const OffsetForLeaderEpochRequest::OffsetForLeaderPartition* partition;
  OffsetForLeaderEpochResponse::EpochEndOffset* answer;
};

// On the partition's shard.
void Answer(Broker& broker, const Asked& item) {
  const OffsetForLeaderEpochRequest::OffsetForLeaderPartition& asked = *item.partition;
  OffsetForLeaderEpochResponse::EpochEndOffset& answer = *item.answer;
  absl::StatusOr<Partition*> partition = HostedPartition(broker, item.id);
  absl::Status status = partition.ok()
                            ? (*partition)->CheckLeader(EpochFromWire(asked.current_leader_epoch))
                            : partition.status();
  if (!status.ok()) {
    answer.error_code = ErrorCode(status);
    return;
  }
  std::optional<LeaderEpoch> epoch = EpochFromWire(asked.leader_epoch);
  if (!epoch.has_value()) return;
  if (*epoch == (*partition)->leader_epoch()) {
    answer.leader_epoch = epoch->value();
    answer.end_offset = (*partition)->log().end_offset().value();
    return;
  }
  if (std::optional<EpochEnd> end = (*partition)->log().EndOffsetForEpoch(*epoch);
      end.has_value()) {
    answer.leader_epoch = end->epoch.value();
    answer.end_offset = end->end_offset.value();
  }
}

// Everything asked of one shard, there.
Task<void> AnswerAll(Broker* broker, const std::vector<Asked>* asked) {
  for (const Asked& one : *asked) Answer(*broker, one);
  co_return;
}

}  // namespace

Task<ApiReply> HandleOffsetForLeaderEpoch(Broker* broker, ApiRequest request) {
  absl::StatusOr<OffsetForLeaderEpochRequest> body =
      DecodeBody<OffsetForLeaderEpochRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  request.body = Slice();
  OffsetForLeaderEpochResponse response;
  std::map<ShardId, std::vector<LeadershipClaim>> claims;
  std::vector<std::vector<Asked>> by_shard(broker->shards.count());
  response.topics.resize(body->topics.size());
  for (size_t t = 0; t < body->topics.size(); ++t) {
    const auto& topic = body->topics[t];
    response.topics[t].topic = topic.topic;
    response.topics[t].partitions.resize(topic.partitions.size());  // Their addresses stay.
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const auto& asked = topic.partitions[p];
      OffsetForLeaderEpochResponse::EpochEndOffset* answer = &response.topics[t].partitions[p];
      answer->partition = asked.partition;
      absl::StatusOr<TopicPartitionId> id =
          ResolvePartition(*broker->image(), topic.topic, asked.partition);
      if (id.ok()) {
        const ShardId shard = broker->shards.Of(*id);
        by_shard[shard.value()].push_back({*id, &asked, answer});
        const std::optional<LeaderEpoch> epoch = EpochFromWire(asked.current_leader_epoch);
        if (epoch.has_value() && claims[shard].size() <= kClaimsMax) {
          claims[shard].push_back({*id, epoch});
        }
      } else {
        answer->error_code = ErrorCode(id.status());
      }
    }
  }
  co_await AwaitLeaderships(broker, std::move(claims), request.drain);
  co_await OnShards(broker, ShardsWith(by_shard), [&by_shard](Broker& there) {
    return AnswerAll(&there, &by_shard[there.env.reactor.shard().value()]);
  });
  co_return Reply(request, response);
}

}  // namespace millrace

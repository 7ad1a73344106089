// OffsetCommit (key 8), versions 2 to 10. A group stores how far it has read.
//
// Promises: partitions are independent. What was answered with NONE is committed, as an acks=all
//           append is, and survives what those survive. Offsets are not checked against the log.
// Errors:   per partition: UNKNOWN_TOPIC_OR_PARTITION (v10: UNKNOWN_TOPIC_ID), OFFSET_METADATA_TOO_LARGE,
//           UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS,
//           GROUP_ID_NOT_FOUND (a generation of a group that is no more; v9+, before
//           ILLEGAL_GENERATION), those of a coordinator.
// Source:   KIP-211 (no retention time from v5), KIP-848 (epochs); rules 9.1-9.3.
#include <algorithm>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/offset_commit_request.h"
#include "proto/kafka/offset_commit_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;
using kafka::OffsetCommitRequest;
using kafka::OffsetCommitResponse;

constexpr int16_t kEpochVersion = 9;
constexpr int16_t kTopicIdVersion = 10;

// One request on its way: what is unknown is answered here, the rest by the coordinator.
struct CommitRun {
  // Where a topic of `commit` stands in the response, and where each of its partitions does.
  struct Place {
    size_t topic;
    std::vector<size_t> partitions;
  };
  OffsetsToCommit commit;
  std::vector<Place> places;
  OffsetCommitResponse response;
};

CommitRun Plan(const MetadataImage& image, const ApiRequest& request, OffsetCommitRequest& body) {
  CommitRun run;
  run.commit.group_id = body.group_id;
  run.commit.owner = {{body.member_id, body.group_instance_id},
                      GenerationFromWire(body.generation_id_or_member_epoch)};
  if (body.retention_time_ms >= 0) run.commit.retention = milliseconds(body.retention_time_ms);
  run.commit.of_consumer_groups = request.version >= kEpochVersion;
  const bool by_id = request.version >= kTopicIdVersion;
  for (auto& topic : body.topics) {
    auto& answer = run.response.topics.emplace_back();
    answer.name = topic.name;
    answer.topic_id = topic.topic_id;
    const MetadataImage::Topic known =
        by_id ? image.FindTopic(topic.topic_id) : image.FindTopic(topic.name);
    const KafkaError unknown = by_id && known == nullptr ? KafkaError::kUnknownTopicId
                                                         : KafkaError::kUnknownTopicOrPartition;
    OffsetsToCommit::Topic commit;
    CommitRun::Place place{run.response.topics.size() - 1, {}};
    for (auto& partition : topic.partitions) {
      const PartitionId id(partition.partition_index);
      answer.partitions.push_back({partition.partition_index, ErrorCode(unknown)});
      if (known == nullptr || known->Find(id) == nullptr) continue;
      place.partitions.push_back(answer.partitions.size() - 1);
      commit.partitions.push_back({id, Offset(partition.committed_offset),
                                   EpochFromWire(partition.committed_leader_epoch),
                                   std::move(partition.committed_metadata).value_or("")});
    }
    if (commit.partitions.empty()) continue;
    commit.name = known->name;
    commit.topic_id = known->topic_id;
    run.commit.topics.push_back(std::move(commit));
    run.places.push_back(std::move(place));
  }
  return run;
}

}  // namespace

Task<ApiReply> HandleOffsetCommit(Broker* broker, ApiRequest request) {
  absl::StatusOr<OffsetCommitRequest> body = DecodeBody<OffsetCommitRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  CommitRun run = Plan(*broker->image(), request, *body);
  if (run.places.empty()) co_return Reply(request, run.response);
  CommittedOffsets committed;
  auto at = CoordinatorOf(*broker, run.commit.group_id);
  if (!at.has_value()) {
    committed.error = at.error();
  } else {
    committed = co_await AtCoordinator<CommittedOffsets>(
        broker, *at, request.cancel,
        [at = *at, commit = &run.commit](GroupService& groups, CancellationToken cancel) {
          return groups.Commit(at, *commit, cancel);
        });
  }
  for (size_t t = 0; t < run.places.size(); ++t) {
    auto& answer = run.response.topics[run.places[t].topic];
    for (size_t p = 0; p < run.places[t].partitions.size(); ++p) {
      const KafkaError error =
          committed.error != KafkaError::kNone ? committed.error : committed.partitions[t][p];
      answer.partitions[run.places[t].partitions[p]].error_code = ErrorCode(error);
    }
  }
  co_return Reply(request, run.response);
}

}  // namespace millrace

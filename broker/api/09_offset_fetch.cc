// OffsetFetch (key 9), versions 1 to 10. How far groups have read.
//
// Promises: only what is committed is told. A partition without an offset answers -1 and no error.
//           From v8 several groups, each with an answer of its own.
// Errors:   of a group: those of a coordinator; UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH where a member
//           is named (v9+). Before v8 of the request, before v2 of each partition. v10:
//           UNKNOWN_TOPIC_ID.
// Source:   KIP-447 (require_stable), KIP-709 (several groups), KIP-848; rules 9.4, 9.5.
#include <algorithm>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/offset_fetch_request.h"
#include "proto/kafka/offset_fetch_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;
using kafka::OffsetFetchRequest;
using kafka::OffsetFetchResponse;

constexpr int16_t kSeveralGroupsVersion = 8;
constexpr int16_t kTopicIdVersion = 10;
constexpr int16_t kRequestErrorVersion = 2;

std::vector<PartitionId> Partitions(const std::vector<int32_t>& indexes) {
  std::vector<PartitionId> partitions;
  partitions.reserve(indexes.size());
  for (int32_t index : indexes) partitions.emplace_back(index);
  return partitions;
}

// Fills an answer's partitions: of either layout, their fields are the same.
template <typename Partition>
std::vector<Partition> ToWire(const std::vector<FetchedOffsets::Partition>& fetched) {
  std::vector<Partition> answers;
  answers.reserve(fetched.size());
  for (const FetchedOffsets::Partition& one : fetched) {
    Partition& answer = answers.emplace_back();
    answer.partition_index = one.partition.value();
    answer.committed_offset = one.committed.has_value() ? one.committed->offset.value() : -1;
    answer.committed_leader_epoch = one.committed.has_value() && one.committed->leader_epoch
                                        ? one.committed->leader_epoch->value()
                                        : -1;
    answer.metadata = one.committed.has_value() ? one.committed->metadata : "";
  }
  return answers;
}

Task<FetchedOffsets> FetchOne(Broker* broker, OffsetsToFetch fetch, CancellationToken cancel) {
  auto at = CoordinatorOf(*broker, fetch.group_id);
  if (!at.has_value()) co_return FetchedOffsets{at.error()};
  co_return co_await AtCoordinator<FetchedOffsets>(
      broker, *at, cancel, [at = *at, &fetch](GroupService& groups, CancellationToken) {
        return groups.Fetch(at, fetch);
      });
}

// --- Before v8: one group ------------------------------------------------------------------------

Task<OffsetFetchResponse> AnswerOne(Broker* broker, const ApiRequest* request,
                                    const OffsetFetchRequest* body) {
  OffsetsToFetch fetch;
  fetch.group_id = body->group_id;
  fetch.require_stable = body->require_stable;
  if (body->topics.has_value()) {
    fetch.topics.emplace();
    for (const auto& topic : *body->topics) {
      fetch.topics->push_back({topic.name, Partitions(topic.partition_indexes)});
    }
  }
  FetchedOffsets fetched = co_await FetchOne(broker, std::move(fetch), request->cancel);
  OffsetFetchResponse response;
  response.error_code = ErrorCode(fetched.error);
  if (fetched.error != KafkaError::kNone && request->version < kRequestErrorVersion) {
    // There is no other place for it.
    for (const auto& topic :
         body->topics.value_or(std::vector<OffsetFetchRequest::OffsetFetchRequestTopic>())) {
      auto& answer = response.topics.emplace_back();
      answer.name = topic.name;
      for (int32_t index : topic.partition_indexes) {
        auto& partition = answer.partitions.emplace_back();
        partition.partition_index = index;
        partition.committed_offset = -1;
        partition.metadata = "";
        partition.error_code = ErrorCode(fetched.error);
      }
    }
    co_return response;
  }
  for (FetchedOffsets::Topic& topic : fetched.topics) {
    response.topics.push_back(
        {std::move(topic.name),
         ToWire<OffsetFetchResponse::OffsetFetchResponsePartition>(topic.partitions)});
  }
  co_return response;
}

// --- From v8 on: several ---------------------------------------------------------------------------

using GroupAsked = OffsetFetchRequest::OffsetFetchRequestGroup;
using GroupAnswer = OffsetFetchResponse::OffsetFetchResponseGroup;
using TopicAnswer = OffsetFetchResponse::OffsetFetchResponseTopics;
using PartitionAnswer = OffsetFetchResponse::OffsetFetchResponsePartitions;

TopicAnswer UnknownTopic(const OffsetFetchRequest::OffsetFetchRequestTopics& asked) {
  TopicAnswer answer;
  answer.topic_id = asked.topic_id;
  for (int32_t index : asked.partition_indexes) {
    PartitionAnswer& partition = answer.partitions.emplace_back();
    partition.partition_index = index;
    partition.committed_offset = -1;
    partition.metadata = "";
    partition.error_code = ErrorCode(KafkaError::kUnknownTopicId);
  }
  return answer;
}

Task<GroupAnswer> AnswerGroup(Broker* broker, const ApiRequest* request, const GroupAsked* asked,
                              bool require_stable) {
  const std::shared_ptr<const MetadataImage> image = broker->image();
  const bool by_id = request->version >= kTopicIdVersion;
  GroupAnswer answer;
  answer.group_id = asked->group_id;
  OffsetsToFetch fetch;
  fetch.group_id = asked->group_id;
  fetch.owner = {{asked->member_id.value_or(""), std::nullopt},
                 GenerationFromWire(asked->member_epoch)};
  fetch.require_stable = require_stable;
  if (asked->topics.has_value()) {
    fetch.topics.emplace();
    for (const auto& topic : *asked->topics) {
      if (!by_id) {
        fetch.topics->push_back({topic.name, Partitions(topic.partition_indexes)});
      } else if (MetadataImage::Topic known = image->FindTopic(topic.topic_id)) {
        fetch.topics->push_back({known->name, Partitions(topic.partition_indexes)});
      } else {
        answer.topics.push_back(UnknownTopic(topic));
      }
    }
  }
  FetchedOffsets fetched = co_await FetchOne(broker, std::move(fetch), request->cancel);
  answer.error_code = ErrorCode(fetched.error);
  if (fetched.error != KafkaError::kNone) answer.topics.clear();
  for (FetchedOffsets::Topic& topic : fetched.topics) {
    TopicAnswer& told = answer.topics.emplace_back();
    if (by_id) {
      const MetadataImage::Topic known = image->FindTopic(topic.name);
      if (known != nullptr) told.topic_id = known->topic_id;
    } else {
      told.name = std::move(topic.name);
    }
    told.partitions = ToWire<PartitionAnswer>(topic.partitions);
  }
  co_return answer;
}

}  // namespace

Task<ApiReply> HandleOffsetFetch(Broker* broker, ApiRequest request) {
  absl::StatusOr<OffsetFetchRequest> body = DecodeBody<OffsetFetchRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  if (request.version < kSeveralGroupsVersion) {
    co_return Reply(request, co_await AnswerOne(broker, &request, &*body));
  }
  OffsetFetchResponse response;
  for (const GroupAsked& asked : body->groups) {
    if (request.cancel.cancelled()) break;
    response.groups.push_back(co_await AnswerGroup(broker, &request, &asked, body->require_stable));
  }
  co_return Reply(request, response);
}

}  // namespace millrace

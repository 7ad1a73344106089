#include "cli/client/partition_offsets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"

namespace millrace {
namespace {

using ByLeader = std::map<BrokerId, std::vector<TopicPartition>>;

std::vector<std::string> TopicsOf(const std::set<TopicPartition>& partitions) {
  std::vector<std::string> topics;
  for (const TopicPartition& place : partitions) {
    if (topics.empty() || topics.back() != place.topic) topics.push_back(place.topic);
  }
  return topics;
}

// Puts each partition to its leader, or says in `listed` why it has none.
ByLeader Divide(const std::set<TopicPartition>& partitions, const kafka::MetadataResponse& metadata,
                ListedOffsets& listed) {
  std::map<TopicPartition, int32_t> leaders;
  std::map<std::string, absl::Status> topics;
  for (const auto& topic : metadata.topics) {
    const std::string name = topic.name.value_or("");
    topics[name] = topic.error_code == 0 ? absl::OkStatus() : KafkaFailure(topic.error_code);
    for (const auto& partition : topic.partitions) {
      leaders[{name, PartitionId(partition.partition_index)}] = partition.leader_id;
    }
  }
  ByLeader by_leader;
  for (const TopicPartition& place : partitions) {
    auto topic = topics.find(place.topic);
    auto leader = leaders.find(place);
    if (topic != topics.end() && !topic->second.ok()) {
      listed.insert_or_assign(place, topic->second);
    } else if (leader == leaders.end()) {
      listed.insert_or_assign(
          place, absl::NotFoundError(fmt::format("there is no partition {}", place.partition)));
    } else if (leader->second < 0) {
      listed.insert_or_assign(place, absl::UnavailableError(fmt::format(
                                         "partition {} has no leader", place.partition)));
    } else {
      by_leader[BrokerId(leader->second)].push_back(place);
    }
  }
  return by_leader;
}

kafka::ListOffsetsRequest RequestFor(const std::vector<TopicPartition>& partitions,
                                     int64_t timestamp) {
  kafka::ListOffsetsRequest request;
  request.replica_id = -1;
  for (const TopicPartition& place : partitions) {
    if (request.topics.empty() || request.topics.back().name != place.topic) {
      request.topics.push_back({place.topic, {}});
    }
    request.topics.back().partitions.push_back({place.partition.value(), -1, timestamp, 1});
  }
  return request;
}

// Takes the answered partitions out of `left`, but for those whose leader has moved.
absl::Status TakeAnswer(const kafka::ListOffsetsResponse& response, std::set<TopicPartition>& left,
                        ListedOffsets& listed) {
  absl::Status again;
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      const TopicPartition place{topic.name, PartitionId(partition.partition_index)};
      if (partition.error_code != 0) {
        absl::Status failed = KafkaFailure(partition.error_code);
        if (IsRetriable(failed)) {
          again = std::move(failed);
          continue;
        }
        listed.insert_or_assign(place, std::move(failed));
      } else if (partition.offset < 0) {
        listed.insert_or_assign(place, std::nullopt);
      } else {
        listed.insert_or_assign(place, std::optional(Offset(partition.offset)));
      }
      left.erase(place);
    }
  }
  return again;
}

}  // namespace

Task<absl::StatusOr<ListedOffsets>> ListOffsetsOf(KafkaClient& client,
                                                  std::vector<TopicPartition> partitions,
                                                  int64_t timestamp, Instant deadline) {
  std::set<TopicPartition> left(partitions.begin(), partitions.end());
  ListedOffsets listed;
  while (!left.empty()) {
    MR_CO_ASSIGN_OR_RETURN(const kafka::MetadataResponse metadata,
                           co_await client.Metadata(TopicsOf(left), false, deadline));
    const ByLeader by_leader = Divide(left, metadata, listed);
    for (const auto& [place, offset] : listed) left.erase(place);
    absl::Status again;
    for (const auto& [leader, places] : by_leader) {
      absl::StatusOr<kafka::ListOffsetsResponse> response =
          co_await client.CallBroker<kafka::ListOffsetsResponse>(
              leader, RequestFor(places, timestamp), deadline);
      absl::Status taken = response.ok() ? TakeAnswer(*response, left, listed) : response.status();
      if (!taken.ok()) again = std::move(taken);
    }
    if (left.empty()) break;
    if (again.ok()) again = absl::UnavailableError("the answer to ListOffsets left something out");
    MR_CO_RETURN_IF_ERROR(co_await client.Backoff(again, deadline));
  }
  co_return listed;
}

Task<absl::StatusOr<TopicSizes>> AskTopicSizes(KafkaClient& client, std::vector<std::string> topics,
                                               Instant deadline) {
  TopicSizes counts;
  if (topics.empty()) co_return counts;
  MR_CO_ASSIGN_OR_RETURN(const kafka::MetadataResponse metadata,
                         co_await client.Metadata(std::move(topics), false, deadline));
  for (const auto& topic : metadata.topics) {
    absl::StatusOr<int32_t> count = static_cast<int32_t>(topic.partitions.size());
    if (topic.error_code != 0) count = KafkaFailure(topic.error_code);
    counts.insert_or_assign(topic.name.value_or(""), std::move(count));
  }
  co_return counts;
}

}  // namespace millrace

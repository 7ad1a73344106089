#include "cli/client/record_times.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/fetched_records.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"

namespace millrace {
namespace {

struct Led {
  TopicId topic_id{0, 0};
  BrokerId leader{0};
};

Task<absl::StatusOr<std::map<TopicPartition, Led>>> FindLeaders(
    KafkaClient& client, std::set<std::string> topics,
    Instant deadline) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(
      const kafka::MetadataResponse metadata,
      co_await client.Metadata(std::vector<std::string>(topics.begin(), topics.end()), false,
                               deadline));
  std::map<TopicPartition, Led> leaders;
  for (const auto& topic : metadata.topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.leader_id < 0) continue;
      leaders.insert_or_assign({topic.name.value_or(""), PartitionId(partition.partition_index)},
                               Led{topic.topic_id, BrokerId(partition.leader_id)});
    }
  }
  co_return leaders;
}

kafka::FetchRequest RequestFor(const TopicPartition& place, const TopicId& topic_id, Offset from) {
  kafka::FetchRequest request;
  request.max_wait_ms = 0;
  request.min_bytes = 0;
  request.max_bytes = 1;  // The first batch comes all the same.
  kafka::FetchRequest::FetchTopic topic{place.topic, topic_id, {}};
  kafka::FetchRequest::FetchPartition wanted;
  wanted.partition = place.partition.value();
  wanted.fetch_offset = from.value();
  wanted.partition_max_bytes = 1;
  topic.partitions.push_back(wanted);
  request.topics.push_back(std::move(topic));
  return request;
}

std::optional<Timestamp> FirstTime(const kafka::FetchResponse& response, Offset from) {
  if (response.error_code != 0 || response.responses.size() != 1) return std::nullopt;
  const auto& partitions = response.responses.front().partitions;
  if (partitions.size() != 1 || partitions.front().error_code != 0) return std::nullopt;
  FetchedRecords records(partitions.front().records.value_or(Chain()).Flatten(), from);
  FetchedRecord record;
  const absl::StatusOr<bool> found = records.Next(record);
  if (!found.ok() || !*found || record.timestamp < Timestamp(0)) return std::nullopt;
  return record.timestamp;
}

struct Wanted {
  RecordPlace place;
  TopicId topic_id{0, 0};
};

// What its answers say goes into `times`; `cancelled`: how it ends early, if it does.
Task<void> AskLeader(KafkaClient* client, BrokerId leader, std::vector<Wanted> wanted,
                     Instant deadline, RecordTimes* times, absl::Status* cancelled) {
  for (const Wanted& one : wanted) {
    const auto& [partition, offset] = one.place;
    absl::StatusOr<kafka::FetchResponse> response =
        co_await client->CallBroker<kafka::FetchResponse>(
            leader, RequestFor(partition, one.topic_id, offset), deadline);
    if (absl::IsCancelled(response.status())) {
      *cancelled = response.status();
      co_return;
    }
    if (!response.ok()) continue;
    if (const std::optional<Timestamp> time = FirstTime(*response, offset); time.has_value()) {
      times->insert_or_assign(one.place, *time);
    }
  }
}

}  // namespace

Task<absl::StatusOr<RecordTimes>> RecordTimesAt(KafkaClient& client, std::set<RecordPlace> places,
                                                Instant deadline) {
  RecordTimes times;
  if (places.empty()) co_return times;
  std::set<std::string> topics;
  for (const auto& [partition, offset] : places) topics.insert(partition.topic);
  MR_CO_ASSIGN_OR_RETURN(const auto leaders,
                         co_await FindLeaders(client, std::move(topics), deadline));
  std::map<BrokerId, std::vector<Wanted>> by_leader;
  for (const RecordPlace& place : places) {
    const auto led = leaders.find(place.first);
    if (led == leaders.end()) continue;
    by_leader[led->second.leader].push_back({place, led->second.topic_id});
  }
  absl::Status cancelled;
  TaskScope scope(client.env().reactor);
  for (auto& [leader, wanted] : by_leader) {
    scope.Spawn(AskLeader(&client, leader, std::move(wanted), deadline, &times, &cancelled));
  }
  co_await scope.Join();
  co_await scope.Stop();
  if (!cancelled.ok()) co_return cancelled;
  co_return times;
}

}  // namespace millrace

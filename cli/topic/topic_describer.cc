#include "cli/topic/topic_describer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/status_macros.h"
#include "proto/kafka/describe_configs_request.h"
#include "proto/kafka/describe_configs_response.h"
#include "proto/kafka/describe_topic_partitions_request.h"
#include "proto/kafka/describe_topic_partitions_response.h"

namespace millrace {
namespace {

constexpr int8_t kTopicResource = 2;
// What DescribeConfigs calls a value that nobody has set.
constexpr int8_t kDefaultConfig = 5;
// Of topics in one request.
constexpr size_t kNamesMax = 500;

std::vector<BrokerId> BrokersOf(const std::vector<int32_t>& wire) {
  std::vector<BrokerId> brokers;
  for (int32_t id : wire) brokers.emplace_back(id);
  return brokers;
}

std::optional<std::vector<BrokerId>> BrokersOf(const std::optional<std::vector<int32_t>>& wire) {
  if (!wire.has_value()) return std::nullopt;
  return BrokersOf(*wire);
}

// What the two APIs that describe partitions have in common.
template <typename Partition>
PartitionDescription Describe(const Partition& partition) {
  PartitionDescription description;
  description.id = PartitionId(partition.partition_index);
  if (partition.leader_id >= 0) description.leader = BrokerId(partition.leader_id);
  description.replicas = BrokersOf(partition.replica_nodes);
  description.in_sync = BrokersOf(partition.isr_nodes);
  return description;
}

template <typename Topic>
TopicDescription& Entry(const Topic& topic, std::map<std::string, TopicDescription>& topics) {
  TopicDescription& description = topics[topic.name.value_or("")];
  description.name = topic.name.value_or("");
  if (!topic.topic_id.is_zero()) description.id = topic.topic_id;
  description.internal = topic.is_internal;
  return description;
}

void AddFailure(const std::string& topic, int16_t code, DescribedTopics& result) {
  result.failures.push_back(
      fmt::format("{}: {}", topic, std::string(KafkaFailure(code).message())));
}

using Topics = std::map<std::string, TopicDescription>;

// A page may end inside a topic, and the next goes on there.
Task<absl::Status> AskPartitions(KafkaClient& client, std::vector<std::string> names,
                                 Instant deadline, Topics& topics,
                                 DescribedTopics& result) {  // Borrowed: awaited in place.
  kafka::DescribeTopicPartitionsRequest request;
  for (std::string& name : names) request.topics.push_back({std::move(name)});
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(
        kafka::DescribeTopicPartitionsResponse response,
        co_await client.CallAny<kafka::DescribeTopicPartitionsResponse>(request, deadline));
    for (const auto& topic : response.topics) {
      if (topic.error_code != 0) {
        AddFailure(topic.name.value_or(""), topic.error_code, result);
        continue;
      }
      TopicDescription& description = Entry(topic, topics);
      for (const auto& partition : topic.partitions) {
        PartitionDescription described = Describe(partition);
        described.eligible = BrokersOf(partition.eligible_leader_replicas);
        described.last_known_eligible = BrokersOf(partition.last_known_elr);
        description.partitions.push_back(std::move(described));
      }
    }
    if (!response.next_cursor.has_value()) co_return absl::OkStatus();
    const std::optional<kafka::DescribeTopicPartitionsRequest::Cursor> next(
        {response.next_cursor->topic_name, response.next_cursor->partition_index});
    if (request.cursor == next) co_return absl::DataLossError("the broker repeats a page");
    request.cursor = next;
  }
}

// For brokers from before KIP-966.
Task<absl::Status> AskMetadata(KafkaClient& client, std::vector<std::string> names,
                               Instant deadline, Topics& topics,
                               DescribedTopics& result) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(kafka::MetadataResponse response,
                         co_await client.Metadata(std::move(names), false, deadline));
  for (const auto& topic : response.topics) {
    if (topic.error_code != 0) {
      AddFailure(topic.name.value_or(""), topic.error_code, result);
      continue;
    }
    TopicDescription& description = Entry(topic, topics);
    for (const auto& partition : topic.partitions) {
      description.partitions.push_back(Describe(partition));
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AskConfigs(KafkaClient& client, std::vector<std::string> names, Instant deadline,
                              Topics& topics,
                              DescribedTopics& result) {  // Borrowed: awaited in place.
  kafka::DescribeConfigsRequest request;
  for (std::string& name : names) {
    request.resources.push_back({kTopicResource, std::move(name), std::nullopt});
  }
  MR_CO_ASSIGN_OR_RETURN(
      kafka::DescribeConfigsResponse response,
      co_await client.CallAny<kafka::DescribeConfigsResponse>(request, deadline));
  for (const auto& resource : response.results) {
    auto topic = topics.find(resource.resource_name);
    if (topic == topics.end()) continue;
    if (resource.error_code != 0) {
      AddFailure(resource.resource_name, resource.error_code, result);
      continue;
    }
    for (const auto& config : resource.configs) {
      if (config.config_source == kDefaultConfig || config.is_default) continue;
      topic->second.configs.push_back({config.name, config.value.value_or("")});
    }
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::vector<std::string>>> AllNames(
    KafkaClient& client, bool internal, Instant deadline) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(kafka::MetadataResponse response,
                         co_await client.Metadata(std::nullopt, false, deadline));
  std::vector<std::string> names;
  for (const auto& topic : response.topics) {
    if (topic.is_internal && !internal) continue;
    names.push_back(topic.name.value_or(""));
  }
  co_return names;
}

}  // namespace

Task<absl::StatusOr<DescribedTopics>> DescribeTopicsOf(KafkaClient& client,
                                                       std::vector<std::string> names,
                                                       bool internal, Instant deadline) {
  if (names.empty()) {
    MR_CO_ASSIGN_OR_RETURN(names, co_await AllNames(client, internal, deadline));
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  DescribedTopics result;
  Topics topics;
  for (size_t begin = 0; begin < names.size(); begin += kNamesMax) {
    const size_t end = std::min(begin + kNamesMax, names.size());
    const std::vector<std::string> some(names.begin() + static_cast<std::ptrdiff_t>(begin),
                                        names.begin() + static_cast<std::ptrdiff_t>(end));
    absl::Status asked = co_await AskPartitions(client, some, deadline, topics, result);
    if (absl::IsUnimplemented(asked)) {
      asked = co_await AskMetadata(client, some, deadline, topics, result);
    }
    MR_CO_RETURN_IF_ERROR(asked);
    std::vector<std::string> found;
    for (const std::string& name : some) {
      if (topics.contains(name)) found.push_back(name);
    }
    if (found.empty()) continue;
    asked = co_await AskConfigs(client, std::move(found), deadline, topics, result);
    // The layout has a place for configuration; without it the rest is still worth seeing.
    if (!asked.ok() && !absl::IsUnimplemented(asked)) co_return asked;
  }
  for (auto& [name, topic] : topics) {
    std::ranges::sort(topic.partitions, {}, &PartitionDescription::id);
    result.topics.push_back(std::move(topic));
  }
  co_return result;
}

}  // namespace millrace

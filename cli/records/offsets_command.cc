// `millrace topic offsets [NAME...]`: where partitions begin, end, or were at a time.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"

namespace millrace {
namespace {

struct OffsetsArguments {
  ClientArguments client;
  std::vector<std::string> topics;
  std::vector<std::string> topic_partitions;  // TOPIC:PARTITION
  std::vector<int32_t> partitions;
  std::string time = "latest";
  bool internal = false;
  bool kafka = false;  // TOPIC:PARTITION:OFFSET, as kafka-get-offsets.
};

struct PlaceOffset {
  std::string topic;
  PartitionId partition{0};
  std::optional<int64_t> offset;
};

// ListOffsets' special timestamps, by the names and numbers of kafka-get-offsets.
std::optional<int64_t> ParseTime(const std::string& text) {
  static const std::map<std::string, int64_t> kNames = {
      {"latest", -1},       {"end", -1},           {"earliest", -2},
      {"beginning", -2},    {"max-timestamp", -3}, {"earliest-local", -4},
      {"latest-tiered", -5}};
  if (auto found = kNames.find(text); found != kNames.end()) return found->second;
  int64_t time = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), time);
  if (error != std::errc() || end != text.data() + text.size() || time < -6) return std::nullopt;
  return time;
}

Task<absl::Status> AskLeader(ClientSession* session, std::string topic, BrokerId leader,
                             std::vector<PartitionId> partitions, int64_t time,
                             std::vector<PlaceOffset>* found) {
  kafka::ListOffsetsRequest request;
  request.replica_id = -1;
  request.topics.emplace_back();
  request.topics.back().name = topic;
  for (PartitionId partition : partitions) {
    kafka::ListOffsetsRequest::ListOffsetsPartition one;
    one.partition_index = partition.value();
    one.timestamp = time;
    request.topics.back().partitions.push_back(one);
  }
  absl::StatusOr<kafka::ListOffsetsResponse> response =
      co_await session->client.CallBroker<kafka::ListOffsetsResponse>(leader, std::move(request),
                                                                      session->Deadline());
  if (!response.ok()) co_return response.status();
  for (const auto& answered : response->topics) {
    for (const auto& partition : answered.partitions) {
      if (partition.error_code != 0) co_return KafkaFailure(partition.error_code);
      found->push_back({topic, PartitionId(partition.partition_index),
                        partition.offset < 0 ? std::nullopt : std::optional(partition.offset)});
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AskTopic(ClientSession* session, const OffsetsArguments* arguments,
                            std::string topic, std::vector<PlaceOffset>* found) {
  for (;;) {
    absl::StatusOr<TopicView> view =
        co_await session->client.Topic(topic, /*create=*/false, session->Deadline());
    if (!view.ok()) co_return view.status();
    std::map<BrokerId, std::vector<PartitionId>> by_leader;
    absl::Status status;
    for (const TopicView::Partition& partition : view->partitions) {
      const bool wanted = (arguments->partitions.empty() && arguments->topic_partitions.empty()) ||
                          std::ranges::find(arguments->partitions, partition.id.value()) !=
                              arguments->partitions.end() ||
                          std::ranges::find(arguments->topic_partitions,
                                            fmt::format("{}:{}", topic, partition.id)) !=
                              arguments->topic_partitions.end();
      if (!wanted) continue;
      if (partition.leader.has_value()) {
        by_leader[*partition.leader].push_back(partition.id);
      } else {
        status = absl::UnavailableError(fmt::format("partition {} has no leader", partition.id));
      }
    }
    std::vector<PlaceOffset> places;
    for (auto& [leader, partitions] : by_leader) {
      if (!status.ok()) break;
      status = co_await AskLeader(session, topic, leader, partitions, *ParseTime(arguments->time),
                                  &places);
    }
    if (status.ok()) {
      found->insert(found->end(), places.begin(), places.end());
      co_return status;
    }
    if (!IsRetriable(status)) co_return status;
    status = co_await session->client.Backoff(status, session->Deadline());
    if (!status.ok()) co_return status;
  }
}

std::string Text(const std::vector<PlaceOffset>& places, const OffsetsArguments& arguments) {
  if (arguments.client.json()) {
    JsonWriter json;
    json.BeginArray();
    for (const PlaceOffset& place : places) {
      json.BeginObject().Key("topic").String(place.topic);
      json.Key("partition").Number(place.partition.value());
      json.Key("offset").OptionalNumber(place.offset).EndObject();
    }
    return json.EndArray().Take() + "\n";
  }
  std::string lines;
  TextTable table({{"TOPIC", TextTable::Align::kLeft},
                   {"PARTITION", TextTable::Align::kRight},
                   {"OFFSET", TextTable::Align::kRight}});
  for (const PlaceOffset& place : places) {
    const std::string offset =
        place.offset.has_value() ? fmt::format("{}", *place.offset) : std::string();
    if (!offset.empty()) lines += fmt::format("{}:{}:{}\n", place.topic, place.partition, offset);
    table.AddRow({place.topic, fmt::format("{}", place.partition), offset});
  }
  return arguments.kafka ? lines : table.ToString();
}

Task<int> ShowOffsets(ClientSession* session, std::shared_ptr<OffsetsArguments> arguments) {
  std::vector<std::string> topics = arguments->topics;
  for (const std::string& place : arguments->topic_partitions) {
    topics.push_back(place.substr(0, place.rfind(':')));
  }
  if (topics.empty()) {
    absl::StatusOr<kafka::MetadataResponse> response =
        co_await session->client.Metadata(std::nullopt, /*create=*/false, session->Deadline());
    if (!response.ok()) {
      PrintError(response.status());
      co_return kExitFailed;
    }
    for (const auto& topic : response->topics) {
      if (topic.name.has_value() && (!topic.is_internal || arguments->internal)) {
        topics.push_back(*topic.name);
      }
    }
  }
  std::ranges::sort(topics);
  topics.erase(std::ranges::unique(topics).begin(), topics.end());
  std::vector<PlaceOffset> places;
  int exit_status = kExitOk;
  for (const std::string& topic : topics) {
    absl::Status status = co_await AskTopic(session, arguments.get(), topic, &places);
    if (status.ok()) continue;
    PrintError(fmt::format("{}: {}", topic, std::string(status.message())));
    exit_status = kExitFailed;
  }
  std::ranges::sort(
      places, {}, [](const PlaceOffset& place) { return std::pair(place.topic, place.partition); });
  PrintOutput(Text(places, *arguments));
  co_return exit_status;
}

std::string CheckTopicPartition(const std::string& text) {
  return text.rfind(':') == std::string::npos || text.rfind(':') == 0
             ? fmt::format("'{}' is not TOPIC:PARTITION", text)
             : std::string();
}

}  // namespace

void AddTopicOffsetsCommand(Command& topic, ChosenCommand& chosen) {
  auto arguments = std::make_shared<OffsetsArguments>();
  Command verb = topic.AddVerb("offsets", "Show where partitions end, begin, or were at a time");
  verb.AddOption("NAME", arguments->topics, "Topics; none: all").TypeName("");
  verb.AddOption("--partitions", arguments->partitions, "Only these")
      .TypeName("N,...")
      .Delimiter(',')
      .NotNegative();
  verb.AddOption("--topic-partitions", arguments->topic_partitions, "Only these")
      .TypeName("TOPIC:N,...")
      .Delimiter(',')
      .Check(CheckTopicPartition);
  verb.AddOption("--time", arguments->time,
                 "latest, earliest, max-timestamp, or milliseconds since 1970")
      .TypeName("WHEN")
      .ShowDefault()
      .Check([](const std::string& text) {
        return ParseTime(text).has_value() ? std::string() : fmt::format("'{}' is no time", text);
      });
  verb.AddFlag("--internal", arguments->internal,
               "Without NAME: also topics that the cluster keeps for itself");
  verb.AddFlag("--kafka", arguments->kafka, "As kafka-get-offsets prints them");
  AddClientOptions(verb, arguments->client);
  verb.OnChosen([arguments, &chosen] {
    chosen = [arguments] {
      return RunClientVerb(arguments->client, [arguments](ClientSession* session) {
        return ShowOffsets(session, arguments);
      });
    };
  });
}

}  // namespace millrace

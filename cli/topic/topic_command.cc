// `millrace topic create|list|describe|alter|delete`.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/text_table.h"
#include "cli/topic/topic_alter.h"
#include "cli/topic/topic_describer.h"
#include "common/json/json_writer.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/delete_topics_request.h"
#include "proto/kafka/delete_topics_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

struct TopicArguments {
  ClientArguments client;
  std::vector<std::string> names;
  int32_t partitions = -1;  // The broker's default, as of the replication factor.
  int16_t replication_factor = -1;
  std::vector<std::string> configs;
  bool if_not_exists = false;
  bool if_exists = false;
  bool internal = false;
  bool only_names = false;
  bool under_replicated = false;
  bool unavailable = false;
};

// What became of one name of several.
struct ItemResult {
  std::string topic;
  std::string done;  // "created", "exists", ...; empty when it failed.
  absl::Status status;
  std::optional<TopicId> id;
};

std::optional<TopicId> IdOf(Uuid wire) {
  return wire.is_zero() ? std::nullopt : std::optional(wire);
}

int32_t ToMilliseconds(Duration duration) {
  const int64_t ms = std::chrono::duration_cast<milliseconds>(duration).count();
  return static_cast<int32_t>(std::min<int64_t>(ms, INT32_MAX));
}

// Failures go to stderr, each on a line; what went well to stdout, in words or as an array.
int Report(const std::vector<ItemResult>& results, bool json_output) {
  int exit_status = kExitOk;
  std::string text;
  JsonWriter json;
  json.BeginArray();
  for (const ItemResult& result : results) {
    const std::string message(result.status.message());
    json.BeginObject().Key("topic").String(result.topic);
    if (result.status.ok()) {
      json.Key("result").String(result.done);
      if (result.id.has_value()) json.Key("id").String(result.id->ToString());
      text += result.done == "created"   ? fmt::format("Created topic {}.\n", result.topic)
              : result.done == "deleted" ? fmt::format("Deleted topic {}.\n", result.topic)
                                         : "";
    } else {
      exit_status = kExitFailed;
      json.Key("error").String(message);
      PrintError(fmt::format("{}: {}", result.topic, message));
    }
    json.EndObject();
  }
  json.EndArray();
  PrintOutput(json_output ? json.text() + "\n" : text);
  return exit_status;
}

Task<int> CreateTopics(ClientSession* session, std::shared_ptr<TopicArguments> arguments) {
  kafka::CreateTopicsRequest request;
  request.timeout_ms = ToMilliseconds(session->timeout);
  for (const std::string& name : arguments->names) {
    kafka::CreateTopicsRequest::CreatableTopic topic;
    topic.name = name;
    topic.num_partitions = arguments->partitions;
    topic.replication_factor = arguments->replication_factor;
    for (const std::string& config : arguments->configs) {
      const size_t equals = config.find('=');
      topic.configs.push_back({config.substr(0, equals), config.substr(equals + 1)});
    }
    request.topics.push_back(std::move(topic));
  }
  absl::StatusOr<kafka::CreateTopicsResponse> response =
      co_await session->client.CallAny<kafka::CreateTopicsResponse>(std::move(request),
                                                                    session->Deadline());
  if (!response.ok()) {
    PrintError(response.status());
    co_return kExitFailed;
  }
  std::vector<ItemResult> results;
  for (const auto& topic : response->topics) {
    ItemResult result{topic.name, "created", absl::OkStatus(), IdOf(topic.topic_id)};
    const bool exists =
        static_cast<KafkaError>(topic.error_code) == KafkaError::kTopicAlreadyExists;
    if (exists && arguments->if_not_exists) {
      result.done = "exists";
    } else if (topic.error_code != 0) {
      result.status = KafkaFailure(topic.error_code, topic.error_message);
    }
    results.push_back(std::move(result));
  }
  co_return Report(results, arguments->client.json());
}

Task<int> DeleteTopics(ClientSession* session, std::shared_ptr<TopicArguments> arguments) {
  absl::StatusOr<KafkaConnection*> connection =
      co_await session->client.AnyBroker(session->Deadline());
  if (!connection.ok()) {
    PrintError(connection.status());
    co_return kExitFailed;
  }
  constexpr int16_t kFirstWithStates = 6;
  absl::StatusOr<int16_t> version = (*connection)->VersionOf<kafka::DeleteTopicsRequest>();
  kafka::DeleteTopicsRequest request;
  request.timeout_ms = ToMilliseconds(session->timeout);
  for (const std::string& name : arguments->names) {
    if (version.ok() && *version >= kFirstWithStates) {
      request.topics.push_back({name, Uuid(0, 0)});
    } else {
      request.topic_names.push_back(name);
    }
  }
  absl::StatusOr<kafka::DeleteTopicsResponse> response =
      co_await session->client.CallAny<kafka::DeleteTopicsResponse>(std::move(request),
                                                                    session->Deadline());
  if (!response.ok()) {
    PrintError(response.status());
    co_return kExitFailed;
  }
  std::vector<ItemResult> results;
  for (const auto& topic : response->responses) {
    ItemResult result{topic.name.value_or(""), "deleted", absl::OkStatus(), IdOf(topic.topic_id)};
    const bool unknown =
        static_cast<KafkaError>(topic.error_code) == KafkaError::kUnknownTopicOrPartition;
    if (unknown && arguments->if_exists) {
      result.done = "absent";
    } else if (topic.error_code != 0) {
      result.status = KafkaFailure(topic.error_code, topic.error_message);
    }
    results.push_back(std::move(result));
  }
  co_return Report(results, arguments->client.json());
}

Task<int> ListTopics(ClientSession* session, std::shared_ptr<TopicArguments> arguments) {
  absl::StatusOr<kafka::MetadataResponse> response =
      co_await session->client.Metadata(std::nullopt, /*create=*/false, session->Deadline());
  if (!response.ok()) {
    PrintError(response.status());
    co_return kExitFailed;
  }
  auto topics = std::move(response->topics);
  std::ranges::sort(topics, {}, [](const auto& topic) { return topic.name.value_or(""); });
  int exit_status = kExitOk;
  TextTable table({{"TOPIC", TextTable::Align::kLeft},
                   {"PARTITIONS", TextTable::Align::kRight},
                   {"REPLICAS", TextTable::Align::kRight}});
  std::string lines;
  JsonWriter json;
  json.BeginArray();
  for (const auto& topic : topics) {
    const std::string name = topic.name.value_or("");
    if (topic.error_code != 0) {
      PrintError(
          fmt::format("{}: {}", name, std::string(KafkaFailure(topic.error_code).message())));
      exit_status = kExitFailed;
      continue;
    }
    if (topic.is_internal && !arguments->internal) continue;
    const size_t replicas =
        topic.partitions.empty() ? 0 : topic.partitions.front().replica_nodes.size();
    lines += name + "\n";
    table.AddRow({name, fmt::format("{}", topic.partitions.size()), fmt::format("{}", replicas)});
    json.BeginObject().Key("topic").String(name);
    if (!topic.topic_id.is_zero()) json.Key("id").String(topic.topic_id.ToString());
    json.Key("internal").Bool(topic.is_internal);
    json.Key("partitions").Number(static_cast<int64_t>(topic.partitions.size()));
    json.Key("replication_factor").Number(static_cast<int64_t>(replicas)).EndObject();
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n"
              : arguments->only_names  ? lines
                                       : table.ToString());
  co_return exit_status;
}

// Leaves the partitions that were asked for.
void KeepTroubled(TopicDescription& topic, const TopicArguments& arguments) {
  std::erase_if(topic.partitions, [&arguments](const PartitionDescription& partition) {
    const bool under_replicated = partition.in_sync.size() < partition.replicas.size();
    return !(arguments.under_replicated && under_replicated) &&
           !(arguments.unavailable && !partition.leader.has_value());
  });
}

Task<int> DescribeTopics(ClientSession* session, std::shared_ptr<TopicArguments> arguments) {
  absl::StatusOr<DescribedTopics> described = co_await DescribeTopicsOf(
      session->client, arguments->names, arguments->internal, session->Deadline());
  if (!described.ok()) {
    PrintError(described.status());
    co_return kExitFailed;
  }
  JsonWriter json;
  std::string text;
  json.BeginArray();
  for (TopicDescription& topic : described->topics) {
    if (arguments->under_replicated || arguments->unavailable) {
      KeepTroubled(topic, *arguments);
      if (topic.partitions.empty()) continue;
    }
    if (arguments->client.json()) {
      DescriptionJson(topic, json);
    } else {
      text += DescriptionText(topic);
    }
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  for (const std::string& failure : described->failures) PrintError(failure);
  co_return described->failures.empty() ? kExitOk : kExitFailed;
}

std::string CheckConfig(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0) return {};
  return fmt::format("'{}' is no configuration: name=value is accepted", text);
}

void AddAlter(Command& topic, ChosenCommand& chosen) {
  auto alter = std::make_shared<TopicAlterArguments>();
  Command verb = topic.AddVerb("alter", "Change configuration, partitions and replication factor");
  AddClientOptions(verb, alter->client);
  verb.OnChosen([alter, &chosen] {
    chosen = [alter] {
      return RunClientVerb(alter->client,
                           [alter](ClientSession* session) { return AlterTopics(session, alter); });
    };
  });
  verb.AddOption("NAME", alter->names, "Topics").Required().TypeName("");
  verb.AddOption("-c,--config", alter->configs, "A topic configuration; may be given often")
      .TypeName("NAME=VALUE")
      .OneValueEach()
      .Check(CheckConfig);
  verb.AddOption("--delete-config", alter->unset, "One that goes back to its default")
      .TypeName("NAME")
      .OneValueEach();
  verb.AddOption("-p,--partitions", alter->partitions, "How many there are to be; only more")
      .TypeName("N")
      .Positive();
  verb.AddOption("-r,--replication-factor", alter->replication_factor, "Replicas of each partition")
      .TypeName("N")
      .Positive();
  verb.AddFlag("--wait", alter->wait, "Until replicas have been moved");
}

}  // namespace

void AddTopicCommand(Command& program, ChosenCommand& chosen) {
  Command topic = program.AddVerb("topic", "Create, list, describe, alter and delete topics");
  topic.RequireVerb();

  AddTopicOffsetsCommand(topic, chosen);

  auto create = std::make_shared<TopicArguments>();
  Command verb = AddClientVerb(topic, chosen, "create", "Create topics", CreateTopics, create);
  verb.AddOption("NAME", create->names, "Topics").Required().TypeName("");
  verb.AddOption("-p,--partitions", create->partitions, "Default: the broker's num.partitions")
      .TypeName("N")
      .Positive();
  verb.AddOption("-r,--replication-factor", create->replication_factor,
                 "Default: the broker's default.replication.factor")
      .TypeName("N")
      .Positive();
  verb.AddOption("-c,--config", create->configs, "A topic configuration; may be given often")
      .TypeName("NAME=VALUE")
      .OneValueEach()
      .Check(CheckConfig);
  verb.AddFlag("--if-not-exists", create->if_not_exists, "A topic that exists is no failure");

  auto list = std::make_shared<TopicArguments>();
  verb = AddClientVerb(topic, chosen, "list", "List topics", ListTopics, list);
  verb.AddFlag("--internal", list->internal, "Also those that the cluster keeps for itself");
  verb.AddFlag("--names", list->only_names, "A name on each line, and nothing else");

  auto describe = std::make_shared<TopicArguments>();
  verb = AddClientVerb(topic, chosen, "describe", "Show partitions, replicas and configuration",
                       DescribeTopics, describe);
  verb.AddOption("NAME", describe->names, "Topics; none: all").TypeName("");
  verb.AddFlag("--internal", describe->internal,
               "Without NAME: also topics that the cluster keeps for itself");
  verb.AddFlag("--under-replicated", describe->under_replicated,
               "Only partitions with fewer replicas in sync than they have");
  verb.AddFlag("--unavailable", describe->unavailable, "Only partitions without a leader");

  AddAlter(topic, chosen);

  auto remove = std::make_shared<TopicArguments>();
  verb = AddClientVerb(topic, chosen, "delete", "Delete topics with their records", DeleteTopics,
                       remove);
  verb.AddOption("NAME", remove->names, "Topics").Required().TypeName("");
  verb.AddFlag("--if-exists", remove->if_exists, "A topic that does not exist is no failure");
}

}  // namespace millrace

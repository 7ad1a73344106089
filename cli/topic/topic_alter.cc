#include "cli/topic/topic_alter.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cli/cluster/cluster_view.h"
#include "cli/cluster/reassigner.h"
#include "cli/cluster/replica_plan.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "proto/kafka/create_partitions_request.h"
#include "proto/kafka/create_partitions_response.h"
#include "proto/kafka/incremental_alter_configs_request.h"
#include "proto/kafka/incremental_alter_configs_response.h"

namespace millrace {
namespace {

constexpr int8_t kTopicResource = 2;
constexpr int8_t kSet = 0;
constexpr int8_t kDelete = 1;

absl::Status About(const std::string& topic, int16_t code,
                   const std::optional<std::string>& message) {
  const absl::Status failure = KafkaFailure(code, message);
  return absl::Status(failure.code(), fmt::format("{}: {}", topic, std::string(failure.message())));
}

Task<absl::Status> AlterConfigs(ClientSession* session,
                                std::shared_ptr<TopicAlterArguments> arguments) {
  kafka::IncrementalAlterConfigsRequest request;
  for (const std::string& name : arguments->names) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = kTopicResource;
    resource.resource_name = name;
    for (const std::string& config : arguments->configs) {
      const size_t equals = config.find('=');
      resource.configs.push_back({config.substr(0, equals), kSet, config.substr(equals + 1)});
    }
    for (const std::string& key : arguments->unset) {
      resource.configs.push_back({key, kDelete, std::nullopt});
    }
  }
  MR_CO_ASSIGN_OR_RETURN(kafka::IncrementalAlterConfigsResponse response,
                         co_await session->client.CallAny<kafka::IncrementalAlterConfigsResponse>(
                             std::move(request), session->Deadline()));
  for (const auto& resource : response.responses) {
    if (resource.error_code != 0) {
      co_return About(resource.resource_name, resource.error_code, resource.error_message);
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AddPartitions(ClientSession* session,
                                 std::shared_ptr<TopicAlterArguments> arguments) {
  kafka::CreatePartitionsRequest request;
  request.timeout_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(session->timeout).count());
  for (const std::string& name : arguments->names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.count = arguments->partitions;
    topic.assignments = std::nullopt;
  }
  MR_CO_ASSIGN_OR_RETURN(kafka::CreatePartitionsResponse response,
                         co_await session->client.CallAny<kafka::CreatePartitionsResponse>(
                             std::move(request), session->Deadline()));
  for (const auto& topic : response.results) {
    if (topic.error_code != 0) co_return About(topic.name, topic.error_code, topic.error_message);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ChangeFactor(ClientSession* session,
                                std::shared_ptr<TopicAlterArguments> arguments) {
  MR_CO_ASSIGN_OR_RETURN(ClusterReport view,
                         co_await AskCluster(session->client, session->Deadline()));
  MR_CO_ASSIGN_OR_RETURN(std::vector<OngoingMove> ongoing, co_await ListReassignments(session));
  ApplyMoves(ongoing, view.partitions);
  ReplicaPlan plan(view.PlanBrokers(), view.partitions);
  std::vector<PlanPartition> moves;
  std::vector<PlanPartition> all;  // An earlier change may not have ended yet.
  for (const std::string& name : arguments->names) {
    bool known = false;
    for (const PlanPartition& partition : view.partitions) {
      if (partition.topic != name) continue;
      known = true;
      all.push_back(partition);
      MR_CO_ASSIGN_OR_RETURN(PlanPartition moved,
                             plan.WithFactor(partition, arguments->replication_factor));
      if (moved.replicas != partition.replicas) moves.push_back(std::move(moved));
    }
    if (!known) co_return absl::NotFoundError(fmt::format("{}: no such topic", name));
  }
  MR_CO_RETURN_IF_ERROR(co_await StartReassignments(session, std::move(moves)));
  if (!arguments->wait) co_return absl::OkStatus();
  co_return co_await AwaitReassignments(session, std::move(all));
}

Task<absl::Status> AlterAll(ClientSession* session,
                            std::shared_ptr<TopicAlterArguments> arguments) {
  if (!arguments->configs.empty() || !arguments->unset.empty()) {
    MR_CO_RETURN_IF_ERROR(co_await AlterConfigs(session, arguments));
  }
  if (arguments->partitions > 0) {
    MR_CO_RETURN_IF_ERROR(co_await AddPartitions(session, arguments));
  }
  if (arguments->replication_factor > 0) {
    MR_CO_RETURN_IF_ERROR(co_await ChangeFactor(session, arguments));
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<int> AlterTopics(ClientSession* session, std::shared_ptr<TopicAlterArguments> arguments) {
  const absl::Status status = co_await AlterAll(session, arguments);
  if (!status.ok()) {
    PrintError(status);
    co_return absl::IsCancelled(status) ? kExitInterrupted : kExitFailed;
  }
  JsonWriter json;
  std::string text;
  json.BeginArray();
  for (const std::string& name : arguments->names) {
    json.BeginObject().Key("topic").String(name).Key("result").String("altered").EndObject();
    text += fmt::format("Altered topic {}.\n", name);
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : text);
  co_return kExitOk;
}

}  // namespace millrace

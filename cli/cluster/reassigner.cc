#include "cli/cluster/reassigner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "proto/kafka/alter_partition_reassignments_request.h"
#include "proto/kafka/alter_partition_reassignments_response.h"
#include "proto/kafka/list_partition_reassignments_request.h"
#include "proto/kafka/list_partition_reassignments_response.h"

namespace millrace {
namespace {

using AlterRequest = kafka::AlterPartitionReassignmentsRequest;
using AlterResponse = kafka::AlterPartitionReassignmentsResponse;

constexpr size_t kPartitionsPerRequestMax = 1000;
constexpr Duration kPollInterval = milliseconds(250);

AlterRequest RequestOf(const std::vector<PlanPartition>& partitions, size_t begin, size_t end,
                       bool cancel) {
  AlterRequest request;
  std::map<std::string, size_t> topics;  // To its place in the request.
  for (size_t i = begin; i < end; ++i) {
    const PlanPartition& partition = partitions[i];
    auto [place, is_new] = topics.emplace(partition.topic, request.topics.size());
    if (is_new) request.topics.emplace_back().name = partition.topic;
    auto& row = request.topics[place->second].partitions.emplace_back();
    row.partition_index = partition.partition.value();
    row.replicas = std::nullopt;
    if (cancel) continue;
    row.replicas.emplace();
    for (BrokerId id : partition.replicas) row.replicas->push_back(id.value());
  }
  return request;
}

// The first refusal, and how many there are besides.
absl::Status FirstFailure(const AlterResponse& response) {
  if (response.error_code != 0) return KafkaFailure(response.error_code, response.error_message);
  absl::Status first;
  int64_t more = 0;
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code == 0) continue;
      const absl::Status failure = KafkaFailure(partition.error_code, partition.error_message);
      if (!first.ok()) {
        ++more;
        continue;
      }
      first = absl::Status(failure.code(),
                           fmt::format("{}-{}: {}", topic.name, partition.partition_index,
                                       std::string(failure.message())));
    }
  }
  if (more == 0) return first;
  return absl::Status(first.code(),
                      fmt::format("{} (and {} more)", std::string(first.message()), more));
}

Task<absl::Status> Alter(ClientSession* session, std::vector<PlanPartition> partitions,
                         bool cancel) {
  absl::Status status;
  for (size_t begin = 0; begin < partitions.size(); begin += kPartitionsPerRequestMax) {
    const size_t end = std::min(begin + kPartitionsPerRequestMax, partitions.size());
    MR_CO_ASSIGN_OR_RETURN(AlterResponse response,
                           co_await session->client.CallAny<AlterResponse>(
                               RequestOf(partitions, begin, end, cancel), session->Deadline()));
    status.Update(FirstFailure(response));
  }
  co_return status;
}

}  // namespace

Task<absl::Status> StartReassignments(ClientSession* session,
                                      std::vector<PlanPartition> partitions) {
  co_return co_await Alter(session, std::move(partitions), /*cancel=*/false);
}

Task<absl::Status> CancelReassignments(ClientSession* session,
                                       std::vector<PlanPartition> partitions) {
  co_return co_await Alter(session, std::move(partitions), /*cancel=*/true);
}

Task<absl::StatusOr<std::vector<OngoingMove>>> ListReassignments(ClientSession* session) {
  kafka::ListPartitionReassignmentsRequest request;
  request.topics = std::nullopt;
  MR_CO_ASSIGN_OR_RETURN(
      kafka::ListPartitionReassignmentsResponse response,
      co_await session->client.CallAny<kafka::ListPartitionReassignmentsResponse>(
          request, session->Deadline()));
  if (response.error_code != 0) {
    co_return KafkaFailure(response.error_code, response.error_message);
  }
  std::vector<OngoingMove> moves;
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      moves.push_back({{topic.name,
                        PartitionId(partition.partition_index),
                        {partition.replicas.begin(), partition.replicas.end()}},
                       {partition.adding_replicas.begin(), partition.adding_replicas.end()},
                       {partition.removing_replicas.begin(), partition.removing_replicas.end()}});
    }
  }
  co_return moves;
}

void ApplyMoves(const std::vector<OngoingMove>& moves, std::vector<PlanPartition>& partitions) {
  std::map<std::pair<std::string, PartitionId>, const OngoingMove*> by_name;
  for (const OngoingMove& move : moves) {
    by_name.emplace(std::pair(move.partition.topic, move.partition.partition), &move);
  }
  for (PlanPartition& partition : partitions) {
    auto found = by_name.find({partition.topic, partition.partition});
    if (found == by_name.end()) continue;
    const OngoingMove& move = *found->second;
    partition.replicas = move.partition.replicas;
    std::erase_if(partition.replicas, [&move](BrokerId id) { return move.Removes(id); });
  }
}

Task<absl::Status> AwaitReassignments(ClientSession* session,
                                      std::vector<PlanPartition> partitions) {
  std::set<std::pair<std::string, PartitionId>> ours;
  for (const PlanPartition& partition : partitions) {
    ours.emplace(partition.topic, partition.partition);
  }
  std::optional<size_t> said;
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(std::vector<OngoingMove> moves, co_await ListReassignments(session));
    const auto left = static_cast<size_t>(std::ranges::count_if(moves, [&](const auto& move) {
      return ours.contains({move.partition.topic, move.partition.partition});
    }));
    if (left == 0) co_return absl::OkStatus();
    if (said != left) PrintError(fmt::format("{} of {} partitions are moving", left, ours.size()));
    said = left;
    co_await Sleep(session->env.reactor, kPollInterval);
    if (session->interrupted) {
      co_return absl::CancelledError(
          "interrupted; the moves go on (`millrace cluster reassign --list`)");
    }
  }
}

}  // namespace millrace

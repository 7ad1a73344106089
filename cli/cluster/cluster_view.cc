#include "cli/cluster/cluster_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/status_macros.h"
#include "proto/kafka/describe_cluster_request.h"
#include "proto/kafka/describe_cluster_response.h"
#include "proto/kafka/describe_quorum_request.h"
#include "proto/kafka/describe_quorum_response.h"

namespace millrace {
namespace {

constexpr char kMetadataTopic[] = "__cluster_metadata";

VoterRow RowOf(const kafka::DescribeQuorumResponse::ReplicaState& state, bool observer) {
  VoterRow row;
  row.id = BrokerId(state.replica_id);
  row.directory = state.replica_directory_id;
  row.observer = observer;
  row.log_end = state.log_end_offset;
  if (state.last_caught_up_timestamp >= 0) row.caught_up_ms = state.last_caught_up_timestamp;
  return row;
}

void CountPartitions(const kafka::MetadataResponse& metadata, ClusterReport* view) {
  std::map<int32_t, std::pair<int64_t, int64_t>> loads;  // Leaders, replicas.
  for (const auto& topic : metadata.topics) {
    ++view->counts.topics;
    for (const auto& partition : topic.partitions) {
      ++view->counts.partitions;
      if (partition.leader_id < 0) ++view->counts.leaderless;
      if (partition.isr_nodes.size() < partition.replica_nodes.size()) {
        ++view->counts.under_replicated;
      }
      ++loads[partition.leader_id].first;
      for (int32_t id : partition.replica_nodes) ++loads[id].second;
      view->partitions.push_back(
          {topic.name.value_or(""),
           PartitionId(partition.partition_index),
           {partition.replica_nodes.begin(), partition.replica_nodes.end()}});
    }
  }
  for (BrokerRow& broker : view->brokers) {
    auto found = loads.find(broker.id.value());
    if (found == loads.end()) continue;
    broker.leaders = found->second.first;
    broker.replicas = found->second.second;
  }
}

}  // namespace

const BrokerRow* ClusterReport::Find(BrokerId id) const {
  auto found = std::ranges::find(brokers, id, &BrokerRow::id);
  return found == brokers.end() ? nullptr : &*found;
}

std::vector<PlanBroker> ClusterReport::PlanBrokers() const {
  std::vector<PlanBroker> all;
  for (const BrokerRow& broker : brokers) all.push_back({broker.id, broker.rack, !broker.fenced});
  return all;
}

Task<absl::StatusOr<ClusterReport>> AskCluster(KafkaClient& client, Instant deadline) {
  kafka::DescribeClusterRequest request;
  request.include_fenced_brokers = true;
  MR_CO_ASSIGN_OR_RETURN(
      kafka::DescribeClusterResponse response,
      co_await client.CallAny<kafka::DescribeClusterResponse>(request, deadline));
  if (response.error_code != 0) {
    co_return KafkaFailure(response.error_code, response.error_message);
  }
  ClusterReport view;
  view.cluster_id = response.cluster_id;
  for (const auto& broker : response.brokers) {
    view.brokers.push_back({BrokerId(broker.broker_id), broker.host, broker.port, broker.rack,
                            broker.is_fenced, 0, 0});
  }
  std::ranges::sort(view.brokers, {}, &BrokerRow::id);
  MR_CO_ASSIGN_OR_RETURN(kafka::MetadataResponse metadata,
                         co_await client.Metadata(std::nullopt, /*create=*/false, deadline));
  CountPartitions(metadata, &view);
  co_return view;
}

Task<absl::StatusOr<QuorumView>> AskQuorum(KafkaClient& client, Instant deadline) {
  kafka::DescribeQuorumRequest request;
  request.topics.emplace_back();
  request.topics.back().topic_name = kMetadataTopic;
  request.topics.back().partitions.emplace_back();
  MR_CO_ASSIGN_OR_RETURN(kafka::DescribeQuorumResponse response,
                         co_await client.CallAny<kafka::DescribeQuorumResponse>(request, deadline));
  if (response.error_code != 0) {
    co_return KafkaFailure(response.error_code, response.error_message);
  }
  if (response.topics.size() != 1 || response.topics[0].partitions.size() != 1) {
    co_return absl::DataLossError("the answer does not describe the quorum");
  }
  const auto& partition = response.topics[0].partitions[0];
  if (partition.error_code != 0) {
    co_return KafkaFailure(partition.error_code, partition.error_message);
  }
  QuorumView view;
  if (partition.leader_id >= 0) view.leader = BrokerId(partition.leader_id);
  view.epoch = partition.leader_epoch;
  view.high_watermark = partition.high_watermark;
  for (const auto& state : partition.current_voters) view.rows.push_back(RowOf(state, false));
  for (const auto& state : partition.observers) view.rows.push_back(RowOf(state, true));
  std::ranges::sort(view.rows, [](const VoterRow& a, const VoterRow& b) {
    return std::pair(a.observer, a.id) < std::pair(b.observer, b.id);
  });
  for (VoterRow& row : view.rows) {
    if (row.id == view.leader) view.leader_end = row.log_end;
    for (const auto& node : response.nodes) {
      if (node.node_id != row.id.value()) continue;
      for (const auto& listener : node.listeners) {
        row.endpoints.push_back(
            fmt::format("{}://{}:{}", listener.name, listener.host, listener.port));
      }
    }
  }
  co_return view;
}

std::vector<std::string> Ailments(const ClusterReport& cluster, const QuorumView& quorum) {
  std::vector<std::string> ailments;
  if (!quorum.leader.has_value()) ailments.emplace_back("no controller is active");
  for (const BrokerRow& broker : cluster.brokers) {
    if (broker.fenced) ailments.push_back(fmt::format("broker {} is fenced", broker.id));
  }
  const PartitionCounts& counts = cluster.counts;
  if (counts.leaderless > 0) {
    ailments.push_back(
        fmt::format("{} of {} partitions have no leader", counts.leaderless, counts.partitions));
  }
  if (counts.under_replicated > 0) {
    ailments.push_back(fmt::format("{} of {} partitions have replicas that are not in sync",
                                   counts.under_replicated, counts.partitions));
  }
  return ailments;
}

}  // namespace millrace

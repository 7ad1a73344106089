// What `millrace cluster` and `millrace broker` show: brokers, quorum and the state of partitions,
// asked of any broker.
//
// Shard:  one. Lifetime: `client` outlives the tasks.
// Errors: of the whole request; kFailedPrecondition, ... what a broker refused.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/kafka_client.h"
#include "cli/cluster/replica_plan.h"
#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

struct BrokerRow {
  BrokerId id{0};
  std::string host;
  int32_t port = 0;
  std::optional<std::string> rack;
  bool fenced = false;
  int64_t leaders = 0;
  int64_t replicas = 0;
};

struct PartitionCounts {
  int64_t topics = 0;
  int64_t partitions = 0;
  int64_t under_replicated = 0;
  int64_t leaderless = 0;
};

struct ClusterReport {
  std::string cluster_id;
  std::vector<BrokerRow> brokers;  // By id, fenced ones too.
  PartitionCounts counts;
  std::vector<PlanPartition> partitions;  // All of them, internal topics too.

  const BrokerRow* Find(BrokerId id) const;
  std::vector<PlanBroker> PlanBrokers() const;
};

struct VoterRow {
  BrokerId id{0};
  Uuid directory{0, 0};
  bool observer = false;
  int64_t log_end = 0;
  std::optional<int64_t> caught_up_ms;  // Wall clock; nothing: not known.
  std::vector<std::string> endpoints;   // "LISTENER://host:port"; of voters only.
};

struct QuorumView {
  std::optional<BrokerId> leader;
  int32_t epoch = 0;
  int64_t high_watermark = 0;
  int64_t leader_end = 0;
  std::vector<VoterRow> rows;  // Voters by id, then observers by id.
};

Task<absl::StatusOr<ClusterReport>> AskCluster(KafkaClient& client,
                                               Instant deadline);  // Borrowed: awaited in place.
Task<absl::StatusOr<QuorumView>> AskQuorum(KafkaClient& client,
                                           Instant deadline);  // Borrowed: awaited in place.

// Nothing when all is well; else a sentence for each thing that is not.
std::vector<std::string> Ailments(const ClusterReport& cluster, const QuorumView& quorum);

}  // namespace millrace

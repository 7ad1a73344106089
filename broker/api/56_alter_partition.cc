// AlterPartition (key 56), versions 2 and 3. A leader proposes the in-sync replicas of partitions
// it leads.
//
// Promises: what the answer says is committed.
// Errors:   as a whole STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED, NOT_CONTROLLER; per partition
//           those of controller/alter_partition.h.
// Source:   KIP-497, KIP-841, KIP-903; rules 5.10-5.14.
#include <map>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/alter_partition_request.h"
#include "proto/kafka/alter_partition_response.h"

namespace millrace {
namespace {

IsrChange FromWire(const TopicId& topic,
                   const kafka::AlterPartitionRequest::PartitionData& partition) {
  IsrChange proposal{{topic, PartitionId(partition.partition_index)},
                     LeaderEpoch(partition.leader_epoch),
                     PartitionEpoch(partition.partition_epoch),
                     {}};
  for (int32_t id : partition.new_isr) proposal.isr.push_back({BrokerId(id), std::nullopt});
  for (const auto& member : partition.new_isr_with_epochs) {
    std::optional<BrokerEpoch> epoch;
    if (member.broker_epoch >= 0) epoch = BrokerEpoch(member.broker_epoch);
    proposal.isr.push_back({BrokerId(member.broker_id), epoch});
  }
  if (partition.leader_recovery_state != 0) proposal.recovery = LeaderRecovery::kRecovering;
  return proposal;
}

kafka::AlterPartitionResponse::PartitionData ToWire(const IsrReply& reply) {
  kafka::AlterPartitionResponse::PartitionData partition;
  partition.partition_index = reply.partition.partition.value();
  partition.error_code = ErrorCode(reply.status);
  partition.leader_id = LeaderToWire(reply.leader);
  partition.leader_epoch = reply.leader_epoch.value();
  partition.partition_epoch = reply.partition_epoch.value();
  for (BrokerId id : reply.isr) partition.isr.push_back(id.value());
  partition.leader_recovery_state = reply.recovery == LeaderRecovery::kRecovering ? 1 : 0;
  return partition;
}

}  // namespace

Task<ApiReply> HandleAlterPartition(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::AlterPartitionRequest> body =
      DecodeBody<kafka::AlterPartitionRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  AlterPartitionRequest question{BrokerId(body->broker_id), BrokerEpoch(body->broker_epoch), {}};
  for (const auto& topic : body->topics) {
    for (const auto& partition : topic.partitions) {
      question.proposals.push_back(FromWire(topic.topic_id, partition));
    }
  }
  absl::StatusOr<std::vector<IsrReply>> replies =
      co_await admin->active().AlterPartition(std::move(question));
  kafka::AlterPartitionResponse response;
  if (!replies.ok()) {
    response.error_code = ErrorCode(replies.status());
    co_return Reply(request, response);
  }
  std::map<TopicId, kafka::AlterPartitionResponse::TopicData> topics;
  for (const IsrReply& reply : *replies) {
    topics[reply.partition.topic_id].partitions.push_back(ToWire(reply));
  }
  for (auto& [id, topic] : topics) {
    topic.topic_id = id;
    response.topics.push_back(std::move(topic));
  }
  co_return Reply(request, response);
}

}  // namespace millrace

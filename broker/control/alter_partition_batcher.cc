#include "broker/control/alter_partition_batcher.h"

#include <algorithm>
#include <map>
#include <utility>

#include "broker/control/controller_question.h"
#include "broker/kafka_error.h"
#include "proto/kafka/alter_partition_request.h"
#include "proto/kafka/alter_partition_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int16_t kVersion = 3;

kafka::AlterPartitionRequest::PartitionData ToWire(PartitionId id, const IsrProposal& proposal) {
  kafka::AlterPartitionRequest::PartitionData partition;
  partition.partition_index = id.value();
  partition.leader_epoch = proposal.leader_epoch.value();
  for (const IsrMember& member : proposal.isr) {
    partition.new_isr_with_epochs.push_back(
        {member.broker.value(),
         member.broker_epoch.has_value() ? member.broker_epoch->value() : -1});
  }
  partition.leader_recovery_state = proposal.recovering ? 1 : 0;
  partition.partition_epoch = proposal.partition_epoch.value();
  return partition;
}

// Nothing: it was not decided, ask again.
std::optional<IsrOutcome> FromWire(const kafka::AlterPartitionResponse::PartitionData& partition) {
  switch (static_cast<KafkaError>(partition.error_code)) {
    case KafkaError::kNone: {
      CommittedIsr committed{
          LeaderEpoch(partition.leader_epoch), PartitionEpoch(partition.partition_epoch), {}};
      for (int32_t id : partition.isr) committed.isr.emplace_back(id);
      return committed;
    }
    case KafkaError::kIneligibleReplica:
    case KafkaError::kOperationNotAttempted:
    case KafkaError::kInvalidRequest:
      return std::unexpected(IsrRefusal::kGivenUp);
    case KafkaError::kInvalidUpdateVersion:
    case KafkaError::kFencedLeaderEpoch:
    case KafkaError::kUnknownTopicOrPartition:
    case KafkaError::kUnknownTopicId:
    case KafkaError::kNewLeaderElected:
      return std::unexpected(IsrRefusal::kSuperseded);
    default:
      return std::nullopt;
  }
}

}  // namespace

AlterPartitionBatcher::AlterPartitionBatcher(Env& env, ControllerRequests& requests,
                                             AlterPartitionOptions options)
    : options_(std::move(options)),
      env_(env),
      requests_(requests),
      changed_(env.reactor),
      scope_(env.reactor) {}

Task<void> AlterPartitionBatcher::Stop() {
  co_await scope_.Stop();
  for (const std::shared_ptr<Waiting>& waiting : queue_) {
    waiting->outcome = std::unexpected(IsrRefusal::kCancelled);
    waiting->ended.Set();
  }
  queue_.clear();
}

Task<IsrOutcome> AlterPartitionBatcher::Propose(TopicPartitionId id, IsrProposal proposal,
                                                CancellationToken cancel) {
  if (scope_.stopping()) co_return std::unexpected(IsrRefusal::kCancelled);
  auto waiting = std::make_shared<Waiting>(env_.reactor, id, std::move(proposal));
  queue_.push_back(waiting);
  changed_.Pulse();
  (void)co_await waiting->ended.Wait(std::nullopt, cancel);
  if (waiting->outcome.has_value()) co_return *std::move(waiting->outcome);
  waiting->abandoned = true;
  co_return std::unexpected(IsrRefusal::kCancelled);
}

AlterPartitionBatcher::Batch AlterPartitionBatcher::TakeBatch() {
  Batch batch;
  while (!queue_.empty() && batch.size() < options_.partitions_max) {
    if (!queue_.front()->abandoned) batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

Task<void> AlterPartitionBatcher::Run() {
  Duration pause = options_.retry_min;
  while (!scope_.stopping()) {
    if (queue_.empty()) {
      (void)co_await changed_.Wait(std::nullopt, scope_.token());
      continue;
    }
    co_await Yield(env_.reactor);  // What this turn brings comes along.
    Batch batch = TakeBatch();
    if (!batch.empty()) co_await Ask(batch);
    bool undecided = false;
    for (std::shared_ptr<Waiting>& waiting : batch) {
      if (waiting->outcome.has_value()) {
        waiting->ended.Set();
      } else if (!waiting->abandoned) {
        undecided = true;
        queue_.push_back(std::move(waiting));
      }
    }
    if (!undecided) {
      pause = options_.retry_min;
      continue;
    }
    (void)co_await Sleep(env_.reactor, pause, scope_.token());
    pause = std::min(pause * 2, options_.retry_max);
  }
}

Task<void> AlterPartitionBatcher::Ask(Batch batch) {
  const std::optional<BrokerEpoch> epoch = options_.epoch();
  if (!epoch.has_value()) co_return;
  kafka::AlterPartitionRequest request;
  request.broker_id = options_.self.value();
  request.broker_epoch = epoch->value();
  std::map<TopicId, kafka::AlterPartitionRequest::TopicData> topics;
  for (const std::shared_ptr<Waiting>& waiting : batch) {
    topics[waiting->id.topic_id].partitions.push_back(
        ToWire(waiting->id.partition, waiting->proposal));
  }
  for (auto& [id, topic] : topics) {
    topic.topic_id = id;
    request.topics.push_back(std::move(topic));
  }
  absl::StatusOr<kafka::AlterPartitionResponse> response =
      co_await AskWithKafka<kafka::AlterPartitionResponse>(&requests_, std::move(request),
                                                           kVersion);
  if (!response.ok() || response->error_code != 0) co_return;
  std::map<TopicPartitionId, std::optional<IsrOutcome>> outcomes;
  for (const auto& topic : response->topics) {
    for (const auto& partition : topic.partitions) {
      outcomes[{topic.topic_id, PartitionId(partition.partition_index)}] = FromWire(partition);
    }
  }
  for (const std::shared_ptr<Waiting>& waiting : batch) {
    if (auto found = outcomes.find(waiting->id); found != outcomes.end()) {
      waiting->outcome = found->second;
    }
  }
}

Task<IsrOutcome> RemoteIsrChannel::Propose(TopicPartitionId id, IsrProposal proposal,
                                           CancellationToken cancel) {
  co_return co_await shards_.CallUntil<IsrOutcome>(
      here_, ShardId(0), cancel,
      [batcher = &batcher_, id, proposal = std::move(proposal)](CancellationToken token) {
        return batcher->Propose(id, proposal, token);
      });
}

}  // namespace millrace

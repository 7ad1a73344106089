// DescribeProducers (key 61), version 0. The idempotent and transactional producers that a
// partition knows, as its leader knows them: what `kafka-transactions.sh describe-producers` and
// `find-hanging` ask.
//
// Promises: in the order of producer ids; -1 for what a producer does not have.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR.
// Bounds:   kProducersMax (storage/producer/producer_state.h) for each partition asked.
// Source:   KIP-664; rule 10.21.
#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/on_shard.h"
#include "proto/kafka/describe_producers_request.h"
#include "proto/kafka/describe_producers_response.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

using kafka::DescribeProducersRequest;
using kafka::DescribeProducersResponse;

struct Asked {
  TopicPartitionId id;
  DescribeProducersResponse::PartitionResponse* answer;
};

// On the partition's shard.
void Answer(Broker& broker, const Asked& asked) {
  DescribeProducersResponse::PartitionResponse& answer = *asked.answer;
  absl::StatusOr<Partition*> partition = HostedPartition(broker, asked.id);
  absl::Status status =
      partition.ok() ? (*partition)->CheckLeader(std::nullopt) : partition.status();
  if (!status.ok()) {
    answer.error_code = ErrorCode(status);
    answer.error_message = ErrorMessage(status);
    return;
  }
  for (const auto& [id, entry] : (*partition)->log().producers().entries()) {
    DescribeProducersResponse::ProducerState& state = answer.active_producers.emplace_back();
    state.producer_id = id.value();
    state.producer_epoch = entry.epoch().value();
    state.last_sequence = entry.last_sequence() ? entry.last_sequence()->value() : -1;
    state.last_timestamp = entry.last_timestamp.ms();
    state.coordinator_epoch = entry.coordinator_epoch.value_or(-1);
    state.current_txn_start_offset = entry.open_transaction ? entry.open_transaction->value() : -1;
  }
}

// Everything asked of one shard, there.
Task<void> AnswerAll(Broker* broker, const std::vector<Asked>* asked) {
  for (const Asked& one : *asked) Answer(*broker, one);
  co_return;
}

}  // namespace

Task<ApiReply> HandleDescribeProducers(Broker* broker, ApiRequest request) {
  absl::StatusOr<DescribeProducersRequest> body = DecodeBody<DescribeProducersRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  DescribeProducersResponse response;
  std::vector<std::vector<Asked>> by_shard(broker->shards.count());
  response.topics.resize(body->topics.size());
  for (size_t t = 0; t < body->topics.size(); ++t) {
    const auto& topic = body->topics[t];
    response.topics[t].name = topic.name;
    response.topics[t].partitions.resize(topic.partition_indexes.size());  // Addresses stay.
    for (size_t p = 0; p < topic.partition_indexes.size(); ++p) {
      DescribeProducersResponse::PartitionResponse* answer = &response.topics[t].partitions[p];
      answer->partition_index = topic.partition_indexes[p];
      absl::StatusOr<TopicPartitionId> id =
          ResolvePartition(*broker->image(), topic.name, answer->partition_index);
      if (id.ok()) {
        by_shard[broker->shards.Of(*id).value()].push_back({*id, answer});
      } else {
        answer->error_code = ErrorCode(id.status());
        answer->error_message = ErrorMessage(id.status());
      }
    }
  }
  co_await OnShards(broker, ShardsWith(by_shard), [&by_shard](Broker& there) {
    return AnswerAll(&there, &by_shard[there.env.reactor.shard().value()]);
  });
  co_return Reply(request, response);
}

}  // namespace millrace

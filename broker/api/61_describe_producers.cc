// DescribeProducers (key 61), version 0. The idempotent and transactional producers that a
// partition knows, as its leader knows them: what `kafka-transactions.sh describe-producers` and
// `find-hanging` ask.
//
// Promises: in the order of producer ids; -1 for what a producer does not have.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR.
// Bounds:   kProducersMax (storage/producer_state.h) for each partition asked.
// Source:   KIP-664; rule 10.21.
#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "proto/kafka/describe_producers_request.h"
#include "proto/kafka/describe_producers_response.h"
#include "storage/producer_state.h"

namespace millrace {
namespace {

using kafka::DescribeProducersRequest;
using kafka::DescribeProducersResponse;

DescribeProducersResponse::PartitionResponse Answer(Broker& broker, const std::string& topic,
                                                    int32_t index) {
  DescribeProducersResponse::PartitionResponse answer;
  answer.partition_index = index;
  absl::StatusOr<Partition*> partition = FindPartition(broker, topic, index);
  absl::Status status =
      partition.ok() ? (*partition)->CheckLeader(std::nullopt) : partition.status();
  if (!status.ok()) {
    answer.error_code = ErrorCode(status);
    answer.error_message = ErrorMessage(status);
    return answer;
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
  return answer;
}

}  // namespace

Task<ApiReply> HandleDescribeProducers(Broker* broker, ApiRequest request) {
  absl::StatusOr<DescribeProducersRequest> body = DecodeBody<DescribeProducersRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  DescribeProducersResponse response;
  for (const auto& topic : body->topics) {
    DescribeProducersResponse::TopicResponse& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (int32_t index : topic.partition_indexes) {
      answered.partitions.push_back(Answer(*broker, topic.name, index));
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace

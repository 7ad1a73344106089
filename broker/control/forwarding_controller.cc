#include "broker/control/forwarding_controller.h"

#include <utility>

#include "broker/control/controller_question.h"
#include "broker/kafka_error.h"
#include "common/status_macros.h"
#include "proto/kafka/allocate_producer_ids_request.h"
#include "proto/kafka/allocate_producer_ids_response.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"

namespace millrace {
namespace {

constexpr int16_t kCreateTopicsVersion = 7;
constexpr int16_t kAllocateVersion = 0;

// What a creation may be refused with. Anything else is one that may succeed on another try.
constexpr ErrorKind kRefusals[] = {
    ErrorKind::kTopicAlreadyExists,       ErrorKind::kInvalidTopic,
    ErrorKind::kInvalidPartitions,        ErrorKind::kInvalidReplicationFactor,
    ErrorKind::kInvalidReplicaAssignment, ErrorKind::kInvalidConfig,
    ErrorKind::kInvalidRequest,           ErrorKind::kPolicyViolation,
};

absl::Status FromWire(int16_t code, std::string message) {
  if (code == 0) return absl::OkStatus();
  for (ErrorKind kind : kRefusals) {
    if (ErrorCode(ToKafkaError(kind)) == code) return MakeError(kind, std::move(message));
  }
  return MakeError(ErrorKind::kNotController, absl::StatusCode::kUnavailable, std::move(message));
}

kafka::CreateTopicsRequest::CreatableTopic ToWire(const CreateTopicRequest& topic) {
  kafka::CreateTopicsRequest::CreatableTopic wire;
  wire.name = topic.name;
  wire.num_partitions = topic.partitions.value_or(-1);
  wire.replication_factor = static_cast<int16_t>(topic.replication_factor.value_or(-1));
  for (const auto& [key, value] : topic.configs) wire.configs.push_back({key, value});
  for (const auto& [partition, brokers] : topic.assignments) {
    auto& assignment = wire.assignments.emplace_back();
    assignment.partition_index = partition;
    for (BrokerId id : brokers) assignment.broker_ids.push_back(id.value());
  }
  return wire;
}

}  // namespace

Task<absl::StatusOr<std::vector<CreateTopicReply>>> ForwardingController::CreateTopics(
    std::vector<CreateTopicRequest> requests, bool validate_only) {
  kafka::CreateTopicsRequest question;
  question.validate_only = validate_only;
  for (const CreateTopicRequest& topic : requests) question.topics.push_back(ToWire(topic));
  MR_CO_ASSIGN_OR_RETURN(kafka::CreateTopicsResponse answer,
                         co_await AskWithKafka<kafka::CreateTopicsResponse>(
                             &requests_, std::move(question), kCreateTopicsVersion));
  std::vector<CreateTopicReply> replies;
  for (const auto& topic : answer.topics) {
    CreateTopicReply& reply = replies.emplace_back();
    reply.name = topic.name;
    reply.status = FromWire(topic.error_code, topic.error_message.value_or(""));
    reply.topic_id = topic.topic_id;
    reply.partitions = topic.num_partitions;
    reply.replication_factor = topic.replication_factor;
  }
  co_return replies;
}

Task<absl::StatusOr<ProducerIdBlock>> ForwardingController::AllocateProducerIds() {
  kafka::AllocateProducerIdsRequest question;
  question.broker_id = self_.value();
  if (std::optional<BrokerEpoch> epoch = epoch_(); epoch.has_value()) {
    question.broker_epoch = epoch->value();
  }
  MR_CO_ASSIGN_OR_RETURN(kafka::AllocateProducerIdsResponse answer,
                         co_await AskWithKafka<kafka::AllocateProducerIdsResponse>(
                             &requests_, std::move(question), kAllocateVersion));
  if (answer.error_code != 0) {
    co_return MakeError(ErrorKind::kNotController, absl::StatusCode::kUnavailable,
                        "the controller gave no producer ids");
  }
  co_return ProducerIdBlock{answer.producer_id_start, answer.producer_id_len};
}

}  // namespace millrace

#include <algorithm>

#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/init_producer_id_request.h"
#include "proto/kafka/init_producer_id_response.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/record/batch_builder.h"
#include "test/sim/workload.h"

namespace millrace::simtest {
namespace {

using kafka::KafkaError;

constexpr uint64_t kStaleNumber = 1'000'000'000;

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status Refused(const char* what, int16_t error) {
  return absl::UnavailableError(fmt::format("{} answered error {}", what, error));
}

}  // namespace

Task<absl::StatusOr<TopicView>> FindTopic(KafkaClient* client, const WorkloadPlan* plan,
                                          size_t bootstrap, bool create) {
  if (!client->connected()) {
    co_await client->Disconnect();
    MR_CO_RETURN_IF_ERROR(co_await client->Connect(
        plan->bootstrap[bootstrap % plan->bootstrap.size()], plan->patience));
  }
  if (create) {
    kafka::CreateTopicsRequest request;
    kafka::CreateTopicsRequest::CreatableTopic topic;
    topic.name = plan->topic;
    topic.num_partitions = plan->partitions;
    topic.replication_factor = plan->replication;
    for (const auto& [key, value] : plan->topic_configs) topic.configs.push_back({key, value});
    request.topics.push_back(std::move(topic));
    request.timeout_ms = 5000;
    MR_CO_ASSIGN_OR_RETURN(auto created, co_await client->Call<kafka::CreateTopicsResponse>(
                                             std::move(request), 7, plan->patience));
    for (const auto& result : created.topics) {
      const auto error = static_cast<KafkaError>(result.error_code);
      if (error != KafkaError::kNone && error != KafkaError::kTopicAlreadyExists) {
        co_return Refused("CreateTopics", result.error_code);
      }
    }
  }
  kafka::MetadataRequest request;
  kafka::MetadataRequest::MetadataRequestTopic asked;
  asked.name = plan->topic;
  request.topics->push_back(std::move(asked));
  request.allow_auto_topic_creation = false;
  MR_CO_ASSIGN_OR_RETURN(auto metadata, co_await client->Call<kafka::MetadataResponse>(
                                            std::move(request), 12, plan->patience));
  TopicView view;
  std::map<int32_t, SocketAddress> brokers;
  for (const auto& broker : metadata.brokers) {
    brokers.emplace(broker.node_id, SocketAddress{broker.host, static_cast<uint16_t>(broker.port)});
  }
  for (const auto& topic : metadata.topics) {
    if (topic.error_code != 0) co_return Refused("Metadata", topic.error_code);
    view.topic_id = topic.topic_id;
    for (const auto& partition : topic.partitions) {
      auto leader = brokers.find(partition.leader_id);
      if (leader != brokers.end()) view.leaders.emplace(partition.partition_index, leader->second);
      view.epochs.emplace(partition.partition_index, partition.leader_epoch);
    }
  }
  if (view.leaders.size() != static_cast<size_t>(plan->partitions)) {
    co_return absl::UnavailableError("not every partition has a leader");
  }
  co_return view;
}

SimProducer::SimProducer(Env& env, const WorkloadPlan& plan, History& history, int number)
    : env_(env),
      plan_(plan),
      history_(history),
      number_(number),
      scope_(env.reactor),
      client_(env, fmt::format("producer-{}", number)) {
  for (int32_t partition = 0; partition < plan.partitions; ++partition) lanes_[partition];
}

size_t SimProducer::outstanding() const {
  size_t count = 0;
  for (const auto& [partition, lane] : lanes_) count += lane.batches.size();
  return count;
}

Task<void> SimProducer::Stop() {
  client_.Shutdown();
  co_await scope_.Stop();
  co_await client_.Stop();
}

Task<void> SimProducer::Run() {
  while (!scope_.stopping() && !done()) {
    absl::Status status = co_await Session();
    last_problem_ = status.ToString();
    if (absl::IsDataLoss(status)) {
      history_.Wrong(fmt::format("producer {}: {}", number_, last_problem_));
      co_return;
    }
    co_await client_.Disconnect();
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(100)), scope_.token());
  }
}

Task<absl::Status> SimProducer::Identify() {
  kafka::InitProducerIdRequest request;
  request.transactional_id = std::nullopt;
  request.transaction_timeout_ms = 60'000;
  MR_CO_ASSIGN_OR_RETURN(auto response, co_await client_.Call<kafka::InitProducerIdResponse>(
                                            std::move(request), 4, plan_.patience));
  if (response.error_code != 0) co_return Refused("InitProducerId", response.error_code);
  producer_id_.emplace(response.producer_id, response.producer_epoch);
  co_return absl::OkStatus();
}

Task<absl::Status> SimProducer::Session() {
  MR_CO_ASSIGN_OR_RETURN(
      view_, co_await FindTopic(&client_, &plan_, env_.random.Below(1000), /*create=*/true));
  if (!producer_id_.has_value()) MR_CO_RETURN_IF_ERROR(co_await Identify());
  while (!scope_.stopping() && !done()) {
    const auto partition = static_cast<int32_t>(env_.random.Below(lanes_.size()));
    if (!draining_) MakeBatches(partition);
    MR_CO_RETURN_IF_ERROR(co_await Round(partition));
    if (plan_.epochs && producer_id_->second > 0 && lanes_[partition].in_epoch &&
        env_.random.Below(10) == 0) {
      MR_CO_RETURN_IF_ERROR(co_await SendStale(partition));
    }
    if (plan_.epochs && outstanding() == 0 && env_.random.Below(30) == 0) BeginEpoch();
    const auto think = static_cast<uint64_t>(plan_.think_max.count());
    co_await Sleep(env_.reactor, Duration(static_cast<int64_t>(env_.random.Below(think + 1))),
                   scope_.token());
  }
  co_return absl::OkStatus();
}

void SimProducer::MakeBatches(int32_t partition) {
  Lane& lane = lanes_[partition];
  size_t window = 1 + env_.random.Below(static_cast<uint64_t>(plan_.in_flight_max));
  // Of a producer that it does not know a log takes any sequence, as Kafka's does. When a leadership
  // comes between two requests of ours, the first is refused, the second would be taken, and the
  // first is out of order for ever. Kafka's client then gives the batch up; ours avoids it.
  if (!lane.known) window = 1;
  while (lane.batches.size() < window && history_.sent() < plan_.sent_max) {
    auto batch = std::make_unique<Batch>();
    batch->first_sequence = lane.next_sequence;
    const uint64_t records =
        1 + env_.random.Below(static_cast<uint64_t>(plan_.records_per_batch_max));
    for (uint64_t i = 0; i < records; ++i) {
      const SentValue value{number_, lane.next_number++};
      history_.Sent({plan_.topic, partition}, value);
      batch->texts.push_back(value.ToString() +
                             std::string(env_.random.Below(plan_.padding_max + 1), '.'));
      batch->values.push_back(value);
      ++lane.next_sequence;
    }
    lane.batches.push_back(std::move(batch));
  }
}

Task<absl::Status> SimProducer::Round(int32_t partition) {
  Lane& lane = lanes_[partition];
  if (lane.batches.empty()) co_return absl::OkStatus();
  std::deque<absl::Status> results(lane.batches.size());
  TaskScope round(env_.reactor);
  for (size_t i = 0; i < lane.batches.size(); ++i) {
    round.Spawn(SendBatch(partition, lane.batches[i].get(), &results[i]));
  }
  co_await round.Join();
  const bool acknowledged =
      std::erase_if(lane.batches, [](const auto& batch) { return batch->acknowledged; }) > 0;
  lane.known |= acknowledged;
  lane.in_epoch |= acknowledged;
  for (const absl::Status& result : results) MR_CO_RETURN_IF_ERROR(result);
  co_return absl::OkStatus();
}

kafka::ProduceRequest SimProducer::Request(int32_t partition, int16_t epoch,
                                           const Batch& batch) const {
  BatchBuilder builder(
      {.producer = BatchProducer{ProducerId(producer_id_->first), ProducerEpoch(epoch),
                                 Sequence(batch.first_sequence)}});
  for (const std::string& text : batch.texts) {
    builder.Append(env_.clock.Now(), std::nullopt, Bytes(text));
  }
  absl::StatusOr<BatchView> built = builder.Build();
  MR_CHECK(built.ok());
  kafka::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  kafka::ProduceRequest::TopicProduceData topic;
  if (plan_.produce_version >= 13) {
    topic.topic_id = view_.topic_id;
  } else {
    topic.name = plan_.topic;
  }
  topic.partition_data.push_back({partition, Chain(built->bytes())});
  request.topic_data.push_back(std::move(topic));
  return request;
}

void SimProducer::BeginEpoch() {
  ++producer_id_->second;
  for (auto& [partition, lane] : lanes_) {
    lane.next_sequence = 0;
    lane.in_epoch = false;
  }
}

Task<absl::Status> SimProducer::SendStale(int32_t partition) {
  // Of a value that nobody is told of: whoever reads it has found it out.
  Batch stale{0, {}, {SentValue{number_, kStaleNumber}.ToString()}};
  const auto epoch = static_cast<int16_t>(producer_id_->second - 1);
  MR_CO_ASSIGN_OR_RETURN(
      auto response, co_await client_.Call<kafka::ProduceResponse>(
                         Request(partition, epoch, stale), plan_.produce_version, plan_.patience));
  for (const auto& topic : response.responses) {
    for (const auto& answer : topic.partition_responses) {
      if (answer.error_code != 0) continue;
      history_.Wrong(fmt::format("{}-{}: a batch of epoch {} was taken, behind one of epoch {}",
                                 plan_.topic, partition, epoch, producer_id_->second));
    }
  }
  co_return absl::OkStatus();
}

Task<void> SimProducer::SendBatch(int32_t partition, Batch* batch, absl::Status* result) {
  kafka::ProduceRequest request = Request(partition, producer_id_->second, *batch);
  absl::StatusOr<kafka::ProduceResponse> response = co_await client_.Call<kafka::ProduceResponse>(
      std::move(request), plan_.produce_version, plan_.patience);
  if (!response.ok()) {
    *result = response.status();
    co_return;
  }
  if (response->responses.size() != 1 || response->responses[0].partition_responses.size() != 1) {
    *result = absl::DataLossError("Produce answered for other partitions");
    co_return;
  }
  const auto& answer = response->responses[0].partition_responses[0];
  *result = TakeAnswer(partition, batch, answer.error_code, answer.base_offset);
}

absl::Status SimProducer::TakeAnswer(int32_t partition, Batch* batch, int16_t error,
                                     int64_t base_offset) {
  switch (static_cast<KafkaError>(error)) {
    case KafkaError::kNone:
      batch->acknowledged = true;
      for (size_t i = 0; i < batch->values.size(); ++i) {
        history_.Acknowledged({plan_.topic, partition}, base_offset + static_cast<int64_t>(i),
                              batch->values[i]);
      }
      return absl::OkStatus();
    case KafkaError::kDuplicateSequenceNumber:
      // It is there, but too far back for the broker to know where.
      batch->acknowledged = true;
      return absl::OkStatus();
    case KafkaError::kUnknownServerError:
    case KafkaError::kCorruptMessage:
    case KafkaError::kInvalidRecord:
    case KafkaError::kUnknownProducerId:
    case KafkaError::kInvalidProducerEpoch:
    case KafkaError::kUnsupportedVersion:
    case KafkaError::kInvalidRequest:
      // Never right for what we send, faults or not (P14; redpanda #5355).
      return absl::DataLossError(fmt::format("Produce answered error {}", error));
    default:
      return Refused("Produce", error);  // Tried again, in order.
  }
}

}  // namespace millrace::simtest

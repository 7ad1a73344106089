#include "cli/client/producer.h"

#include <algorithm>

#include "proto/kafka/init_producer_id_request.h"
#include "proto/kafka/init_producer_id_response.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

using kafka::KafkaError;

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::optional<std::span<const uint8_t>> BytesOf(const std::optional<std::string>& text) {
  if (!text.has_value()) return std::nullopt;
  return BytesOf(*text);
}

// The topic in front of what the broker said.
absl::Status Named(const std::string& topic, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", topic, std::string(status.message())));
}

}  // namespace

size_t OutgoingRecord::bytes() const {
  constexpr size_t kOverhead = 24;
  size_t sum =
      kOverhead + (key.has_value() ? key->size() : 0) + (value.has_value() ? value->size() : 0);
  for (const OutgoingHeader& header : headers) {
    sum += header.key.size() + (header.value.has_value() ? header.value->size() : 0) + 4;
  }
  return sum;
}

Producer::Producer(KafkaClient& client, ProducerOptions options)
    : options_(std::move(options)),
      client_(client),
      scope_(client.env().reactor),
      sticky_(client.env().random),
      progress_(client.env().reactor) {}

Task<absl::Status> Producer::Start() {
  const Instant deadline = client_.env().reactor.Now() + options_.delivery_timeout;
  MR_CO_ASSIGN_OR_RETURN(topic_, co_await client_.Topic(options_.topic, /*create=*/true, deadline));
  for (const auto& partition : topic_.partitions) {
    if (partition.leader.has_value()) available_.push_back(partition.id);
  }
  if (options_.partition.has_value() && topic_.Find(*options_.partition) == nullptr) {
    co_return absl::InvalidArgumentError(fmt::format("{}: there is no partition {}, only 0 to {}",
                                                     options_.topic, *options_.partition,
                                                     topic_.partitions.size() - 1));
  }
  if (options_.acks == Acks::kAll) co_return co_await GetProducerId(deadline);
  co_return absl::OkStatus();
}

Task<absl::Status> Producer::GetProducerId(Instant deadline) {
  for (;;) {
    kafka::InitProducerIdRequest request;
    request.transactional_id.reset();
    request.transaction_timeout_ms = 0;
    absl::StatusOr<kafka::InitProducerIdResponse> response =
        co_await client_.CallAny<kafka::InitProducerIdResponse>(request, deadline);
    // A broker from before idempotence: its promise is then at least once.
    if (absl::IsUnimplemented(response.status())) co_return absl::OkStatus();
    MR_CO_RETURN_IF_ERROR(response.status());
    if (response->error_code == 0) {
      producer_ = BatchProducer{ProducerId(response->producer_id),
                                ProducerEpoch(response->producer_epoch), std::nullopt};
      co_return absl::OkStatus();
    }
    MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(KafkaFailure(response->error_code), deadline));
  }
}

absl::StatusOr<PartitionId> Producer::Choose(const OutgoingRecord& record) {
  if (options_.partition.has_value()) return *options_.partition;
  if (record.key.has_value()) {
    return PartitionOfKey(BytesOf(*record.key), static_cast<int32_t>(topic_.partitions.size()));
  }
  if (available_.empty()) {
    return absl::UnavailableError(fmt::format("{}: no partition has a leader", options_.topic));
  }
  return sticky_.Next(available_, record.bytes());
}

Task<absl::Status> Producer::Append(OutgoingRecord record) {
  const size_t bytes = record.bytes();
  while (failure_.ok() && pending_bytes_ > 0 &&
         pending_bytes_ + bytes > options_.pending_bytes_max) {
    co_await progress_.Wait();
  }
  MR_CO_RETURN_IF_ERROR(failure_);
  MR_CO_ASSIGN_OR_RETURN(PartitionId partition, Choose(record));
  const Instant now = client_.env().reactor.Now();
  Queue& queue =
      queues_.try_emplace(partition, Queue{{}, now, false, 0, std::numeric_limits<size_t>::max()})
          .first->second;
  if (queue.records.empty()) queue.silent_since = now;
  queue.records.push_back({std::move(record), now + options_.delivery_timeout});
  pending_bytes_ += bytes;
  if (!queue.sending) {
    queue.sending = true;
    scope_.Spawn(SendLoop(partition));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Producer::Flush() {
  while (failure_.ok() && !idle()) co_await progress_.Wait();
  co_return failure_;
}

Task<void> Producer::SendLoop(PartitionId partition) {
  Queue& queue = queues_.find(partition)->second;  // Queues are never erased.
  while (!queue.records.empty() && failure_.ok() && !scope_.stopping()) {
    absl::Status sent = co_await SendFront(partition);
    if (!sent.ok()) Fail(std::move(sent));
  }
  queue.sending = false;
}

size_t Producer::CountFront(const Queue& queue) const {
  size_t bytes = kBatchHeaderBytes;
  size_t count = 0;
  for (const Pending& pending : queue.records) {
    bytes += pending.record.bytes();
    if (count > 0 && (bytes > options_.batch_bytes_max || count == queue.count_max)) break;
    ++count;
  }
  return count;
}

absl::StatusOr<Slice> Producer::Build(const Queue& queue, size_t count) const {
  BatchBuilderOptions options;
  options.compression = options_.compression;
  if (producer_.has_value()) {
    options.producer =
        BatchProducer{producer_->id, producer_->epoch, Sequence(queue.next_sequence)};
  }
  BatchBuilder builder(options);
  std::vector<RecordHeaderView> headers;
  for (size_t i = 0; i < count; ++i) {
    const OutgoingRecord& record = queue.records[i].record;
    headers.clear();
    for (const OutgoingHeader& header : record.headers) {
      headers.push_back({BytesOf(header.key), BytesOf(header.value)});
    }
    builder.Append(record.timestamp, BytesOf(record.key), BytesOf(record.value), headers);
  }
  MR_ASSIGN_OR_RETURN(BatchView batch, builder.Build());
  return batch.bytes();
}

Task<absl::Status> Producer::SendFront(PartitionId partition) {
  Queue& queue = queues_.find(partition)->second;
  // The batch stays the same over all tries: it is known to the broker by its sequence numbers.
  const size_t count = CountFront(queue);
  const Instant deadline = queue.records.front().deadline;
  MR_CO_ASSIGN_OR_RETURN(Slice batch, Build(queue, count));
  for (;;) {
    absl::StatusOr<std::optional<Offset>> base = co_await TrySend(partition, batch, deadline);
    if (base.ok()) {
      Acknowledge(partition, count, *base);
      co_return absl::OkStatus();
    }
    if (absl::IsOutOfRange(base.status()) && count > 1) {  // Too large: in halves, then.
      queue.count_max = count / 2;
      co_return absl::OkStatus();
    }
    absl::Status again = co_await client_.Backoff(base.status(), deadline);
    if (!again.ok()) co_return Named(options_.topic, again);
    if (scope_.stopping()) co_return absl::CancelledError("the producer is stopping");
    // Perhaps another broker leads it now.
    absl::StatusOr<TopicView> topic = co_await client_.Topic(options_.topic, false, deadline);
    if (topic.ok()) {
      topic_ = *std::move(topic);
    } else if (!IsRetriable(topic.status())) {
      co_return topic.status();
    }
  }
}

Task<absl::StatusOr<std::optional<Offset>>> Producer::TrySend(PartitionId partition, Slice batch,
                                                              Instant deadline) {
  const TopicView::Partition* view = topic_.Find(partition);
  if (view == nullptr || !view->leader.has_value()) {
    co_return absl::UnavailableError(fmt::format("partition {} has no leader", partition));
  }
  const Instant now = client_.env().reactor.Now();
  const Instant until = std::min(deadline, now + options_.request_timeout);
  kafka::ProduceRequest request;
  request.acks = static_cast<int16_t>(options_.acks);
  request.timeout_ms = static_cast<int32_t>(
      std::chrono::duration_cast<milliseconds>(options_.request_timeout).count());
  request.topic_data.push_back(
      {options_.topic, topic_.id, {{partition.value(), Chain(std::move(batch))}}});
  MR_CO_ASSIGN_OR_RETURN(KafkaConnection * connection,
                         co_await client_.Broker(*view->leader, until));
  if (options_.acks == Acks::kNone) {
    MR_CO_RETURN_IF_ERROR(co_await connection->Send(std::move(request)));
    co_return std::optional<Offset>();
  }
  MR_CO_ASSIGN_OR_RETURN(
      kafka::ProduceResponse response,
      co_await connection->Call<kafka::ProduceResponse>(std::move(request), until));
  if (response.responses.empty() || response.responses[0].partition_responses.empty()) {
    co_return absl::DataLossError("the answer to Produce says nothing about the partition");
  }
  const auto& answer = response.responses[0].partition_responses[0];
  switch (static_cast<KafkaError>(answer.error_code)) {
    case KafkaError::kNone:
      if (answer.base_offset < 0) co_return std::optional<Offset>();
      co_return std::optional(Offset(answer.base_offset));
    case KafkaError::kDuplicateSequenceNumber:  // An earlier try has been written.
      co_return std::optional<Offset>();
    case KafkaError::kMessageTooLarge:
      co_return absl::OutOfRangeError(
          KafkaFailure(answer.error_code, answer.error_message).message());
    case KafkaError::kUnknownTopicOrPartition:  // The leader may not have heard of it yet.
      co_return absl::UnavailableError(
          KafkaFailure(answer.error_code, answer.error_message).message());
    default:
      co_return KafkaFailure(answer.error_code, answer.error_message);
  }
}

void Producer::Acknowledge(PartitionId partition, size_t count, std::optional<Offset> base) {
  Queue& queue = queues_.find(partition)->second;
  Written& written = written_[partition];
  const Instant now = client_.env().reactor.Now();
  written.longest_gap = std::max(written.longest_gap, now - queue.silent_since);
  queue.silent_since = now;
  for (size_t i = 0; i < count; ++i) {
    const OutgoingRecord& record = queue.records.front().record;
    written.bytes += (record.key.has_value() ? record.key->size() : 0) +
                     (record.value.has_value() ? record.value->size() : 0);
    pending_bytes_ -= record.bytes();
    queue.records.pop_front();
  }
  written.records += count;
  if (base.has_value()) {
    if (!written.begin.has_value()) written.begin = base;
    written.end = *base + OffsetDelta(static_cast<int64_t>(count));
  }
  queue.next_sequence =
      AdvanceSequence(Sequence(queue.next_sequence), static_cast<int32_t>(count)).value();
  progress_.Pulse();
}

void Producer::Fail(absl::Status status) {
  if (failure_.ok()) failure_ = std::move(status);
  progress_.Pulse();
}

Task<void> Producer::Stop() {
  Fail(absl::CancelledError("the producer is stopping"));
  co_await scope_.Stop();
}

}  // namespace millrace

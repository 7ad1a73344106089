// Produce (key 0), versions 3 to 13.
//
// Promises: partitions are independent. acks=1 answers when the batch is in the leader's log
// (durably, on a `disk` topic), acks=-1 when
//           it is committed, acks=0 never; then an error closes the connection, so that the client
//           notices. Duplicates of an idempotent producer answer the original offset, once that is
//           committed.
// Errors:   per partition, in Kafka's order of checks (rule 1.9). REQUEST_TIMED_OUT for those that
// did not commit in time: they
//           may commit later. INVALID_REQUIRED_ACKS. From v10 NOT_LEADER_OR_FOLLOWER comes with the
//           current leader (KIP-951).
// Not here: transactions (docs/compatibility.md): a transactional batch answers INVALID_TXN_STATE.
// Source:   KIP-98, KIP-467 (record errors), KIP-516 (topic ids), KIP-951; rules 1.1-1.38.
#include <deque>
#include <expected>
#include <map>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"

namespace millrace {
namespace {

using kafka::ProduceRequest;
using kafka::ProduceResponse;
using PartitionAnswer = ProduceResponse::PartitionProduceResponse;

constexpr int16_t kAcksNone = 0;
constexpr int16_t kAcksLeader = 1;
constexpr int16_t kAcksAll = -1;
constexpr int16_t kZstdVersion = 7;
constexpr int16_t kTopicIdVersion = 13;
constexpr int16_t kLeaderHintVersion = 10;
constexpr std::string_view kAdminClientId =
    "__admin_client";  // May write internal topics (rule 1.22).

// One partition that was appended to and is waited for.
class AppendWait final : public OffsetWaiter {
 public:
  AppendWait(size_t* left, Event* done, PartitionAnswer* answer)
      : left_(left), done_(done), answer_(answer) {}
  void OnReached(const absl::Status& status) override {
    if (!status.ok()) {
      answer_->error_code = ErrorCode(status);
      answer_->error_message = ErrorMessage(status);
      answer_->base_offset = -1;
    }
    if (--*left_ == 0) done_->Pulse();
  }
  PartitionAnswer& answer() { return *answer_; }

 private:
  size_t* left_;
  Event* done_;
  PartitionAnswer* answer_;
};

// One request on its way: answers are made in place, so their addresses stay.
class ProduceRun {
 public:
  ProduceRun(Broker& broker, const ApiRequest& request, const ProduceRequest& body)
      : broker_(broker), request_(request), body_(body), done_(broker.env.reactor) {}

  // In the request's order. False: cancelled while it waited for memory.
  Task<bool> AppendAll();
  Task<void> WaitForAcks(CancellationToken cancel);
  bool any_error() const { return any_error_; }
  ProduceResponse& response() { return response_; }

 private:
  // Nothing: done, or refused. Otherwise: so many bytes more than came in are needed, nothing
  // happened.
  std::optional<size_t> TryAppendOne(const ProduceRequest::TopicProduceData& topic,
                                     const ProduceRequest::PartitionProduceData& data, size_t grown,
                                     PartitionAnswer* answer);
  void Refuse(const absl::Status& status, PartitionAnswer* answer);
  void HintLeader(const ProduceRequest::TopicProduceData& topic, PartitionAnswer* answer);
  void Wait(Partition& partition, Offset next, PartitionAnswer* answer);

  Broker& broker_;
  const ApiRequest& request_;
  const ProduceRequest& body_;
  ProduceResponse response_;
  Admission admission_;             // Of at least bytes_left_.
  size_t bytes_left_ = 0;           // Records of the partitions that have not had their turn.
  std::map<int32_t, bool> hinted_;  // Brokers already in node_endpoints.
  std::deque<AppendWait> waits_;
  size_t waiting_ = 0;
  Event done_;
  bool any_error_ = false;
};

void ProduceRun::Refuse(const absl::Status& status, PartitionAnswer* answer) {
  any_error_ = true;
  answer->error_code = ErrorCode(status);
  answer->error_message = ErrorMessage(status);
  answer->base_offset = -1;
}

void ProduceRun::HintLeader(const ProduceRequest::TopicProduceData& topic,
                            PartitionAnswer* answer) {
  const MetadataImage& image = *broker_.image();
  MetadataImage::Topic known = request_.version >= kTopicIdVersion ? image.FindTopic(topic.topic_id)
                                                                   : image.FindTopic(topic.name);
  const PartitionImage* partition =
      known == nullptr ? nullptr : known->Find(PartitionId(answer->index));
  if (partition == nullptr || !partition->leader.has_value()) return;
  answer->current_leader = {partition->leader->value(), partition->leader_epoch.value()};
  const BrokerImage* leader = image.FindBroker(*partition->leader);
  const BrokerEndpoint* endpoint =
      leader == nullptr ? nullptr : leader->FindEndpoint(request_.connection->listener);
  if (endpoint == nullptr || !hinted_.emplace(leader->id.value(), true).second) return;
  response_.node_endpoints.push_back(
      {leader->id.value(), endpoint->host, endpoint->port, leader->rack});
}

void ProduceRun::Wait(Partition& partition, Offset next, PartitionAnswer* answer) {
  const bool all = body_.acks == kAcksAll;
  const Offset reached = all ? partition.high_watermark() : partition.log().durable_end();
  if (reached >= next) return;
  ++waiting_;
  AppendWait& wait = waits_.emplace_back(&waiting_, &done_, answer);
  (all ? partition.committed() : partition.durable()).Add(wait, next);
}

std::optional<size_t> ProduceRun::TryAppendOne(const ProduceRequest::TopicProduceData& topic,
                                               const ProduceRequest::PartitionProduceData& data,
                                               size_t grown, PartitionAnswer* answer) {
  auto refuse = [&](const absl::Status& status) {
    Refuse(status, answer);
    if (request_.version >= kLeaderHintVersion &&
        KindOf(status) == ErrorKind::kNotLeaderOrFollower) {
      HintLeader(topic, answer);
    }
    return std::nullopt;
  };
  absl::StatusOr<Partition*> partition = request_.version >= kTopicIdVersion
                                             ? FindPartition(broker_, topic.topic_id, data.index)
                                             : FindPartition(broker_, topic.name, data.index);
  // Unknown, or known and led elsewhere: the format is looked at in between (rule 1.9).
  const bool elsewhere = KindOf(partition.status()) == ErrorKind::kNotLeaderOrFollower;
  if (!partition.ok() && !elsewhere) return refuse(partition.status());
  if (partition.ok() && IsInternalTopic((*partition)->topic()) &&
      request_.client_id != kAdminClientId) {
    return refuse(
        MakeError(ErrorKind::kInvalidTopic, "clients may not produce to internal topics"));
  }
  absl::StatusOr<BatchView> batch = CheckProduceRecords(data.records.value_or(Chain()).Flatten(),
                                                        request_.version >= kZstdVersion);
  if (!batch.ok()) return refuse(batch.status());
  if (!partition.ok()) return refuse(partition.status());

  const bool all = body_.acks == kAcksAll;
  const size_t received = batch->bytes().size();
  std::expected<ValidatedBatch, BatchRejection> valid =
      (*partition)->Prepare(*std::move(batch), all, broker_.env.clock.Now(), broker_.validator);
  if (!valid.has_value()) {
    for (RecordError& error : valid.error().record_errors) {
      answer->record_errors.push_back({error.index, std::move(error.message)});
    }
    return refuse(valid.error().status);
  }
  // Recompression makes a batch larger at times: by more than was asked for when it came in.
  const size_t size = valid->batch.bytes().size();
  if (size > received + grown) {
    std::optional<Admission> more = broker_.store.TryAdmit(size - received - grown);
    if (!more.has_value()) return size - received;
    admission_.Add(*std::move(more));
  }
  absl::StatusOr<LeaderAppend> appended = (*partition)->Append(*std::move(valid), all, admission_);
  if (!appended.ok()) return refuse(appended.status());
  answer->base_offset = appended->base_offset.value();
  answer->log_append_time_ms =
      appended->log_append_time.has_value() ? appended->log_append_time->ms() : -1;
  answer->log_start_offset = (*partition)->log().start_offset().value();
  if (body_.acks != kAcksNone) Wait(**partition, appended->next_offset, answer);
  return std::nullopt;
}

size_t RecordBytes(const ProduceRequest::PartitionProduceData& data) {
  return data.records.has_value() ? data.records->size() : 0;
}

Task<bool> ProduceRun::AppendAll() {
  for (const auto& topic : body_.topic_data) {
    for (const auto& data : topic.partition_data) bytes_left_ += RecordBytes(data);
  }
  // The request holds the connection's turn, so whoever waits for memory here stays in order.
  absl::StatusOr<Admission> admitted = co_await broker_.store.Admit(bytes_left_, request_.cancel);
  if (!admitted.ok()) co_return false;
  admission_ = *std::move(admitted);
  const bool acks_known =
      body_.acks == kAcksNone || body_.acks == kAcksLeader || body_.acks == kAcksAll;
  response_.responses.resize(body_.topic_data.size());
  for (size_t t = 0; t < body_.topic_data.size(); ++t) {
    const ProduceRequest::TopicProduceData& topic = body_.topic_data[t];
    ProduceResponse::TopicProduceResponse& answers = response_.responses[t];
    answers.name = topic.name;
    answers.topic_id = topic.topic_id;
    answers.partition_responses.resize(topic.partition_data.size());
    for (size_t p = 0; p < topic.partition_data.size(); ++p) {
      PartitionAnswer* answer = &answers.partition_responses[p];
      answer->index = topic.partition_data[p].index;
      if (!acks_known) {
        any_error_ = true;
        answer->error_code = ErrorCode(kafka::KafkaError::kInvalidRequiredAcks);
        answer->base_offset = -1;
        continue;
      }
      const ProduceRequest::PartitionProduceData& data = topic.partition_data[p];
      size_t grown = 0;
      while (std::optional<size_t> more = TryAppendOne(topic, data, grown, answer)) {
        // Everything goes back first: two requests that each held some and waited for more would
        // wait for ever. The batch is rebuilt again afterwards, so that who waits holds little.
        grown = *more;
        admission_ = Admission();
        admitted = co_await broker_.store.Admit(bytes_left_ + grown, request_.cancel);
        if (!admitted.ok()) co_return false;
        admission_ = *std::move(admitted);
      }
      bytes_left_ -= RecordBytes(data);
    }
  }
  admission_ = Admission();  // What was not appended is free again.
  co_return true;
}

Task<void> ProduceRun::WaitForAcks(CancellationToken cancel) {
  const Instant deadline = broker_.env.reactor.Now() + milliseconds(std::max(0, body_.timeout_ms));
  while (waiting_ > 0) {
    if (co_await done_.Wait(deadline, cancel) != WaitResult::kSignalled) break;
  }
  for (AppendWait& wait : waits_) {
    if (!wait.linked()) continue;
    wait.Unlink();
    wait.answer().error_code = ErrorCode(kafka::KafkaError::kRequestTimedOut);
    wait.answer().base_offset = -1;
  }
}

}  // namespace

Task<ApiReply> HandleProduce(Broker* broker, ApiRequest request) {
  absl::StatusOr<ProduceRequest> body = DecodeBody<ProduceRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  ProduceRun run(*broker, request, *body);
  if (!co_await run.AppendAll()) co_return ApiReply::Close("stopped while waiting for memory");
  // What a log keeps of a large batch is charged to its pending bytes and then to the tail cache,
  // which may keep it until the next append. The receive budget must not wait for that.
  request.body.Uncharge();
  request.order->Release();
  if (body->acks == kAcksNone) {
    // A client that wants no answers learns of an error by the closed connection (rule 1.2).
    co_return run.any_error() ? ApiReply::Close("Produce with acks=0 failed") : ApiReply::Silent();
  }
  // The decoded request pins the receive buffer: small batches have been copied, so let it go while
  // we wait.
  for (auto& topic : body->topic_data) {
    for (auto& partition : topic.partition_data) partition.records.reset();
  }
  request.body = Slice();
  co_await run.WaitForAcks(request.cancel);
  co_return Reply(request, run.response());
}

}  // namespace millrace

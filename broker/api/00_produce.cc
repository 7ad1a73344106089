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
//           current leader (KIP-951), where this broker knows of another one.
// Order:    the batches of a connection are appended in the order in which they came, also when a
// helper decompresses one of them: the request keeps its turn until all its batches are in, or refused.
// What waits for memory, or for a directory that hangs, is refused when its leadership ends; not when
// its timeout_ms has passed, for what is behind it would overtake it.
// Who may know sooner than this broker that it leads is answered when it knows, too
// (await_leadership.h).
// Not here: transactions (docs/compatibility.md): a transactional batch answers INVALID_TXN_STATE.
// Source:   KIP-98, KIP-467 (record errors), KIP-516 (topic ids), KIP-951; rules 1.1-1.38.
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "broker/api/produce_part.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"

namespace millrace {
namespace {

using kafka::ProduceRequest;
using kafka::ProduceResponse;

constexpr int16_t kAcksNone = 0;
constexpr int16_t kAcksLeader = 1;
constexpr int16_t kAcksAll = -1;
constexpr int16_t kTopicIdVersion = 13;
constexpr int16_t kLeaderHintVersion = 10;
constexpr std::string_view kAdminClientId =
    "__admin_client";  // May write internal topics (rule 1.22).

// One request on its way. Answers are made in place, so their addresses stay. Partitions of this
// shard are one ProducePart here; those of each other shard are one there, made by one call that
// says when it has appended, and ends when all is acknowledged:
//
//   here:   group ─► append own ─► wait until all have appended ─► next request may start ─► answer
//   there:      └─► copy, append ─► say so ─────┘                  wait for acks ──► end ──┘
class ProduceRun {
 public:
  ProduceRun(Broker& broker, const ApiRequest& request, const ProduceRequest& body)
      : broker_(broker),
        request_(request),
        body_(body),
        elsewhere_(broker.env.reactor),
        appended_(broker.env.reactor) {}

  // In the request's order on each partition. False: cancelled while it waited for memory; nothing
  // of the request is under way then.
  Task<bool> AppendAll();
  Task<void> WaitForAcks();
  bool any_error() const;
  // REQUIRES: WaitForAcks() has ended.
  const ProduceResponse& Answered();

 private:
  using Items = std::vector<ProduceItem>;

  ProduceTerms Terms(bool lent) const;
  // Answers what no shard has to look at, and gives each shard the rest.
  void Group();
  Task<void> RunElsewhere(ShardId shard);
  // How a part ended on another shard.
  enum class Ended { kCancelled, kAppended, kAfterSayingSo };
  static Task<Ended> RunThere(Broker* there, ShardId from, const Items* items, ProduceTerms terms,
                              ProduceRun* run, CancellationToken cancel);
  void OneHasAppended();
  void HintLeader(const ProduceRequest::TopicProduceData& topic, ProduceAnswer* answer);

  Broker& broker_;
  const ApiRequest& request_;
  const ProduceRequest& body_;
  ProduceResponse response_;
  std::map<int32_t, bool> hinted_;  // Brokers already in node_endpoints.
  std::vector<Items> items_;        // By shard.
  std::optional<ProducePart> own_;
  TaskScope elsewhere_;
  size_t appending_ = 0;  // Other shards that have not appended yet.
  Event appended_;
  bool cancelled_ = false;
};

ProduceTerms ProduceRun::Terms(bool lent) const {
  return {request_.version, body_.acks, body_.timeout_ms, request_.client_id == kAdminClientId,
          lent};
}

void ProduceRun::Group() {
  const MetadataImage& image = *broker_.image();
  const bool acks_known =
      body_.acks == kAcksNone || body_.acks == kAcksLeader || body_.acks == kAcksAll;
  items_.resize(broker_.shards.count());
  response_.responses.resize(body_.topic_data.size());
  for (size_t t = 0; t < body_.topic_data.size(); ++t) {
    const ProduceRequest::TopicProduceData& topic = body_.topic_data[t];
    ProduceResponse::TopicProduceResponse& answers = response_.responses[t];
    answers.name = topic.name;
    answers.topic_id = topic.topic_id;
    answers.partition_responses.resize(topic.partition_data.size());
    for (size_t p = 0; p < topic.partition_data.size(); ++p) {
      const ProducedPartition& data = topic.partition_data[p];
      ProduceAnswer* answer = &answers.partition_responses[p];
      answer->index = data.index;
      if (!acks_known) {
        answer->error_code = ErrorCode(kafka::KafkaError::kInvalidRequiredAcks);
        answer->base_offset = -1;
        continue;
      }
      absl::StatusOr<TopicPartitionId> id =
          request_.version >= kTopicIdVersion ? ResolvePartition(image, topic.topic_id, data.index)
                                              : ResolvePartition(image, topic.name, data.index);
      if (id.ok()) {
        items_[broker_.shards.Of(*id).value()].push_back({*id, &data, answer});
      } else {
        RefuseProduce(id.status(), answer);
      }
    }
  }
}

void ProduceRun::OneHasAppended() {
  if (--appending_ == 0) appended_.Pulse();
}

Task<ProduceRun::Ended> ProduceRun::RunThere(Broker* there, ShardId from, const Items* items,
                                             ProduceTerms terms, ProduceRun* run,
                                             CancellationToken cancel) {
  ProducePart part(*there, terms, *items);
  if (!co_await part.Append(cancel)) co_return Ended::kCancelled;
  if (!part.waits()) co_return Ended::kAppended;
  // The records are not looked at any more. The message arrives before this call's end does.
  co_await there->shards.calls().Tell(there->env.reactor.shard(), from,
                                      [run] { run->OneHasAppended(); });
  co_await part.WaitForAcks(cancel);
  co_return Ended::kAfterSayingSo;
}

Task<void> ProduceRun::RunElsewhere(ShardId shard) {
  Broker* there = broker_.shards.at(shard);
  const ShardId here = broker_.env.reactor.shard();
  const Ended ended = co_await broker_.shards.calls().CallUntil<Ended>(
      here, shard, request_.cancel,
      [there, here, run = this, items = &items_[shard.value()], terms = Terms(/*lent=*/true)](
          CancellationToken cancel) { return RunThere(there, here, items, terms, run, cancel); });
  cancelled_ = cancelled_ || ended == Ended::kCancelled;
  if (ended != Ended::kAfterSayingSo) OneHasAppended();
}

Task<bool> ProduceRun::AppendAll() {
  Group();
  const uint32_t here = broker_.env.reactor.shard().value();
  for (uint32_t shard = 0; shard < items_.size(); ++shard) {
    if (shard == here || items_[shard].empty()) continue;
    ++appending_;
    elsewhere_.Spawn(RunElsewhere(ShardId(shard)));
  }
  own_.emplace(broker_, Terms(/*lent=*/false), items_[here]);
  if (!co_await own_->Append(request_.cancel)) cancelled_ = true;
  while (appending_ > 0) co_await appended_.Wait();
  if (cancelled_) {
    co_await own_->WaitForAcks(request_.cancel);
    co_await elsewhere_.Join();
  }
  co_return !cancelled_;
}

Task<void> ProduceRun::WaitForAcks() {
  co_await own_->WaitForAcks(request_.cancel);
  co_await elsewhere_.Join();
}

bool ProduceRun::any_error() const {
  for (const auto& topic : response_.responses) {
    for (const ProduceAnswer& answer : topic.partition_responses) {
      if (answer.error_code != 0) return true;
    }
  }
  return false;
}

void ProduceRun::HintLeader(const ProduceRequest::TopicProduceData& topic, ProduceAnswer* answer) {
  const MetadataImage& image = *broker_.image();
  MetadataImage::Topic known = request_.version >= kTopicIdVersion ? image.FindTopic(topic.topic_id)
                                                                   : image.FindTopic(topic.name);
  const PartitionImage* partition =
      known == nullptr ? nullptr : known->Find(PartitionId(answer->index));
  if (partition == nullptr || !partition->leader.has_value()) return;
  // In doubt (fencing_doubts.h): who leads now this broker does not know.
  if (*partition->leader == broker_.options.node_id) return;
  answer->current_leader = {partition->leader->value(), partition->leader_epoch.value()};
  const BrokerImage* leader = image.FindBroker(*partition->leader);
  const BrokerEndpoint* endpoint =
      leader == nullptr ? nullptr : leader->FindEndpoint(request_.connection->listener);
  if (endpoint == nullptr || !hinted_.emplace(leader->id.value(), true).second) return;
  response_.node_endpoints.push_back(
      {leader->id.value(), endpoint->host, endpoint->port, leader->rack});
}

const ProduceResponse& ProduceRun::Answered() {
  if (request_.version < kLeaderHintVersion) return response_;
  for (size_t t = 0; t < body_.topic_data.size(); ++t) {
    for (ProduceAnswer& answer : response_.responses[t].partition_responses) {
      if (answer.error_code == ErrorCode(kafka::KafkaError::kNotLeaderOrFollower)) {
        HintLeader(body_.topic_data[t], &answer);
      }
    }
  }
  return response_;
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
    co_await run.WaitForAcks();
    // A client that wants no answers learns of an error by the closed connection (rule 1.2).
    co_return run.any_error() ? ApiReply::Close("Produce with acks=0 failed") : ApiReply::Silent();
  }
  // The decoded request pins the receive buffer: small batches have been copied, so let it go while
  // we wait.
  for (auto& topic : body->topic_data) {
    for (auto& partition : topic.partition_data) partition.records.reset();
  }
  request.body = Slice();
  co_await run.WaitForAcks();
  co_return Reply(request, run.Answered());
}

}  // namespace millrace

// Fetch (key 1), versions 4 to 18. Records for consumers.
//
// Promises: whole batches up to the high watermark (READ_COMMITTED: the last stable offset, and
// with
//           them the aborted transactions to skip, by first offset).
// Answers at once when there are min_bytes, an
//           error, a diverging epoch, or another replica to read from (KIP-392: the leader names
//           one of the consumer's rack; followers serve v11 and later, up to what they know to be
//           committed); otherwise waits for max_wait_ms. The first partition with
//           records returns its first batch whole, however big (KIP-74). Incremental sessions
//           (KIP-227).
// Bounds:   one answer holds at most fetch.max.bytes, 16 MiB, and an eighth of the shard's fetch
//           budget, which clients accept: limits are upper bounds. Records being read and sent are
//           charged to that budget (fetch_budget.h says how), and what many partitions take beside
//           them; a connection has one answer in the making at a time. No request keeps its receive
//           buffer while it waits: what it asks for is charged instead, but for what little the
//           first of a connection needs. A request may name 50,000 topics and partitions; a long
//           poll of very many does not wait when there is no memory for that.
// Errors:   per partition OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
// NOT_LEADER_OR_FOLLOWER (with the leader
//           from v16), FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNSUPPORTED_COMPRESSION_TYPE,
//           KAFKA_STORAGE_ERROR. Top level: those of sessions, INVALID_REQUEST for arrays too large
//           to hold. A replica id is refused: replicas use the replication stream.
// Source:   KIP-74, KIP-227, KIP-320, KIP-392, KIP-516, KIP-595, KIP-951; rules 2.1-2.18.
#include <algorithm>
#include <expected>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/fetch_part.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/byte_hold.h"
#include "broker/fetch_plan.h"
#include "broker/on_shard.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"

namespace millrace {
namespace {

using kafka::FetchRequest;
using kafka::FetchResponse;
using PartitionData = FetchResponse::PartitionData;

constexpr size_t kResponseBytesMax = size_t{16} << 20;
// So many clients that read slowly must come together before the others wait for them.
constexpr size_t kAnswersInBudget = 8;
// Topics and partitions of one request: what it decodes to, and what is answered, is bounded by it.
constexpr size_t kElementsMax = 50'000;
// What an answer without records takes, in the making and encoded.
constexpr size_t kAnswerBytes = sizeof(FetchAnswer) + sizeof(PartitionData) + 100;
// A connection may cost that much: requests of few partitions are made and wait without a charge.
constexpr size_t kFreeBytes = size_t{16} << 10;
// Who is not granted memory to wait with waits so long for the answer before its own to have left,
// and no further request of its connection is read meanwhile.
constexpr Duration kUnchargedMax = seconds(1);
constexpr int16_t kErrorVersion = 7;
constexpr int16_t kReplicaStateVersion = 15;
constexpr int16_t kLeaderHintVersion = 16;

// Cancels a source of ours when somebody else's is cancelled.
class Forward final : public CancellationCallback {
 public:
  explicit Forward(CancellationSource& to) : to_(to) {}
  void OnCancel() override { to_.Cancel(); }

 private:
  CancellationSource& to_;
};

// One request on its way. The partitions of each shard are a FetchPart; each step is one call for
// every shard that has some. What another shard reads comes over as a copy, charged to our budget.
class FetchRun {
 public:
  // `may_wait`: it has memory to wait with.
  FetchRun(Broker& broker, const ApiRequest& request, FetchPlan plan, bool may_wait)
      : broker_(broker), request_(request), plan_(std::move(plan)), may_wait_(may_wait) {}

  Task<ApiReply> Run();

 private:
  using Step = std::function<Task<void>(Broker* there, FetchPart* part)>;

  ShardId here() const { return broker_.env.reactor.shard(); }
  bool AllHere() const { return parts_.size() == 1 && parts_.front().shard() == here(); }
  FetchTerms Terms() const { return {request_.version, plan_.read_committed, plan_.rack}; }
  // Gives every shard its partitions, and answers those that no shard has.
  void Group();
  Task<void> Survey();
  // Takes what an answer may need, all of it before anything is read: who had a part of it already
  // could wait for the rest for ever. False when the connection went away meanwhile.
  Task<bool> TakeMemory();
  // Fills in records, within the limits. False when the connection went away meanwhile.
  Task<bool> Read();
  // A first batch that is larger than what was taken: waits for its turn.
  Task<bool> ReadOversize();
  Task<void> ReadParts(size_t first_batch_max);
  void Park();
  Task<void> WaitForProgress(Instant deadline);
  Task<void> WaitOn(FetchPart* part, Instant deadline, CancellationSource* enough);
  // Runs `step` for every part at once, each on its shard.
  Task<void> OnParts(Step step);
  static Task<void> SurveyThere(Broker* there, FetchPart* part);
  static Task<std::monostate> WaitThere(Broker* there, FetchPart* part, Instant deadline,
                                        CancellationToken enough);
  ByteBudget& records() { return broker_.fetch_budget.records(); }
  const ByteBudget& records() const { return broker_.fetch_budget.records(); }
  // Of any answer, and of this one.
  size_t AnswerMax() const;
  size_t BytesMax() const;
  // What the answers take beside their records, as far as it is charged.
  size_t AnswersBytes() const;
  bool any_readable() const;
  bool is_urgent() const;
  bool is_full() const;
  ApiReply Answered();
  void HintLeader(const FetchAnswer& answer, FetchResponse* response, std::set<int32_t>* hinted);

  Broker& broker_;
  const ApiRequest& request_;
  FetchPlan plan_;
  const bool may_wait_;
  std::vector<FetchAnswer> answers_;  // In the order of the targets.
  std::vector<FetchPart> parts_;
  std::shared_ptr<ByteHold> hold_;
  size_t bytes_ = 0;      // Of records in answers_.
  bool refused_ = false;  // A partition that no shard has.
};

size_t FetchRun::AnswerMax() const {
  return std::min({broker_.options.fetch_bytes_max, kResponseBytesMax,
                   records().bytes_max() / kAnswersInBudget});
}

size_t FetchRun::BytesMax() const {
  return std::min(static_cast<size_t>(std::max(0, plan_.bytes_max)), AnswerMax());
}

size_t FetchRun::AnswersBytes() const {
  const size_t bytes = plan_.targets.size() * kAnswerBytes;
  // Not more than can be had beside others: a request that needs the whole budget would make all
  // others wait until the last answer before it has been read.
  return bytes <= kFreeBytes ? 0 : std::min(bytes, 2 * records().bytes_max() / kAnswersInBudget);
}

bool FetchRun::any_readable() const {
  return std::ranges::any_of(parts_, [](const FetchPart& part) { return part.readable() > 0; });
}

bool FetchRun::is_urgent() const {
  return refused_ ||
         std::ranges::any_of(parts_, [](const FetchPart& part) { return part.urgent(); });
}

bool FetchRun::is_full() const {
  // What one shard has left of its part of the limit another one may have wanted.
  return parts_.size() > 1 &&
         std::ranges::any_of(parts_, [](const FetchPart& part) { return part.full(); });
}

void FetchRun::Group() {
  const MetadataImage& image = *broker_.image();
  bytes_ = 0;
  refused_ = false;
  answers_.clear();
  answers_.reserve(plan_.targets.size());
  parts_.clear();
  for (const FetchTarget& target : plan_.targets) {
    FetchAnswer* answer = &answers_.emplace_back(FetchAnswer{.target = target});
    const FetchKey& key = target.key;
    answer->data.partition_index = key.partition;
    answer->data.records = Chain();
    answer->data.aborted_transactions = std::nullopt;
    absl::StatusOr<TopicPartitionId> id =
        key.topic_id.has_value() ? ResolvePartition(image, *key.topic_id, key.partition)
                                 : ResolvePartition(image, key.topic, key.partition);
    if (!id.ok()) {
      RefuseFetch(id.status(), answer);
      refused_ = true;
      continue;
    }
    answer->id = *id;
    const ShardId shard = broker_.shards.Of(*id);
    auto part = std::ranges::find(parts_, shard, &FetchPart::shard);
    if (part == parts_.end()) {
      parts_.emplace_back(shard, Terms());
      part = std::prev(parts_.end());
    }
    part->Add(answer);
  }
}

Task<void> FetchRun::OnParts(Step step) {
  TaskScope calls(broker_.env.reactor);
  for (FetchPart& part : parts_) {
    calls.Spawn(OnShard<void>(&broker_, part.shard(),
                              [step, part = &part](Broker& there) { return step(&there, part); }));
  }
  co_await calls.Join();
}

Task<void> FetchRun::SurveyThere(Broker* there, FetchPart* part) {
  part->Survey(*there);
  co_return;
}

Task<void> FetchRun::Survey() {
  Group();
  if (AllHere()) {
    parts_.front().Survey(broker_);
  } else if (!parts_.empty()) {
    co_await OnParts(&FetchRun::SurveyThere);
  }
}

Task<bool> FetchRun::TakeMemory() {
  if (hold_ != nullptr) co_return true;
  // What the client wants may be less than its first batch.
  const size_t bytes = AnswerMax() + AnswersBytes();
  if (!(co_await records().Acquire(bytes, request_.cancel)).ok()) co_return false;
  hold_ = std::make_shared<ByteHold>(records(), bytes);
  co_return true;
}

Task<void> FetchRun::ReadParts(size_t first_batch_max) {
  const size_t bytes_max = BytesMax();
  if (AllHere()) {
    co_await parts_.front().Read(&broker_, {bytes_max, first_batch_max, /*for_other_shard=*/false});
  } else {
    // Every shard gets a part of the limit, by how many partitions it can read; only the one with
    // the first of them may go beyond it, with one batch.
    size_t readable = 0;
    for (const FetchPart& part : parts_) readable += part.readable();
    const auto first = std::ranges::find(answers_, true, &FetchAnswer::readable);
    const ShardId first_shard = broker_.shards.Of(first->id);
    co_await OnParts([bytes_max, readable, first_shard, first_batch_max, from = here()](
                         Broker* there, FetchPart* part) {
      return part->Read(there, {bytes_max / readable * part->readable(),
                                part->shard() == first_shard ? first_batch_max : 0,
                                /*for_other_shard=*/part->shard() != from});
    });
  }
  bytes_ = 0;
  for (const FetchPart& part : parts_) bytes_ += part.bytes();
}

Task<bool> FetchRun::Read() {
  if (!co_await TakeMemory()) co_return false;
  co_await ReadParts(AnswerMax());
  if (std::ranges::any_of(parts_, &FetchPart::oversize) && !co_await ReadOversize()) {
    co_return false;
  }
  hold_->ShrinkTo(bytes_ + AnswersBytes());
  co_return !request_.cancel.cancelled();
}

Task<bool> FetchRun::ReadOversize() {
  for (FetchAnswer& answer : answers_) answer.data.records = Chain();
  hold_.reset();
  ByteBudget& turns = broker_.fetch_budget.oversize();
  if (!(co_await turns.Acquire(1, request_.cancel)).ok()) co_return false;
  auto turn = std::make_shared<ByteHold>(turns, 1);
  co_await ReadParts(kAnyBatchSize);
  const size_t bytes = bytes_ + AnswersBytes();
  // Half of the budget is for ordinary answers. Where there is no room it is not waited for (others
  // would wait behind it), and it keeps its turn: one batch is beside the budget at a time.
  const bool charged =
      records().Fits(bytes + records().bytes_max() / 2) && records().TryAcquire(bytes);
  hold_ = charged ? std::make_shared<ByteHold>(records(), bytes) : std::move(turn);
  co_return true;
}

void FetchRun::Park() {
  hold_.reset();  // Read again when there is more (rule 2.5); nothing is kept meanwhile.
  for (FetchPart& part : parts_) part.Park();
  std::vector<FetchAnswer>().swap(answers_);
}

Task<std::monostate> FetchRun::WaitThere(Broker* there, FetchPart* part, Instant deadline,
                                         CancellationToken enough) {
  co_await part->WaitForProgress(there, deadline, enough);
  co_return std::monostate();
}

Task<void> FetchRun::WaitOn(FetchPart* part, Instant deadline, CancellationSource* enough) {
  if (part->shard() == here()) {
    co_await part->WaitForProgress(&broker_, deadline, enough->token());
  } else {
    Broker* there = broker_.shards.at(part->shard());
    co_await broker_.shards.calls().CallUntil<std::monostate>(
        here(), part->shard(), enough->token(), [there, part, deadline](CancellationToken token) {
          return WaitThere(there, part, deadline, token);
        });
  }
  enough->Cancel();  // The others need not wait any longer.
}

Task<void> FetchRun::WaitForProgress(Instant deadline) {
  if (AllHere()) {
    co_await parts_.front().WaitForProgress(&broker_, deadline, request_.drain);
    co_return;
  }
  CancellationSource enough;
  Forward drain(enough);
  request_.drain.Register(drain);
  TaskScope waits(broker_.env.reactor);
  for (FetchPart& part : parts_) waits.Spawn(WaitOn(&part, deadline, &enough));
  co_await waits.Join();
}

void FetchRun::HintLeader(const FetchAnswer& answer, FetchResponse* response,
                          std::set<int32_t>* hinted) {
  const MetadataImage& image = *broker_.image();
  const FetchKey& key = answer.target.key;
  MetadataImage::Topic topic =
      key.topic_id.has_value() ? image.FindTopic(*key.topic_id) : image.FindTopic(key.topic);
  const PartitionImage* partition =
      topic == nullptr ? nullptr : topic->Find(PartitionId(key.partition));
  if (partition == nullptr || !partition->leader.has_value()) return;
  FetchResponse::FetchableTopicResponse& last = response->responses.back();
  last.partitions.back().current_leader = {partition->leader->value(),
                                           partition->leader_epoch.value()};
  const BrokerImage* leader = image.FindBroker(*partition->leader);
  const BrokerEndpoint* endpoint =
      leader == nullptr ? nullptr : leader->FindEndpoint(request_.connection->listener);
  if (endpoint == nullptr || !hinted->insert(leader->id.value()).second) return;
  response->node_endpoints.push_back(
      {leader->id.value(), endpoint->host, endpoint->port, leader->rack});
}

ApiReply FetchRun::Answered() {
  FetchResponse response;
  response.session_id = plan_.session_id();
  std::set<int32_t> hinted;
  for (FetchAnswer& answer : answers_) {
    const PartitionData& data = answer.data;
    const FetchKey& key = answer.target.key;
    const bool has_records = data.records.has_value() && !data.records->empty();
    if (plan_.session != nullptr) {
      const bool news = plan_.session->Report(
          key, {has_records, data.error_code != 0, data.diverging_epoch.end_offset >= 0,
                data.preferred_read_replica >= 0, data.high_watermark, data.log_start_offset});
      if (plan_.incremental && !news) continue;
    }
    if (response.responses.empty() || response.responses.back().topic != key.topic ||
        response.responses.back().topic_id != key.topic_id.value_or(Uuid(0, 0))) {
      response.responses.push_back({key.topic, key.topic_id.value_or(Uuid(0, 0)), {}});
    }
    const bool led_elsewhere =
        data.error_code == ErrorCode(kafka::KafkaError::kNotLeaderOrFollower) ||
        data.error_code == ErrorCode(kafka::KafkaError::kFencedLeaderEpoch);
    response.responses.back().partitions.push_back(std::move(answer.data));
    if (led_elsewhere && request_.version >= kLeaderHintVersion)
      HintLeader(answer, &response, &hinted);
  }
  ApiReply reply = Reply(request_, response);
  if (hold_ != nullptr) hold_->ShrinkTo(bytes_);  // The answers are encoded, and go.
  reply.hold = std::move(hold_);
  return reply;
}

Task<ApiReply> FetchRun::Run() {
  const Instant deadline = request_.received + milliseconds(std::max(0, plan_.wait_ms_max));
  const size_t bytes_min = std::min(static_cast<size_t>(std::max(0, plan_.bytes_min)), BytesMax());
  for (;;) {
    if (AnswersBytes() > 0 && !co_await TakeMemory()) co_return ApiReply::Silent();
    co_await Survey();
    const bool late = answers_.empty() || !may_wait_ || request_.drain.cancelled() ||
                      broker_.env.reactor.Now() >= deadline;
    if (any_readable() && !co_await Read()) co_return ApiReply::Silent();
    if (late || is_urgent() || is_full()) break;
    if (bytes_ >= bytes_min && (bytes_ > 0 || bytes_min == 0)) break;
    Park();
    co_await WaitForProgress(deadline);
    if (request_.cancel.cancelled()) co_return ApiReply::Silent();
  }
  co_return Answered();
}

// What is asked for; nothing of the request is kept. Or the answer to one that is refused.
std::expected<FetchPlan, ApiReply> Prepare(Broker& broker, const ApiRequest& request) {
  absl::StatusOr<FetchRequest> body = DecodeBody<FetchRequest>(request, kElementsMax);
  if (!body.ok()) {
    return std::unexpected(Undecodable<FetchResponse>(request, body.status(), kErrorVersion));
  }
  const int32_t replica =
      request.version >= kReplicaStateVersion ? body->replica_state.replica_id : body->replica_id;
  if (replica >= 0) {
    return std::unexpected(ApiReply::Close("Fetch: replicas use the replication stream"));
  }
  FetchPlan plan =
      PlanFetch(broker.sessions, *body, request.version, request.received, broker.env.random);
  if (plan.error == kafka::KafkaError::kNone) return plan;
  FetchResponse refused;
  refused.error_code = ErrorCode(plan.error);
  return std::unexpected(Reply(request, refused));
}

}  // namespace

Task<ApiReply> HandleFetch(Broker* broker, ApiRequest request) {
  // Decoded at once, so that the receive buffer goes: a long poll, or one that waits behind one,
  // must not keep from others the memory that requests come in with.
  std::expected<FetchPlan, ApiReply> plan = Prepare(*broker, request);
  request.body = Slice();
  if (!plan.has_value()) co_return std::move(plan.error());
  size_t bytes = plan->waiting_bytes() + (request.client_id ? request.client_id->size() : 0);
  if (request.order->at_front()) bytes -= std::min(bytes, kFreeBytes);
  ByteBudget& waiting = broker->fetch_budget.waiting();
  std::optional<ByteHold> hold;
  std::optional<Instant> front_until;
  if (bytes == 0 || waiting.TryAcquire(bytes)) {
    hold.emplace(waiting, bytes);
    // It changes nothing that a later request of the connection could miss.
    request.order->Release();
  } else {
    front_until = broker->env.reactor.Now() + kUnchargedMax;
  }
  // Read only for the answer that leaves next: a connection holds the memory of one.
  const WaitResult front = co_await request.order->Front(request.cancel, front_until);
  if (front == WaitResult::kCancelled) co_return ApiReply::Silent();
  if (front == WaitResult::kTimedOut) {
    co_return ApiReply::Close("Fetch: no memory to wait with behind another request");
  }
  request.order->Release();
  FetchRun run(*broker, request, *std::move(plan), hold.has_value());
  co_return co_await run.Run();
}

}  // namespace millrace

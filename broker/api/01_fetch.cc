// Fetch (key 1), versions 4 to 18. Records for consumers.
//
// Promises: whole batches up to the high watermark (READ_COMMITTED: the last stable offset, and
// with
//           them the aborted transactions to skip, by first offset).
// Answers at once when there are min_bytes, an
//           error (where the client may know more than this broker, a little later, whatever its
//           max_wait_ms: await_leadership.h), a diverging
//           epoch, or another replica to read from (KIP-392: the leader names
//           one of the consumer's rack; followers serve v11 and later, up to what they know to be
//           committed); otherwise waits for max_wait_ms, a minute at most. The first partition with
//           records returns its first batch whole, however big (KIP-74). Incremental sessions
//           (KIP-227).
// Bounds:   one answer holds at most fetch.max.bytes, 16 MiB, and an eighth of the shard's fetch
//           budget, which clients accept: limits are upper bounds. Records being read and sent are
//           charged to that budget (fetch_budget.h says how), and what many partitions take beside
//           them; a connection has one answer in the making at a time. Where there is no memory for
//           what is there to read it is waited for, 20 s at most; then the answer has no records. No
//           request keeps its receive buffer while it waits for records: what it asks for is
//           charged instead, but for what little the first of a connection needs. A request may
//           name 50,000 topics and partitions; a long poll of very many does not wait for records
//           when there is no memory for that.
// Errors:   per partition OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
// NOT_LEADER_OR_FOLLOWER (with the leader
//           from v16), FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNSUPPORTED_COMPRESSION_TYPE,
//           KAFKA_STORAGE_ERROR. Top level: those of sessions, INVALID_REQUEST for arrays too large
//           to hold. A replica id is refused: replicas use the replication stream.
// Source:   KIP-74, KIP-227, KIP-320, KIP-392, KIP-516, KIP-595, KIP-951; rules 2.1-2.18.
#include <algorithm>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/fetch_admission.h"
#include "broker/api/fetch_part.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/fetch/fetch_plan.h"
#include "broker/on_shard.h"
#include "broker/server/byte_hold.h"
#include "broker/server/cancel_forward.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"

namespace millrace {
namespace {

using kafka::FetchRequest;
using kafka::FetchResponse;
using PartitionData = FetchResponse::PartitionData;

// Topics and partitions of one request: what it decodes to, and what is answered, is bounded by it.
constexpr size_t kElementsMax = 50'000;
// A long poll waits no longer for records, whatever it asks for.
constexpr Duration kPollMax = seconds(60);
// So long an answer waits for the memory that its records need: less than clients wait for it.
constexpr Duration kRecordsPatience = seconds(20);
constexpr int16_t kErrorVersion = 7;
constexpr int16_t kReplicaStateVersion = 15;
constexpr int16_t kLeaderHintVersion = 16;

// One request on its way. The partitions of each shard are a FetchPart; each step is one call for
// every shard that has some. What another shard reads comes over as a copy, charged to our budget.
class FetchRun {
 public:
  // `may_wait`: it has memory to wait with. `hold`: or what it was admitted with instead.
  FetchRun(Broker& broker, const ApiRequest& request, FetchPlan plan, bool may_wait,
           std::shared_ptr<ByteHold> hold);

  Task<ApiReply> Run();

 private:
  using Step = std::function<Task<void>(Broker* there, FetchPart* part)>;
  enum class Memory {
    kHad,    // At once, and what was found stays.
    kGiven,  // After a wait: it must be looked again.
    kNone,   // Not in time, or the broker stops.
    kLeft,   // The connection went away.
  };

  ShardId here() const { return broker_.env.reactor.shard(); }
  Instant Now() const { return broker_.env.reactor.Now(); }
  bool AllHere() const { return parts_.size() == 1 && parts_.front().shard() == here(); }
  FetchTerms Terms() const { return {request_.version, plan_.read_committed, plan_.rack}; }
  // Gives every shard its partitions, and answers those that no shard has.
  void Group();
  // False when the connection went away meanwhile.
  Task<bool> Survey();
  // Takes `bytes` of a line, all that is needed before anything is read: who had a part of it already
  // could wait for the rest for ever. Nothing is kept while it is waited for.
  Task<Memory> Take(MemoryLine* line, size_t bytes);
  // For records; for an answer without, if that is large; for a first batch that is larger than what
  // was taken for records.
  Task<Memory> TakeForRecords();
  Task<Memory> TakeForAnswer();
  Task<Memory> TakeTurn();
  // Fills in records, within the limits. False: a first batch needs a turn.
  Task<bool> Read();
  Task<void> ReadParts(size_t first_batch_max);
  void DropOthers(ShardId but);
  // Others may have it, and the answers go.
  void Drop();
  void Park();
  Task<void> WaitForProgress(Instant deadline);
  Task<void> WaitOn(FetchPart* part, Instant deadline, CancellationSource* enough);
  // Runs `step` for every part at once, each on its shard.
  Task<void> OnParts(Step step);
  static Task<void> SurveyThere(Broker* there, FetchPart* part);
  // Whether it was waited for what the client may know sooner than this broker, once: it must be looked
  // again then. Nothing is kept meanwhile.
  Task<bool> AwaitedLeaderships();
  static Task<std::monostate> WaitThere(Broker* there, FetchPart* part, Instant deadline,
                                        CancellationToken enough);
  MemoryLine& records() { return broker_.fetch_budget.records(); }
  // Of this answer.
  size_t BytesMax() const;
  // There is something to read, and memory may be had for it.
  bool WantsRecords() const { return !gave_up_ && any_readable(); }
  bool any_readable() const;
  bool is_urgent() const;
  bool is_full() const;
  ApiReply Answered();
  void HintLeader(const FetchAnswer& answer, FetchResponse* response, std::set<int32_t>* hinted);

  Broker& broker_;
  const ApiRequest& request_;
  FetchPlan plan_;
  const bool may_wait_;
  const size_t answers_bytes_;
  std::vector<FetchAnswer> answers_;  // In the order of the targets.
  std::vector<FetchPart> parts_;
  std::shared_ptr<ByteHold> hold_;         // Of the records and the answers, or a turn.
  std::shared_ptr<ByteHold> survey_;       // Of the answers, while hold_ is not.
  std::shared_ptr<ByteHold> answer_hold_;  // Of an answer without records, encoded.
  bool in_turn_ = false;                   // hold_ is a turn.
  bool gave_up_ = false;                   // Memory was waited for in vain.
  bool awaited_leadership_ = false;
  size_t bytes_ = 0;      // Of records in answers_.
  bool refused_ = false;  // A partition that no shard has.
  bool dropped_ = false;  // Records that were read; they are asked for again.
};

FetchRun::FetchRun(Broker& broker, const ApiRequest& request, FetchPlan plan, bool may_wait,
                   std::shared_ptr<ByteHold> hold)
    : broker_(broker),
      request_(request),
      plan_(std::move(plan)),
      may_wait_(may_wait),
      answers_bytes_(FetchAnswersBytes(broker, plan_.targets.size(), plan_.name_bytes())),
      hold_(std::move(hold)) {}

size_t FetchRun::BytesMax() const {
  return std::min(static_cast<size_t>(std::max(0, plan_.bytes_max)), FetchAnswerMax(broker_));
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
  return dropped_ || (parts_.size() > 1 && std::ranges::any_of(parts_, &FetchPart::full));
}

void FetchRun::Group() {
  const MetadataImage& image = *broker_.image();
  bytes_ = 0;
  refused_ = dropped_ = false;
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
                                 : ResolvePartition(image, key.topic.text(), key.partition);
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

Task<bool> FetchRun::AwaitedLeaderships() {
  // Who may not wait keeps what it was admitted with.
  if (awaited_leadership_ || !may_wait_ || !is_urgent()) co_return false;
  awaited_leadership_ = true;
  std::map<ShardId, std::vector<LeadershipClaim>> claims;
  for (const FetchPart& part : parts_) {
    std::vector<LeadershipClaim> of_part = part.Claims(broker_);
    if (!of_part.empty()) claims.emplace(part.shard(), std::move(of_part));
  }
  if (claims.empty()) co_return false;
  Drop();
  co_await AwaitLeaderships(&broker_, std::move(claims), request_.drain);
  co_return true;
}

Task<bool> FetchRun::Survey() {
  if (answers_bytes_ > 0 && (hold_ == nullptr || in_turn_) && survey_ == nullptr) {
    MemoryLine& surveys = broker_.fetch_budget.surveys();
    const size_t bytes = std::min(answers_bytes_, surveys.bytes_max());
    if (!(co_await surveys.Acquire(bytes, request_.cancel)).ok()) co_return false;
    survey_ = std::make_shared<ByteHold>(surveys, bytes);
  }
  Group();
  if (AllHere()) {
    parts_.front().Survey(broker_);
  } else if (!parts_.empty()) {
    co_await OnParts(&FetchRun::SurveyThere);
  }
  co_return !request_.cancel.cancelled();
}

Task<FetchRun::Memory> FetchRun::Take(MemoryLine* line, size_t bytes) {
  if (line->TryAcquire(bytes)) co_return Memory::kHad;
  Drop();
  const absl::Status taken =
      co_await line->Acquire(bytes, request_.cancel, {Now() + kRecordsPatience, request_.drain});
  if (taken.ok()) co_return Memory::kGiven;
  co_return absl::IsCancelled(taken) ? Memory::kLeft : Memory::kNone;
}

Task<FetchRun::Memory> FetchRun::TakeForRecords() {
  if (hold_ != nullptr) co_return Memory::kHad;
  const size_t bytes = FetchAnswerMax(broker_) + answers_bytes_;
  const Memory taken = co_await Take(&records(), bytes);
  if (taken == Memory::kNone) gave_up_ = true;
  if (taken == Memory::kHad || taken == Memory::kGiven) {
    hold_ = std::make_shared<ByteHold>(records(), bytes);
    survey_.reset();
  }
  co_return taken;
}

Task<FetchRun::Memory> FetchRun::TakeForAnswer() {
  if (answers_bytes_ == 0 || hold_ != nullptr || answer_hold_ != nullptr) co_return Memory::kHad;
  MemoryLine& line = broker_.fetch_budget.answers();
  const size_t bytes =
      std::min(plan_.targets.size() * kFetchEncodedBytes + plan_.name_bytes(), line.bytes_max());
  const Memory taken = co_await Take(&line, bytes);
  if (taken == Memory::kHad || taken == Memory::kGiven) {
    answer_hold_ = std::make_shared<ByteHold>(line, bytes);
  }
  co_return taken;
}

Task<FetchRun::Memory> FetchRun::TakeTurn() {
  Drop();
  MemoryLine& turns = broker_.fetch_budget.oversize();
  const Memory taken = co_await Take(&turns, 1);
  if (taken == Memory::kNone) gave_up_ = true;
  if (taken == Memory::kHad || taken == Memory::kGiven) {
    hold_ = std::make_shared<ByteHold>(turns, 1);
    in_turn_ = true;
  }
  co_return taken;
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
    bytes_ = 0;
    for (const FetchPart& part : parts_) bytes_ += part.bytes();
    if (bytes_ > bytes_max) DropOthers(first_shard);
  }
  bytes_ = 0;
  for (const FetchAnswer& answer : answers_) bytes_ += answer.data.records->size();
}

Task<bool> FetchRun::Read() {
  co_await ReadParts(in_turn_ ? kAnyBatchSize : FetchAnswerMax(broker_));
  if (!in_turn_ && std::ranges::any_of(parts_, &FetchPart::oversize)) co_return false;
  if (in_turn_) {
    const size_t bytes = bytes_ + answers_bytes_;
    // Half of the budget is for ordinary answers. Where there is no room it is not waited for
    // (others would wait behind it), and it keeps its turn: one batch is beside the budget at a
    // time.
    const bool charged =
        records().Fits(bytes + records().bytes_max() / 2) && records().TryAcquire(bytes);
    if (charged) {
      hold_ = std::make_shared<ByteHold>(records(), bytes);
      survey_.reset();
      in_turn_ = false;
    }
  } else {
    hold_->ShrinkTo(bytes_ + answers_bytes_);
  }
  co_return true;
}

// One shard may go beyond its part of the limit, by the first batch; with what the others have read
// that may be more than the client takes. It gets that batch, and asks for the rest again.
void FetchRun::DropOthers(ShardId but) {
  dropped_ = true;
  for (FetchAnswer& answer : answers_) {
    if (!answer.readable || broker_.shards.Of(answer.id) == but) continue;
    answer.data.records = Chain();
    if (answer.data.aborted_transactions.has_value()) answer.data.aborted_transactions.emplace();
  }
}

void FetchRun::Drop() {
  hold_.reset();
  survey_.reset();
  answer_hold_.reset();
  in_turn_ = false;
  bytes_ = 0;
  parts_.clear();
  std::vector<FetchAnswer>().swap(answers_);
}

void FetchRun::Park() {
  // Read again when there is more (rule 2.5); nothing is kept meanwhile.
  for (FetchPart& part : parts_) part.Park();
  std::vector<FetchPart> parts = std::move(parts_);
  Drop();
  parts_ = std::move(parts);
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
  CancelForward drain(enough);
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
      key.topic_id.has_value() ? image.FindTopic(*key.topic_id) : image.FindTopic(key.topic.text());
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
  const FetchKey* last = nullptr;
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
    if (last == nullptr || last->topic != key.topic || last->topic_id != key.topic_id) {
      response.responses.push_back({key.topic.text(), key.topic_id.value_or(Uuid(0, 0)), {}});
    }
    last = &key;
    const bool led_elsewhere =
        data.error_code == ErrorCode(kafka::KafkaError::kNotLeaderOrFollower) ||
        data.error_code == ErrorCode(kafka::KafkaError::kFencedLeaderEpoch);
    response.responses.back().partitions.push_back(std::move(answer.data));
    if (led_elsewhere && request_.version >= kLeaderHintVersion)
      HintLeader(answer, &response, &hinted);
  }
  ApiReply reply = Reply(request_, response);
  // The answers are encoded, and go. What is not covered here is counted with other replies.
  if (in_turn_) {
    hold_->Cover(bytes_);
  } else {
    if (hold_ == nullptr) hold_ = std::move(answer_hold_);
    if (hold_ != nullptr) hold_->ShrinkTo(reply.body.size());
  }
  reply.hold = std::move(hold_);
  return reply;
}

Task<ApiReply> FetchRun::Run() {
  const Instant deadline =
      request_.received +
      std::min<Duration>(milliseconds(std::max(0, plan_.wait_ms_max)), kPollMax);
  const size_t bytes_min = std::min(static_cast<size_t>(std::max(0, plan_.bytes_min)), BytesMax());
  for (;;) {
    if (!co_await Survey()) co_return ApiReply::Silent();
    if (co_await AwaitedLeaderships()) continue;
    const bool late =
        answers_.empty() || !may_wait_ || request_.drain.cancelled() || Now() >= deadline;
    if (WantsRecords()) {
      const Memory memory = co_await TakeForRecords();
      if (memory == Memory::kLeft) co_return ApiReply::Silent();
      if (memory != Memory::kHad) continue;
      if (!co_await Read()) {
        if (co_await TakeTurn() == Memory::kLeft) co_return ApiReply::Silent();
        continue;
      }
      if (request_.cancel.cancelled()) co_return ApiReply::Silent();
    }
    const bool enough = bytes_ >= bytes_min && (bytes_ > 0 || bytes_min == 0);
    if (late || gave_up_ || enough || is_urgent() || is_full()) {
      const Memory memory = co_await TakeForAnswer();
      if (memory == Memory::kHad) break;
      if (memory == Memory::kLeft) co_return ApiReply::Silent();
      if (memory == Memory::kNone) {
        co_return ApiReply::Close("Fetch: no memory for an answer of many partitions");
      }
      continue;
    }
    Park();
    co_await WaitForProgress(deadline);
    if (request_.cancel.cancelled()) co_return ApiReply::Silent();
  }
  co_return Answered();
}

absl::StatusOr<FetchRequest> Decode(const ApiRequest& request) {
  return DecodeBody<FetchRequest>(request, kElementsMax);
}

// What is asked for; nothing of the request is kept. Or the answer to one that is refused.
std::expected<FetchPlan, ApiReply> Prepare(Broker& broker, const ApiRequest& request,
                                           const FetchRequest& body) {
  const int32_t replica =
      request.version >= kReplicaStateVersion ? body.replica_state.replica_id : body.replica_id;
  if (replica >= 0) {
    return std::unexpected(ApiReply::Close("Fetch: replicas use the replication stream"));
  }
  FetchPlan plan =
      PlanFetch(broker.sessions, body, request.version, request.received, broker.env.random);
  if (plan.error == kafka::KafkaError::kNone) return plan;
  FetchResponse refused;
  refused.error_code = ErrorCode(plan.error);
  return std::unexpected(Reply(request, refused));
}

}  // namespace

Task<ApiReply> HandleFetch(Broker* broker, ApiRequest request) {
  // Decoded at once, so that the receive buffer goes: a long poll, or one that waits behind one,
  // must not keep from others the memory that requests come in with.
  std::optional<absl::StatusOr<FetchRequest>> body = Decode(request);
  if (!(*body).ok()) {
    co_return Undecodable<FetchResponse>(request, body->status(), kErrorVersion);
  }
  const size_t id_bytes = request.client_id.has_value() ? request.client_id->size() : 0;
  const size_t bytes = id_bytes + PlanBytes(broker->sessions, **body, request.version);
  FetchAdmission admission;
  TryAdmitFetch(*broker, request, bytes, &admission);
  if (!admission.charged() && bytes > kFetchFreeBytes) {
    body.reset();
    if (!co_await AdmitLargeFetch(broker, &request, bytes, &admission)) {
      co_return ApiReply::Close("Fetch: no memory for one of many partitions");
    }
    body = Decode(request);
  }
  std::expected<FetchPlan, ApiReply> plan = Prepare(*broker, request, **body);
  body.reset();
  request.body = Slice();
  if (!plan.has_value()) co_return std::move(plan.error());
  if (admission.waiting.has_value()) {
    admission.waiting->ShrinkTo(FetchCharge(request, id_bytes + plan->waiting_bytes()));
  }
  // It changes nothing that a later request of the connection could miss. Of those that wait without
  // a charge a connection has one.
  if (admission.charged()) request.order->Release();
  // Read only for the answer that leaves next: a connection holds the memory of one.
  const WaitResult front = co_await request.order->Front(request.cancel);
  if (front == WaitResult::kCancelled) co_return ApiReply::Silent();
  request.order->Release();
  const bool may_wait = admission.records == nullptr;
  FetchRun run(*broker, request, *std::move(plan), may_wait, std::move(admission.records));
  co_return co_await run.Run();
}

}  // namespace millrace

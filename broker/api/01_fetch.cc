// Fetch (key 1), versions 4 to 18. Records for consumers.
//
// Promises: whole batches up to the high watermark (READ_COMMITTED: the last stable offset, and
// with
//           them the aborted transactions to skip, by first offset).
// Answers at once when there are min_bytes, an
//           error, or a diverging epoch; otherwise waits for max_wait_ms. The first partition with
//           records returns its first batch whole, however big (KIP-74). Incremental sessions
//           (KIP-227).
// Bounds:   one answer holds at most fetch.max.bytes, 16 MiB, and an eighth of the shard's fetch
//           budget, which clients accept: limits are upper bounds. Records being read and sent are
//           charged to that budget; a connection has one answer in the making at a time.
// Errors:   per partition OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
// NOT_LEADER_OR_FOLLOWER (with the leader
//           from v16), FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNSUPPORTED_COMPRESSION_TYPE,
//           KAFKA_STORAGE_ERROR. Top level: those of sessions. A replica id is refused: replicas
//           use the replication stream.
// Source:   KIP-74, KIP-227, KIP-320, KIP-516, KIP-595, KIP-951; rules 2.1-2.18.
#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/byte_hold.h"
#include "broker/fetch_plan.h"
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
// An answer keeps at most so many times its size of cache or read-ahead alive: what it is charged,
// and this is the bound on what it is not.
constexpr size_t kPinnedTimes = 2;
constexpr int8_t kReadCommitted = 1;
constexpr int16_t kZstdVersion = 10;
constexpr int16_t kDivergingEpochVersion = 12;
constexpr int16_t kReplicaStateVersion = 15;
constexpr int16_t kLeaderHintVersion = 16;

// A partition's answer in the making.
struct Answer {
  FetchTarget target;
  PartitionData data;
  Offset bound{0};        // Where reading ends.
  bool readable = false;  // There is something between the fetch offset and the bound.
};

// Wakes the request when a partition it waits for advances, or ends.
class ProgressWait final : public OffsetWaiter {
 public:
  explicit ProgressWait(Event* event) : event_(event) {}
  void OnReached(const absl::Status&) override { event_->Set(); }

 private:
  Event* event_;
};

class FetchRun {
 public:
  FetchRun(Broker& broker, const ApiRequest& request, const FetchRequest& body, FetchPlan plan)
      : broker_(broker),
        request_(request),
        body_(body),
        plan_(std::move(plan)),
        progress_(broker.env.reactor) {}

  Task<ApiReply> Run();

 private:
  // Looks at every partition without reading: errors, watermarks, whether there is something to
  // read.
  void Survey();
  void SurveyOne(Answer* answer);
  absl::StatusOr<Partition*> Find(const FetchKey& key);
  bool Diverges(Partition& partition, Answer* answer, absl::Status* status);
  // Fills in records, within the limits. False when the connection went away meanwhile.
  Task<bool> Read();
  Task<absl::StatusOr<LogRead>> ReadOne(Log* log, Offset from, LogReadOptions options);
  // What a reader of committed records must skip in an answer that ends at `end`.
  Task<absl::Status> AddAborted(Log* log, Offset end, Answer* answer);
  Task<void> WaitForProgress(Instant deadline);
  size_t BytesMax() const;
  ApiReply Answered();
  void HintLeader(const Answer& answer, FetchResponse* response, std::set<int32_t>* hinted);

  Broker& broker_;
  const ApiRequest& request_;
  const FetchRequest& body_;
  FetchPlan plan_;
  std::vector<Answer> answers_;
  std::deque<ProgressWait> waits_;
  Event progress_;
  std::shared_ptr<ByteHold> hold_;
  size_t bytes_ = 0;  // Of records in answers_.
  bool any_readable_ = false;
  bool any_urgent_ = false;  // An error or a diverging epoch: answer now.
};

size_t FetchRun::BytesMax() const {
  return std::min({static_cast<size_t>(std::max(0, body_.max_bytes)),
                   broker_.options.fetch_bytes_max, kResponseBytesMax,
                   broker_.fetch_budget.bytes_max() / kAnswersInBudget});
}

absl::StatusOr<Partition*> FetchRun::Find(const FetchKey& key) {
  return key.topic_id.has_value() ? FindPartition(broker_, *key.topic_id, key.partition)
                                  : FindPartition(broker_, key.topic, key.partition);
}

bool FetchRun::Diverges(Partition& partition, Answer* answer, absl::Status* status) {
  const FetchTarget& target = answer->target;
  if (request_.version < kDivergingEpochVersion || !target.last_fetched_epoch.has_value())
    return false;
  std::optional<EpochEnd> end = partition.log().EndOffsetForEpoch(*target.last_fetched_epoch);
  if (!end.has_value()) {
    *status =
        MakeError(ErrorKind::kOffsetOutOfRange, "the last fetched epoch is above all known ones");
    return false;
  }
  if (end->epoch >= *target.last_fetched_epoch && end->end_offset.value() >= target.fetch_offset)
    return false;
  answer->data.diverging_epoch = {end->epoch.value(), end->end_offset.value()};
  return true;
}

void FetchRun::SurveyOne(Answer* answer) {
  PartitionData& data = answer->data;
  data.partition_index = answer->target.key.partition;
  data.records = Chain();
  data.aborted_transactions = std::nullopt;
  absl::StatusOr<Partition*> found = Find(answer->target.key);
  absl::Status status =
      found.ok() ? (*found)->CheckLeader(answer->target.current_leader_epoch) : found.status();
  bool diverges = false;
  if (status.ok()) {
    Partition& partition = **found;
    if (request_.version < kZstdVersion &&
        partition.rules().append.compression == Compression::kZstd) {
      status = MakeError(ErrorKind::kUnsupportedCompression, "zstd needs Fetch v10");
    } else {
      diverges = Diverges(partition, answer, &status);
    }
    const int64_t from = answer->target.fetch_offset;
    if (status.ok() && !diverges &&
        (from < partition.log().start_offset().value() ||
         from > partition.log().end_offset().value())) {
      status = MakeError(ErrorKind::kOffsetOutOfRange,
                         fmt::format("{} is outside [{}, {}]", from, partition.log().start_offset(),
                                     partition.log().end_offset()));
    }
    if (status.ok()) {
      answer->bound = body_.isolation_level == kReadCommitted ? partition.last_stable_offset()
                                                              : partition.high_watermark();
      answer->readable = !diverges && from < answer->bound.value();
      data.high_watermark = partition.high_watermark().value();
      data.last_stable_offset = partition.last_stable_offset().value();
      data.log_start_offset = partition.log().start_offset().value();
      if (body_.isolation_level == kReadCommitted) data.aborted_transactions.emplace();
    }
  }
  if (!status.ok()) {
    data.error_code = ErrorCode(status);
    data.high_watermark = data.last_stable_offset = data.log_start_offset = -1;
  }
  any_urgent_ = any_urgent_ || !status.ok() || diverges;
  any_readable_ = any_readable_ || answer->readable;
}

void FetchRun::Survey() {
  bytes_ = 0;
  any_readable_ = any_urgent_ = false;
  answers_.clear();
  answers_.reserve(plan_.targets.size());
  for (const FetchTarget& target : plan_.targets) {
    answers_.push_back(Answer{target, {}});
    SurveyOne(&answers_.back());
  }
}

Task<absl::StatusOr<LogRead>> FetchRun::ReadOne(Log* log, Offset from, LogReadOptions options) {
  absl::StatusOr<std::optional<LogRead>> cached = log->TryReadCached(from, options);
  if (!cached.ok()) co_return cached.status();
  if (cached->has_value()) co_return **std::move(cached);
  co_return co_await log->Read(from, options);
}

Task<absl::Status> FetchRun::AddAborted(Log* log, Offset end, Answer* answer) {
  auto aborted = co_await log->AbortedTransactions(Offset(answer->target.fetch_offset), end);
  if (!aborted.ok()) co_return aborted.status();
  answer->data.aborted_transactions.emplace();
  for (const AbortedTransaction& one : *aborted) {
    answer->data.aborted_transactions->push_back({one.producer.value(), one.first.value()});
  }
  co_return absl::OkStatus();
}

Task<bool> FetchRun::Read() {
  const size_t bytes_max = BytesMax();
  hold_.reset();
  if (!(co_await broker_.fetch_budget.Acquire(bytes_max, request_.cancel)).ok()) co_return false;
  hold_ = std::make_shared<ByteHold>(broker_.fetch_budget, bytes_max);
  for (Answer& answer : answers_) {
    if (!answer.readable) continue;
    // Looked up anew: waiting for memory and reading other partitions may have taken a while.
    absl::StatusOr<Partition*> partition = Find(answer.target.key);
    if (!partition.ok()) continue;  // Gone: the next fetch says so.
    LogReadOptions options{std::min(bytes_max - std::min(bytes_max, bytes_),
                                    static_cast<size_t>(std::max(0, answer.target.bytes_max))),
                           answer.bound, /*at_least_one_batch=*/bytes_ == 0};
    if (options.bytes_max == 0 && !options.at_least_one_batch) continue;
    Log* log = &(*partition)->log();
    absl::StatusOr<LogRead> read =
        co_await ReadOne(log, Offset(answer.target.fetch_offset), options);
    absl::Status status = read.status();
    if (status.ok() && answer.data.aborted_transactions.has_value() && !read->batches.empty()) {
      partition = Find(answer.target.key);
      // Another log now, or none: what was read goes with the old one.
      if (!partition.ok() || &(*partition)->log() != log) continue;
      status = co_await AddAborted(log, read->next_offset, &answer);
    }
    if (!status.ok()) {
      answer.data.error_code = ErrorCode(status);
      answer.data.high_watermark = answer.data.last_stable_offset = answer.data.log_start_offset =
          -1;
      any_urgent_ = true;
      continue;
    }
    bytes_ += read->batches.size();
    answer.data.records = read->batches.Pinning(kPinnedTimes);
  }
  // A first batch that is bigger than all limits is on top of what was granted; it is one batch.
  hold_->ShrinkTo(bytes_);
  co_return !request_.cancel.cancelled();
}

Task<void> FetchRun::WaitForProgress(Instant deadline) {
  progress_.Reset();
  for (const Answer& answer : answers_) {
    absl::StatusOr<Partition*> partition = Find(answer.target.key);
    // Reading may have taken a while since the survey: what came meanwhile must not be slept over.
    const Offset next = Offset(answer.data.high_watermark) + OffsetDelta(1);
    if (!partition.ok() || (*partition)->high_watermark() >= next) {
      progress_.Set();
      break;
    }
    (*partition)->committed().Add(waits_.emplace_back(&progress_), next);
  }
  co_await progress_.Wait(deadline, request_.drain);
  waits_.clear();
}

void FetchRun::HintLeader(const Answer& answer, FetchResponse* response,
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
  for (Answer& answer : answers_) {
    const PartitionData& data = answer.data;
    const FetchKey& key = answer.target.key;
    const bool has_records = data.records.has_value() && !data.records->empty();
    if (plan_.session != nullptr) {
      const bool news = plan_.session->Report(
          key, {has_records, data.error_code != 0, data.diverging_epoch.end_offset >= 0,
                data.high_watermark, data.log_start_offset});
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
  reply.hold = std::move(hold_);
  return reply;
}

Task<ApiReply> FetchRun::Run() {
  const Instant deadline = request_.received + milliseconds(std::max(0, body_.max_wait_ms));
  const size_t bytes_min = std::min(static_cast<size_t>(std::max(0, body_.min_bytes)), BytesMax());
  for (;;) {
    Survey();
    const bool late =
        answers_.empty() || request_.drain.cancelled() || broker_.env.reactor.Now() >= deadline;
    if (any_readable_ && !co_await Read()) co_return ApiReply::Silent();
    if (late || any_urgent_ || (bytes_ >= bytes_min && (bytes_ > 0 || bytes_min == 0))) break;
    hold_.reset();  // Read again when there is more (rule 2.5); nothing is kept meanwhile.
    for (Answer& answer : answers_) answer.data.records = Chain();
    co_await WaitForProgress(deadline);
    if (request_.cancel.cancelled()) co_return ApiReply::Silent();
  }
  co_return Answered();
}

}  // namespace

Task<ApiReply> HandleFetch(Broker* broker, ApiRequest request) {
  request.order
      ->Release();  // Fetches change nothing that a later request of the connection could miss.
  // Decoded and read only for the answer that leaves next: a connection holds the memory of one.
  if (co_await request.order->Front(request.cancel) == WaitResult::kCancelled) {
    co_return ApiReply::Silent();
  }
  absl::StatusOr<FetchRequest> body = DecodeBody<FetchRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const int32_t replica =
      request.version >= kReplicaStateVersion ? body->replica_state.replica_id : body->replica_id;
  if (replica >= 0) co_return ApiReply::Close("Fetch: replicas use the replication stream");
  FetchPlan plan =
      PlanFetch(broker->sessions, *body, request.version, request.received, broker->env.random);
  if (plan.error != kafka::KafkaError::kNone) {
    FetchResponse refused;
    refused.error_code = ErrorCode(plan.error);
    co_return Reply(request, refused);
  }
  request.body = Slice();
  FetchRun run(*broker, request, *body, std::move(plan));
  co_return co_await run.Run();
}

}  // namespace millrace

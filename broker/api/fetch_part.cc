#include "broker/api/fetch_part.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "broker/api/find_partition.h"
#include "broker/fetch/replica_selector.h"
#include "broker/kafka_error.h"
#include "broker/own_copy.h"
#include "common/check.h"
#include "common/error_kind.h"
#include "common/runtime/event.h"
#include "replication/offset_waiters.h"

namespace millrace {
namespace {

using PartitionData = kafka::FetchResponse::PartitionData;

// An answer keeps at most so many times its size of cache or read-ahead alive: what it is charged,
// and this is the bound on what it is not.
constexpr size_t kPinnedTimes = 2;
constexpr int16_t kZstdVersion = 10;
constexpr int16_t kDivergingEpochVersion = 12;
constexpr int16_t kFollowerVersion = 11;  // From here on consumers may read from followers.

// Wakes the request when a partition it waits for advances, or ends.
class ProgressWait final : public OffsetWaiter {
 public:
  explicit ProgressWait(Event* event) : event_(event) {}
  void OnReached(const absl::Status&) override { event_->Set(); }

 private:
  Event* event_;
};

Task<absl::StatusOr<LogRead>> ReadLog(Log* log, Offset from, LogReadOptions options) {
  absl::StatusOr<std::optional<LogRead>> cached = log->TryReadCached(from, options);
  if (!cached.ok()) co_return cached.status();
  if (cached->has_value()) co_return **std::move(cached);
  co_return co_await log->Read(from, options);
}

// Only the first batch of what was read.
LogRead FirstBatch(LogRead read) {
  if (read.batches.empty()) return read;
  const Slice& first = read.batches.slices().front();
  absl::StatusOr<BatchHeader> header = ParseBatchHeader(first.span());
  MR_CHECK(header.ok());  // It was read as a batch.
  return {Chain(first.Sub(0, header->size_bytes)), header->next_offset()};
}

// As ReadLog(); when nothing fits, the first batch alone, if it is no larger than `first_batch_max`.
Task<absl::StatusOr<LogRead>> ReadBatches(Log* log, Offset from, LogReadOptions options,
                                          size_t first_batch_max) {
  if (options.bytes_max > 0) {
    absl::StatusOr<LogRead> read = co_await ReadLog(log, from, options);
    if (!read.ok() || !read->batches.empty() || first_batch_max <= options.bytes_max) {
      co_return read;
    }
  }
  options.at_least_one_batch = first_batch_max == kAnyBatchSize;
  options.bytes_max = options.at_least_one_batch ? 0 : first_batch_max;
  absl::StatusOr<LogRead> first = co_await ReadLog(log, from, options);
  if (!first.ok()) co_return first;
  co_return FirstBatch(*std::move(first));
}

// What a reader of committed records must skip in an answer that ends at `end`.
Task<absl::Status> AddAborted(Log* log, Offset end, FetchAnswer* answer) {
  auto aborted = co_await log->AbortedTransactions(Offset(answer->target.fetch_offset), end);
  if (!aborted.ok()) co_return aborted.status();
  answer->data.aborted_transactions.emplace();
  for (const AbortedTransaction& one : *aborted) {
    answer->data.aborted_transactions->push_back({one.producer.value(), one.first.value()});
  }
  co_return absl::OkStatus();
}

}  // namespace

void RefuseFetch(const absl::Status& status, FetchAnswer* answer) {
  PartitionData& data = answer->data;
  data.error_code = ErrorCode(status);
  data.high_watermark = data.last_stable_offset = data.log_start_offset = -1;
}

bool FetchPart::Diverges(Partition& partition, FetchAnswer* answer, absl::Status* status) const {
  const FetchTarget& target = answer->target;
  if (terms_.version < kDivergingEpochVersion || !target.last_fetched_epoch.has_value())
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

absl::Status FetchPart::MayRead(const Partition& partition, const FetchAnswer& answer) const {
  const std::optional<LeaderEpoch>& epoch = answer.target.current_leader_epoch;
  return terms_.version >= kFollowerVersion ? partition.CheckReplica(epoch)
                                            : partition.CheckLeader(epoch);
}

std::optional<BrokerId> FetchPart::Elsewhere(Broker& broker, const Partition& partition,
                                             Offset offset) const {
  if (terms_.rack.empty() || terms_.version < kFollowerVersion || !partition.leads() ||
      !broker.options.read_from_rack) {
    return std::nullopt;
  }
  const MetadataImage& image = *broker.image();
  const auto rack = [&image](BrokerId id) {
    const BrokerImage* known = image.FindBroker(id);
    return known == nullptr || known->fenced ? std::nullopt : known->rack;
  };
  const ReplicaEnds own = partition.ends();
  const BrokerId self = broker.options.node_id;
  std::vector<ReadableReplica> replicas = {
      {self, rack(self), own.log_start, own.log_end, Duration(0), /*leads=*/true}};
  for (const PartitionLeader::View& view : partition.InSyncFollowers()) {
    replicas.push_back({view.broker, rack(view.broker), view.ends.log_start, view.ends.log_end,
                        view.behind, /*leads=*/false});
  }
  std::optional<BrokerId> selected = SelectByRack(replicas, terms_.rack, offset);
  return selected == self ? std::nullopt : selected;
}

void FetchPart::SurveyOne(Broker& broker, FetchAnswer* answer) {
  PartitionData& data = answer->data;
  absl::StatusOr<Partition*> found = HostedPartition(broker, answer->id);
  absl::Status status = found.ok() ? MayRead(**found, *answer) : found.status();
  bool diverges = false;
  bool elsewhere = false;
  if (status.ok()) {
    Partition& partition = **found;
    if (terms_.version < kZstdVersion &&
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
      answer->bound =
          terms_.read_committed ? partition.last_stable_offset() : partition.high_watermark();
      if (std::optional<BrokerId> other = Elsewhere(broker, partition, Offset(from)); other) {
        data.preferred_read_replica = other->value();
        elsewhere = true;
      }
      answer->readable = !diverges && !elsewhere && from < answer->bound.value();
      answer->committed = partition.high_watermark();
      // What a new leader knows may be behind what the one before has shown: a consumer would see it
      // go back, or take it for the end. It gets what there is, and is not told.
      const bool current = partition.high_watermark_is_current();
      data.high_watermark = current ? answer->committed.value() : -1;
      data.last_stable_offset = current ? partition.last_stable_offset().value() : -1;
      data.log_start_offset = partition.log().start_offset().value();
      if (terms_.read_committed) data.aborted_transactions.emplace();
    }
  }
  if (!status.ok()) RefuseFetch(status, answer);
  urgent_ = urgent_ || !status.ok() || diverges || elsewhere;
  readable_ += answer->readable ? 1 : 0;
}

void FetchPart::Survey(Broker& broker) {
  readable_ = 0;
  bytes_ = 0;
  urgent_ = full_ = false;
  for (FetchAnswer* answer : answers_) SurveyOne(broker, answer);
}

std::vector<LeadershipClaim> FetchPart::Claims(const Broker& broker) const {
  std::vector<LeadershipClaim> claims;
  for (const FetchAnswer* answer : answers_) {
    const int16_t error = answer->data.error_code;
    const bool unopened = error == ErrorCode(kafka::KafkaError::kNotLeaderOrFollower) &&
                          answer->target.current_leader_epoch.has_value() &&
                          IsToLead(broker, answer->id);
    if (unopened || error == ErrorCode(kafka::KafkaError::kUnknownLeaderEpoch)) {
      claims.push_back({answer->id, answer->target.current_leader_epoch});
      if (claims.size() > kClaimsMax) break;
    }
  }
  return claims;
}

Task<bool> FetchPart::ReadOne(Broker* broker, FetchReading how, FetchAnswer* answer) {
  // Looked up anew: waiting for memory and reading other partitions may have taken a while.
  absl::StatusOr<Partition*> partition = HostedPartition(*broker, answer->id);
  if (!partition.ok()) co_return true;  // Gone: the next fetch says so.
  const size_t left = how.bytes_max - std::min(how.bytes_max, bytes_);
  const auto wanted = static_cast<size_t>(std::max(0, answer->target.bytes_max));
  const size_t first_batch_max = bytes_ == 0 ? how.first_batch_max : 0;
  const LogReadOptions options{std::min(left, wanted), answer->bound};
  if (options.bytes_max == 0 && first_batch_max == 0) {
    full_ = full_ || left < wanted;
    co_return true;
  }
  Log* log = &(*partition)->log();
  absl::StatusOr<LogRead> read =
      co_await ReadBatches(log, Offset(answer->target.fetch_offset), options, first_batch_max);
  absl::Status status = read.status();
  if (status.ok() && answer->data.aborted_transactions.has_value() && !read->batches.empty()) {
    partition = HostedPartition(*broker, answer->id);
    // Another log now, or none: what was read goes with the old one.
    if (!partition.ok() || &(*partition)->log() != log) co_return true;
    status = co_await AddAborted(log, read->next_offset, answer);
  }
  if (!status.ok()) {
    RefuseFetch(status, answer);
    urgent_ = true;
    co_return true;
  }
  full_ = full_ || (left < wanted && read->next_offset < answer->bound);
  if (read->batches.empty() && first_batch_max > 0 && first_batch_max != kAnyBatchSize) {
    oversize_ = true;
    co_return false;
  }
  bytes_ += read->batches.size();
  // Blocks and what they are charged to stay on their shard.
  answer->data.records =
      how.for_other_shard ? Chain(OwnCopy(read->batches)) : read->batches.Pinning(kPinnedTimes);
  co_return true;
}

Task<void> FetchPart::Read(Broker* broker, FetchReading how) {
  bytes_ = 0;
  full_ = oversize_ = false;
  for (FetchAnswer* answer : answers_) answer->data.records = Chain();
  for (FetchAnswer* answer : answers_) {
    if (answer->readable && !co_await ReadOne(broker, how, answer)) co_return;
  }
}

void FetchPart::Park() {
  awaited_.reserve(answers_.size());
  for (const FetchAnswer* answer : answers_) {
    awaited_.push_back({answer->id, answer->committed + OffsetDelta(1)});
  }
  std::vector<FetchAnswer*>().swap(answers_);
}

Task<void> FetchPart::WaitForProgress(Broker* broker, Instant deadline, CancellationToken enough) {
  Event progress(broker->env.reactor);
  std::deque<ProgressWait> waits;
  for (const Awaited& one : awaited_) {
    absl::StatusOr<Partition*> partition = HostedPartition(*broker, one.id);
    // Reading may have taken a while since the survey: what came meanwhile must not be slept over.
    if (!partition.ok() || (*partition)->high_watermark() >= one.next) {
      progress.Set();
      break;
    }
    (*partition)->committed().Add(waits.emplace_back(&progress), one.next);
  }
  co_await progress.Wait(deadline, enough);
}

}  // namespace millrace

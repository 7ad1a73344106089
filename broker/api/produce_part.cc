#include "broker/api/produce_part.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/leadership_watch.h"
#include "broker/fencing_doubts.h"
#include "broker/own_copy.h"

namespace millrace {
namespace {

constexpr int16_t kAcksNone = 0;
constexpr int16_t kAcksAll = -1;
constexpr int16_t kZstdVersion = 7;

size_t RecordBytes(const ProducedPartition& data) {
  return data.records.has_value() ? data.records->size() : 0;
}

bool IsRefusedAsNotLeading(const ProduceAnswer& answer) {
  return answer.error_code == ErrorCode(kafka::KafkaError::kNotLeaderOrFollower);
}

}  // namespace

void RefuseProduce(const absl::Status& status, ProduceAnswer* answer) {
  answer->error_code = ErrorCode(status);
  answer->error_message = ErrorMessage(status);
  answer->base_offset = -1;
}

void ProducePart::AppendWait::OnReached(const absl::Status& status) {
  if (!status.ok()) {
    RefuseProduce(status, answer_);
  } else if (partition_ != nullptr && !partition_->has_enough_replicas()) {
    // Rule 1.4: it stays in the log, and is not what was asked for.
    answer_->error_code = ErrorCode(kafka::KafkaError::kNotEnoughReplicasAfterAppend);
    answer_->base_offset = -1;
  }
  if (--*left_ == 0) done_->Pulse();
}

void ProducePart::AppendWait::GiveUp(const absl::Status& status) {
  Unlink();
  OnReached(status);
}

void ProducePart::Wait(Partition& partition, Offset next, ProduceAnswer* answer) {
  const bool all = terms_.acks == kAcksAll;
  const Offset reached = all ? partition.high_watermark() : partition.log().durable_end();
  if (reached >= next) return;
  ++waiting_;
  AppendWait& wait = waits_.emplace_back(&waiting_, &done_, answer, all ? &partition : nullptr);
  (all ? partition.committed() : partition.durable()).Add(wait, next);
}

Slice ProducePart::RecordsOf(const ProducedPartition& data) const {
  if (!data.records.has_value()) return Slice();
  if (!terms_.lent) return data.records->Flatten();
  return OwnCopy(*data.records);
}

std::optional<ProducePart::Unfinished> ProducePart::TryAppendOne(
    const ProduceItem& item, std::optional<ValidationOutcome> valid) {
  ProduceAnswer* answer = item.answer;
  auto refuse = [&](const absl::Status& status) {
    RefuseProduce(status, answer);
    return std::nullopt;
  };
  // Known, and perhaps led elsewhere: the format is looked at before that is said (rule 1.9).
  absl::StatusOr<Partition*> partition = HostedPartition(broker_, item.id);
  if (partition.ok() && IsInternalTopic((*partition)->topic()) &&
      !terms_.may_write_internal_topics) {
    return refuse(
        MakeError(ErrorKind::kInvalidTopic, "clients may not produce to internal topics"));
  }
  const bool all = terms_.acks == kAcksAll;
  if (!valid.has_value()) {
    absl::StatusOr<BatchView> batch =
        CheckProduceRecords(RecordsOf(*item.data), terms_.version >= kZstdVersion);
    if (!batch.ok()) return refuse(batch.status());
    if (!partition.ok()) return refuse(partition.status());
    const Timestamp now = broker_.env.clock.Now();
    valid = (*partition)->Prepare(*batch, all, now, broker_.validator);
    if (!valid.has_value()) return Unfinished{(*partition)->LongValidation(*std::move(batch), now)};
  }
  if (!partition.ok()) return refuse(partition.status());
  if (!valid->has_value()) {
    for (RecordError& error : valid->error().record_errors) {
      answer->record_errors.push_back({error.index, std::move(error.message)});
    }
    return refuse(valid->error().status);
  }
  // Recompression makes a batch larger at times: by more than was asked for when it came in. And
  // nothing was asked for where this broker has come to lead since.
  const size_t size = (*valid)->batch.bytes().size();
  if (size > admission_.bytes()) {
    std::optional<Admission> more = broker_.store.TryAdmit(size - admission_.bytes());
    if (!more.has_value()) {
      const size_t received = RecordBytes(*item.data);
      return Unfinished{std::nullopt, size - std::min(size, received)};
    }
    admission_.Add(*std::move(more));
  }
  absl::StatusOr<LeaderAppend> appended = (*partition)->Append(**std::move(valid), all, admission_);
  if (!appended.ok()) return refuse(appended.status());
  answer->base_offset = appended->base_offset.value();
  answer->log_append_time_ms =
      appended->log_append_time.has_value() ? appended->log_append_time->ms() : -1;
  answer->log_start_offset = (*partition)->log().start_offset().value();
  if (terms_.acks != kAcksNone) Wait(**partition, appended->next_offset, answer);
  return std::nullopt;
}

Task<bool> ProducePart::Finish(const ProduceItem* item, Unfinished rest,
                               CancellationToken cancel) {  // Borrowed: awaited in place.
  for (;;) {
    std::optional<ValidationOutcome> valid;
    if (rest.validation.has_value()) {
      absl::StatusOr<ValidationOutcome> outcome =
          co_await broker_.validator.Validate(*std::move(rest.validation), cancel);
      if (!outcome.ok()) co_return false;
      valid = *std::move(outcome);
    } else {
      // The batch is rebuilt again afterwards, so that who waits holds little.
      if (!co_await Admit(item, rest.grown_bytes, cancel)) co_return false;
    }
    std::optional<Unfinished> more = TryAppendOne(*item, std::move(valid));
    if (!more.has_value()) co_return true;
    rest = *std::move(more);
  }
}

std::vector<LeadershipClaim> ProducePart::ClaimsFrom(const ProduceItem& item) const {
  std::vector<LeadershipClaim> claims;
  for (const ProduceItem& each : From(&item)) {
    claims.push_back({each.id, std::nullopt});
    if (claims.size() > kClaimsMax) break;
  }
  return OpenClaims(broker_, std::move(claims));
}

Task<bool> ProducePart::AwaitTurnToLead(const ProduceItem* item,
                                        std::vector<LeadershipClaim> claims,
                                        CancellationToken cancel) {
  admission_ = Admission();  // What others may append meanwhile does not wait for it.
  co_await AwaitLeadership(&broker_, std::move(claims), cancel);
  if (!co_await Admit(item, 0, cancel)) co_return false;
  const int32_t index = item->answer->index;
  *item->answer = ProduceAnswer();
  item->answer->index = index;
  co_return true;
}

std::span<const ProduceItem> ProducePart::From(const ProduceItem* first) const {
  return items_.subspan(static_cast<size_t>(first - items_.data()));
}

Task<bool> ProducePart::Admit(const ProduceItem* first, size_t grown_bytes,
                              CancellationToken cancel) {
  for (;;) {
    // Everything goes back first: two requests that each held some and waited for more would wait
    // for ever.
    admission_ = Admission();
    LeadershipWatch watch(cancel);
    std::vector<TopicPartitionId> logs;
    size_t bytes = grown_bytes;
    for (const ProduceItem& item : From(first)) {
      Partition* partition = broker_.partitions.Find(item.id);
      if (partition == nullptr || !partition->leads()) continue;
      watch.Add(*partition);
      logs.push_back(item.id);
      bytes += RecordBytes(*item.data);
    }
    if (logs.empty()) co_return true;
    absl::StatusOr<Admission> admitted =
        co_await broker_.store.AdmitInto(std::move(logs), bytes, watch.token());
    if (admitted.ok()) {
      admission_ = *std::move(admitted);
      co_return true;
    }
    // Otherwise a leadership has ended: the directory that hangs may be waited for in vain.
    if (cancel.cancelled() || !watch.token().cancelled()) co_return false;
  }
}

Task<bool> ProducePart::Append(CancellationToken cancel) {
  if (items_.empty()) co_return true;
  size_t bytes = 0;
  for (const ProduceItem& item : items_) bytes += RecordBytes(*item.data);
  // The request holds the connection's turn, so whoever waits for memory here stays in order.
  if (std::optional<Admission> at_once = broker_.store.TryAdmit(bytes); at_once.has_value()) {
    admission_ = *std::move(at_once);
  } else if (!co_await Admit(items_.data(), 0, cancel)) {
    co_return false;
  }
  for (const ProduceItem& item : items_) {
    std::optional<Unfinished> rest = TryAppendOne(item, std::nullopt);
    if (IsRefusedAsNotLeading(*item.answer) && !std::exchange(awaited_leadership_, true)) {
      std::vector<LeadershipClaim> claims = ClaimsFrom(item);
      if (!claims.empty()) {
        if (!co_await AwaitTurnToLead(&item, std::move(claims), cancel)) co_return false;
        rest = TryAppendOne(item, std::nullopt);
      }
    }
    if (rest.has_value() && !co_await Finish(&item, *std::move(rest), cancel)) co_return false;
  }
  admission_ = Admission();  // What was not appended is free again.
  co_return true;
}

std::vector<ProducePart::PartitionInDoubt> ProducePart::GiveUpInDoubt() {
  std::vector<PartitionInDoubt> doubts;
  const Instant now = broker_.env.reactor.Now();
  for (AppendWait& wait : waits_) {
    // Alone, it waits for its own disk.
    const Partition* partition = wait.partition();
    if (!wait.linked() || partition == nullptr) continue;
    if (partition->assignment().replicas.size() < 2) continue;
    if (!broker_.fencing->MustAssumeFenced(partition->id(), partition->high_watermark(), now)) {
      continue;
    }
    doubts.push_back({partition->id(), partition->leader_epoch()});
    if (!broker_.fencing->IsDoubtful(partition->id(), partition->leader_epoch(), now)) {
      broker_.env.logger.Warning(
          "{} of topic {}: no follower acknowledges and no controller is heard: producers are sent "
          "to look for another leader",
          partition->id().partition, partition->topic());
    }
    wait.GiveUp(MakeError(ErrorKind::kNotLeaderOrFollower,
                          "this broker hears neither a controller nor enough followers"));
  }
  return doubts;
}

Task<void> ProducePart::TellDoubts(std::vector<PartitionInDoubt> partitions) {
  const ShardId here = broker_.env.reactor.shard();
  for (uint32_t i = 0; !partitions.empty() && i < broker_.shards.count(); ++i) {
    auto tell = [there = broker_.shards.at(ShardId(i)), partitions] {
      for (const PartitionInDoubt& one : partitions) {
        there->fencing->OnDoubt(one.id, one.epoch, there->env.reactor.Now());
      }
    };
    if (ShardId(i) == here) {
      tell();
    } else {
      co_await broker_.shards.calls().Tell(here, ShardId(i), std::move(tell));
    }
  }
}

Task<void> ProducePart::WaitForAcks(CancellationToken cancel) {
  const Instant deadline = broker_.env.reactor.Now() + milliseconds(std::max(0, terms_.timeout_ms));
  while (waiting_ > 0) {
    const Instant now = broker_.env.reactor.Now();
    const Instant next = broker_.fencing == nullptr
                             ? deadline
                             : std::min(deadline, now + broker_.fencing->interval());
    const WaitResult result = co_await done_.Wait(next, cancel);
    if (result == WaitResult::kSignalled) continue;
    if (result == WaitResult::kCancelled || next == deadline) break;
    co_await TellDoubts(GiveUpInDoubt());
  }
  for (AppendWait& wait : waits_) {
    if (!wait.linked()) continue;
    wait.Unlink();
    wait.answer().error_code = ErrorCode(kafka::KafkaError::kRequestTimedOut);
    wait.answer().base_offset = -1;
  }
}

}  // namespace millrace

#include "replication/partition.h"

#include <fmt/format.h>

#include <utility>

#include "common/error_kind.h"
#include "storage/producer_state.h"

namespace millrace {

Partition::Partition(Log& log, BrokerId self, PrefixLogger logger)
    : log_(log),
      self_(self),
      name_(fmt::format("{}-{}", log.topic(), log.partition())),
      logger_(std::move(logger)),
      rules_(std::make_shared<const PartitionRules>()),
      // What was replayed was durable here; followers will bring their own bound with replication.
      high_watermark_(log.durable_end()),
      failure_(log.failure()) {
  log_.set_observer(this);
  log_.OnCommitted(high_watermark_);
}

Partition::~Partition() { log_.set_observer(nullptr); }

void Partition::Apply(const PartitionAssignment& assignment,
                      std::shared_ptr<const PartitionRules> rules) {
  rules_ = std::move(rules);
  log_.set_config(rules_->log);
  const bool led = leads();
  const LeaderEpoch epoch_before = leader_epoch_;
  leader_ = assignment.leader;
  leader_epoch_ = assignment.leader_epoch;
  const bool leads_now = leader_ == self_;
  if (led && (!leads_now || leader_epoch_ != epoch_before)) {
    committed_.FailAll(
        MakeError(ErrorKind::kNotLeaderOrFollower,
                  fmt::format("the leadership of epoch {} has ended", epoch_before)));
  }
  if (!leads_now) {
    tracker_.reset();
    return;
  }
  const size_t isr_min = std::min(rules_->isr_min, assignment.replica_count);  // Rule 1.5.
  if (led && leader_epoch_ == epoch_before) {
    tracker_->set_isr_min(isr_min);
    tracker_->OnIsr(assignment.isr);
  } else {
    log_.BeginEpoch(leader_epoch_);
    epoch_start_ = log_.end_offset();
    tracker_.emplace(self_, assignment.isr, isr_min, high_watermark_);
    logger_.Info("leads epoch {} from offset {}", leader_epoch_, epoch_start_);
  }
  tracker_->OnEnd(self_, log_.durable_end());
  AfterProgress();
}

void Partition::Close() {
  tracker_.reset();
  leader_.reset();
  committed_.FailAll(MakeError(ErrorKind::kUnknownTopicOrPartition, "the topic has been deleted"));
}

absl::Status Partition::CheckLeader(std::optional<LeaderEpoch> client_epoch) const {
  if (client_epoch.has_value() && *client_epoch < leader_epoch_) {
    return MakeError(ErrorKind::kFencedLeaderEpoch,
                     fmt::format("the client knows leader epoch {}, {} is current", *client_epoch,
                                 leader_epoch_));
  }
  if (client_epoch.has_value() && *client_epoch > leader_epoch_) {
    return MakeError(ErrorKind::kUnknownLeaderEpoch,
                     fmt::format("the client knows leader epoch {}, here {} is current",
                                 *client_epoch, leader_epoch_));
  }
  if (!leads()) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "this broker does not lead the partition");
  }
  return failure_;
}

absl::StatusOr<std::optional<LeaderAppend>> Partition::FindDuplicate(const BatchView& batch) const {
  const BatchHeader& header = batch.header();
  if (!header.producer.has_value()) return std::nullopt;
  if (header.attributes.is_transactional()) {
    // transaction.version is 0 and no coordinator hands out transactions: nobody may hold one open.
    return MakeError(ErrorKind::kInvalidTxnState, "transactions are not served by this broker");
  }
  const Log& log = log_;
  absl::StatusOr<std::optional<DuplicateBatch>> duplicate = log.producers().Check(header);
  if (!duplicate.ok()) return duplicate.status();
  if (!duplicate->has_value()) return std::nullopt;
  // Kafka answers the time it kept for the batch, whatever the topic's timestamp type.
  return LeaderAppend{(*duplicate)->base_offset, (*duplicate)->last_offset + OffsetDelta(1),
                      (*duplicate)->timestamp, true};
}

absl::Status Partition::CheckAppend(bool acks_all) const {
  if (absl::Status leader = CheckLeader(std::nullopt); !leader.ok()) return leader;
  if (acks_all && !tracker_->has_enough_replicas()) {
    return MakeError(ErrorKind::kNotEnoughReplicas,
                     fmt::format("{} replicas are in sync, fewer than min.insync.replicas",
                                 tracker_->isr().size()));
  }
  return absl::OkStatus();
}

std::optional<ValidationOutcome> Partition::Prepare(const BatchView& batch, bool acks_all,
                                                    Timestamp now,
                                                    ShardValidator& validator) const {
  if (absl::Status may = CheckAppend(acks_all); !may.ok()) {
    return std::unexpected(BatchRejection{std::move(may), {}});
  }
  return validator.TryValidate(batch, rules_->append, AppendOrigin::kClient, name_, now);
}

ValidationJob Partition::LongValidation(BatchView batch, Timestamp now) const {
  return {std::move(batch), rules_->append, AppendOrigin::kClient, name_, now};
}

absl::StatusOr<LeaderAppend> Partition::Append(ValidatedBatch valid, bool acks_all,
                                               Admission& admission) {
  if (absl::Status may = CheckAppend(acks_all); !may.ok()) return may;
  absl::StatusOr<std::optional<LeaderAppend>> duplicate = FindDuplicate(valid.batch);
  if (!duplicate.ok()) return duplicate.status();
  if (duplicate->has_value()) return **duplicate;
  absl::StatusOr<AppendInfo> info = log_.Append(std::move(valid.batch), leader_epoch_, admission);
  if (!info.ok()) return info.status();
  // Under page-cache durability the append is what counts, and nobody else will tell us.
  if (tracker_->OnEnd(self_, log_.durable_end())) AfterProgress();
  return LeaderAppend{info->base_offset, info->next_offset(), valid.log_append_time, false};
}

absl::StatusOr<Offset> Partition::StartAfterDelete(std::optional<Offset> before) const {
  if (absl::Status leader = CheckLeader(std::nullopt); !leader.ok()) return leader;
  if (rules_->log.cleanup_compact && !rules_->log.cleanup_delete) {
    return MakeError(ErrorKind::kPolicyViolation,
                     fmt::format("Records of partition {}-{} can not be deleted due to the "
                                 "configured policy",
                                 topic(), log_.partition()));
  }
  const Offset start = before.value_or(high_watermark_);
  if (start <= high_watermark_) return start;
  return MakeError(ErrorKind::kOffsetOutOfRange,
                   fmt::format("Cannot increment the log start offset to {} of partition {}-{} "
                               "since it is larger than the high watermark {}",
                               start, topic(), log_.partition(), high_watermark_));
}

void Partition::OnDurable(Log&, Offset durable_end) {
  durable_.Advance(durable_end);
  if (leads() && tracker_->OnEnd(self_, durable_end)) AfterProgress();
}

void Partition::OnFailed(Log&, absl::Status cause) {
  failure_ = MakeError(ErrorKind::kStorageError, std::string(cause.message()));
  logger_.Error("takes no appends any more: {}", std::string(cause.message()));
  FailWaiters(failure_);
}

void Partition::FailWaiters(const absl::Status& status) {
  durable_.FailAll(status);
  committed_.FailAll(status);
}

void Partition::AfterProgress() {
  if (tracker_->high_watermark() <= high_watermark_) return;
  high_watermark_ = tracker_->high_watermark();
  log_.OnCommitted(high_watermark_);
  committed_.Advance(high_watermark_);
}

Offset Partition::last_stable_offset() const {
  return std::min(high_watermark_, log_.first_unstable_offset().value_or(high_watermark_));
}

}  // namespace millrace

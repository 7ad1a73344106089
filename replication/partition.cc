#include "replication/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/error_kind.h"
#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

std::string Listed(const std::vector<BrokerId>& brokers) {
  return fmt::format("{}", fmt::join(brokers, ","));
}

// Counts a coroutine of the partition's own as under way, as long as it lives.
class Busy {
 public:
  Busy(int& count, Event& whole) : count_(count), whole_(whole) { ++count_; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() {
    if (--count_ == 0) whole_.Pulse();
  }

 private:
  int& count_;
  Event& whole_;
};

}  // namespace

Partition::Partition(Log& log, BrokerId self, PartitionHost& host, Offset high_watermark,
                     PrefixLogger logger)
    : log_(log),
      host_(host),
      self_(self),
      name_(fmt::format("{}-{}", log.topic(), log.partition())),
      logger_(std::move(logger)),
      rules_(std::make_shared<const PartitionRules>()),
      high_watermark_(std::clamp(high_watermark, log.start_offset(), log.end_offset())),
      failure_(log.failure()),
      whole_(host.reactor()) {
  log_.set_observer(this);
  log_.OnCommitted(high_watermark_);
}

Partition::~Partition() {
  MR_CHECK(busy_ == 0);
  log_.set_observer(nullptr);
}

Task<void> Partition::WaitUntilWhole() {
  while (busy_ > 0) co_await whole_.Wait();
}

ReplicaEnds Partition::ends() const {
  return {log_.start_offset(), log_.end_offset(), log_.durable_end()};
}

size_t Partition::IsrMin() const {
  return std::min(rules_->isr_min, assignment_.replicas.size());  // Rule 1.5.
}

void Partition::Apply(const PartitionAssignment& assignment,
                      std::shared_ptr<const PartitionRules> rules) {
  MR_CHECK(busy_ == 0);
  rules_ = std::move(rules);
  log_.set_config(rules_->log);
  if (closed_) return;
  const bool same = assigned_ && assignment.leader_epoch == assignment_.leader_epoch;
  if (assigned_ && assignment.leader_epoch < assignment_.leader_epoch) return;
  assignment_ = assignment;
  if (PartitionLeader* leader = leading(); same && leader != nullptr) {
    Do(leader->OnAssignment(assignment_, IsrMin(), host_.reactor().Now()));
  } else if (!same || !assigned_) {
    TakeRole();
    assigned_ = true;
  }
  host_.OnChange(*this, ReplicaChange::kRole);
}

void Partition::ApplyBrokers(const PartitionAssignment& assignment) {
  PartitionLeader* leader = leading();
  if (leader == nullptr || closed_ || assignment.leader_epoch != assignment_.leader_epoch) return;
  assignment_ = assignment;
  Do(leader->OnAssignment(assignment_, IsrMin(), host_.reactor().Now()));
  host_.OnChange(*this, ReplicaChange::kRole);
}

void Partition::TakeRole() {
  const LeaderEpoch epoch = assignment_.leader_epoch;
  led_before_ = leads();
  claimed_in_vain_.reset();
  if (assigned_) {
    const absl::Status ended =
        MakeError(ErrorKind::kNotLeaderOrFollower, fmt::format("leader epoch {} has begun", epoch));
    committed_.FailAll(ended);
    started_.FailAll(ended);
    // What it appended may be cut off, and something else be durable at those offsets.
    if (leads()) durable_.FailAll(ended);
  }
  wake_.reset();
  if (assignment_.leader == self_) {
    log_.BeginEpoch(epoch);
    const Instant now = host_.reactor().Now();
    const PartitionLeader::Start start{log_.end_offset(), high_watermark_, log_.durable_end(),
                                       IsrMin()};
    PartitionLeader& leader =
        role_.emplace<PartitionLeader>(self_, assignment_, start, now, host_.leader_options());
    LogRole("leads epoch {} from offset {}, high watermark {}, {} of {} replicas in sync", epoch,
            start.epoch_start, high_watermark_, leader.isr_size(), assignment_.replicas.size());
    Do(leader.OnTime(now));
    return;
  }
  log_.DropEmptyEpochs();
  if (assignment_.leader.has_value()) {
    role_.emplace<PartitionFollower>(epoch, high_watermark_);
    LogRole("follows broker {} in epoch {} from offset {}", *assignment_.leader, epoch,
            log_.end_offset());
  } else {
    role_.emplace<std::monostate>();
    LogRole("has no leader in epoch {}", epoch);
  }
}

void Partition::Close(const absl::Status& why) {
  closed_ = true;
  role_.emplace<std::monostate>();
  assignment_.leader.reset();
  committed_.FailAll(why);
  started_.FailAll(why);
  host_.OnChange(*this, ReplicaChange::kClosed);
}

absl::Status Partition::CheckEpoch(std::optional<LeaderEpoch> client_epoch) const {
  if (client_epoch.has_value() && *client_epoch < leader_epoch()) {
    return MakeError(ErrorKind::kFencedLeaderEpoch,
                     fmt::format("the client knows leader epoch {}, {} is current", *client_epoch,
                                 leader_epoch()));
  }
  if (client_epoch.has_value() && *client_epoch > leader_epoch()) {
    return MakeError(ErrorKind::kUnknownLeaderEpoch,
                     fmt::format("the client knows leader epoch {}, here {} is current",
                                 *client_epoch, leader_epoch()));
  }
  return absl::OkStatus();
}

absl::Status Partition::CheckLeader(std::optional<LeaderEpoch> client_epoch) const {
  if (absl::Status epoch = CheckEpoch(client_epoch); !epoch.ok()) return epoch;
  if (!leads()) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "this broker does not lead the partition");
  }
  return failure_;
}

absl::Status Partition::CheckReplica(std::optional<LeaderEpoch> client_epoch) const {
  if (absl::Status epoch = CheckEpoch(client_epoch); !epoch.ok()) return epoch;
  if (!leads() && !follows()) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "this broker follows no leader");
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
  if (acks_all && !leading()->has_enough_replicas()) {
    return MakeError(ErrorKind::kNotEnoughReplicas,
                     fmt::format("{} replicas are in sync, fewer than min.insync.replicas, {}",
                                 leading()->isr_size(), leading()->isr_min()));
  }
  return absl::OkStatus();
}

bool Partition::has_enough_replicas() const {
  const PartitionLeader* leader = leading();
  return leader == nullptr || leader->had_enough_replicas();
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
  absl::StatusOr<AppendInfo> info = log_.Append(std::move(valid.batch), leader_epoch(), admission);
  if (!info.ok()) return info.status();
  host_.OnChange(*this, ReplicaChange::kAppended);
  // Under page-cache durability the append is what counts, and nobody else will tell us.
  Do(leading()->OnOwnEnd(log_.durable_end(), host_.reactor().Now()));
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

Offset Partition::low_watermark() const {
  const Offset own = log_.start_offset();
  return leads() ? leading()->LowWatermark(own) : own;
}

Task<absl::Status> Partition::DeleteBefore(Offset start) {
  if (closed_) co_return absl::CancelledError("the replica is going away");
  Busy busy(busy_, whole_);
  absl::Status moved = co_await log_.AdvanceStart(start);
  if (moved.ok() && !closed_) {
    host_.OnChange(*this, ReplicaChange::kLogStart);
    started_.Advance(low_watermark());
  }
  co_return moved;
}

bool Partition::high_watermark_is_current() const {
  return !leads() || high_watermark_ >= leading()->epoch_start();
}

std::vector<PartitionLeader::View> Partition::InSyncFollowers() const {
  MR_CHECK(leads());
  return leading()->InSync(host_.reactor().Now());
}

bool Partition::Awaits(BrokerId follower) const {
  const PartitionLeader* leader = leading();
  return leader != nullptr && leader->Awaits(follower, host_.reactor().Now());
}

Offset Partition::last_stable_offset() const {
  return std::min(high_watermark_, log_.first_unstable_offset().value_or(high_watermark_));
}

// --- Leading -----------------------------------------------------------------------------------

absl::StatusOr<LogMatch> Partition::OnFollowerHello(BrokerId broker, BrokerEpoch broker_epoch,
                                                    const FollowerHello& hello) {
  if (absl::Status leader = CheckLeader(hello.leader_epoch); !leader.ok()) return leader;
  const ReplicaEnds& ends = hello.ends;
  if (ends.log_start > ends.durable_end || ends.durable_end > ends.log_end ||
      ends.log_start < Offset(0)) {
    return MakeError(ErrorKind::kInvalidRequest, "a follower's ends are out of order");
  }
  absl::Status known = leading()->CheckFollower(broker, broker_epoch);
  if (!known.ok()) return known;
  std::optional<LogMatch> match = MatchLogs(log_.epochs(), log_.start_offset(), log_.end_offset(),
                                            hello.last_epoch, ends.log_end);
  if (!match.has_value()) {
    return MakeError(
        ErrorKind::kUnknownLeaderEpoch,
        fmt::format("broker {} has records of epoch {}, which is later than epoch {} here", broker,
                    *hello.last_epoch, leader_epoch()));
  }
  if (std::holds_alternative<LogsMeet>(*match)) {
    auto output = leading()->OnFollowerAgreed(broker, broker_epoch, ends, host_.reactor().Now());
    if (!output.ok()) return output.status();
    Do(*std::move(output));
  } else {
    const ReplicaEnds own = this->ends();
    logger_.Info("follower {} with last epoch {} and end {} is not on this log, [{}, {})", broker,
                 hello.last_epoch.has_value() ? hello.last_epoch->value() : -1, ends.log_end,
                 own.log_start, own.log_end);
  }
  return *std::move(match);
}

absl::Status Partition::OnFollowerProgress(BrokerId broker, BrokerEpoch broker_epoch,
                                           LeaderEpoch epoch, const ReplicaEnds& ends) {
  if (absl::Status leader = CheckLeader(epoch); !leader.ok()) return leader;
  if (ends.log_end > log_.end_offset() || ends.durable_end > ends.log_end) {
    return MakeError(ErrorKind::kInvalidRequest,
                     fmt::format("follower {} reports end {} of a log that ends at {}", broker,
                                 ends.log_end, log_.end_offset()));
  }
  auto output = leading()->OnFollowerProgress(broker, broker_epoch, ends, host_.reactor().Now());
  if (!output.ok()) return output.status();
  Do(*std::move(output));
  if (!started_.empty()) started_.Advance(low_watermark());
  return absl::OkStatus();
}

void Partition::OnFollowerGone(BrokerId broker, BrokerEpoch broker_epoch, LeaderEpoch epoch) {
  if (!CheckLeader(epoch).ok()) return;
  Do(leading()->OnFollowerGone(broker, broker_epoch, host_.reactor().Now()));
}

void Partition::Do(PartitionLeader::Output output) {
  PartitionLeader& leader = *leading();
  if (output.propose.has_value()) {
    if (!leader.is_refused_again()) {
      logger_.Info("asks for ISR {} instead of {} in epoch {}", DescribeIsr(*output.propose),
                   Listed(leader.isr()), leader.leader_epoch());
    }
    host_.Propose(*this, *std::move(output.propose));
    host_.OnChange(*this, ReplicaChange::kIsrProposed);
  }
  if (leader.alone()) {
    if (output.high_watermark_moved) MoveHighWatermark(leader.high_watermark());
    return;
  }
  if (std::optional<Instant> due = leader.Due(host_.reactor().Now());
      due.has_value() && (!wake_.has_value() || *due < *wake_)) {
    wake_ = due;
    host_.WakeAt(*this, *due);
  }
  // Last: who is told may call back.
  if (output.high_watermark_moved) MoveHighWatermark(leader.high_watermark());
}

void Partition::MoveHighWatermark(Offset to) {
  if (to == high_watermark_) return;
  high_watermark_ = to;
  log_.OnCommitted(high_watermark_);
  host_.OnChange(*this, ReplicaChange::kHighWatermark);
  committed_.Advance(high_watermark_);
}

void Partition::OnTime() {
  wake_.reset();
  if (PartitionLeader* leader = leading(); leader != nullptr) {
    Do(leader->OnTime(host_.reactor().Now()));
  }
}

void Partition::OnIsrOutcome(const IsrProposal& proposal, const IsrOutcome& outcome) {
  PartitionLeader* leader = leading();
  if (leader == nullptr || proposal.leader_epoch != leader->leader_epoch()) return;
  const PartitionEpoch before = leader->partition_epoch();
  const size_t size_before = leader->isr_size();
  PartitionLeader::Output output = leader->OnIsrOutcome(proposal, outcome, host_.reactor().Now());
  IsrMetrics& metrics = host_.isr_metrics();
  if (!outcome.has_value()) metrics.refused.Add();
  if (leader->isr_size() < size_before) metrics.shrinks.Add();
  if (leader->isr_size() > size_before) metrics.expands.Add();
  if (leader->partition_epoch() != before) {
    logger_.Info("ISR is {} in partition epoch {}", Listed(leader->isr()),
                 leader->partition_epoch());
  } else if (!outcome.has_value() && outcome.error() == IsrRefusal::kGivenUp &&
             !leader->is_refused_again()) {
    logger_.Info("ISR stays {}: the controller refused {}", Listed(leader->isr()),
                 DescribeIsr(proposal));
  }
  Do(std::move(output));
  host_.OnChange(*this, ReplicaChange::kRole);
}

// --- Following ---------------------------------------------------------------------------------

std::optional<FollowerHello> Partition::Hello() {
  PartitionFollower* follower = following();
  if (follower == nullptr || !failure_.ok() || closed_) return std::nullopt;
  if (follower->phase() == PartitionFollower::Phase::kCutting) return std::nullopt;
  follower->AskAgain();
  const ReplicaEnds own = ends();
  return FollowerHello{follower->epoch(),
                       LastRecordEpoch(log_.epochs(), own.log_start, own.log_end), own};
}

absl::StatusOr<PartitionFollower*> Partition::FollowingIn(LeaderEpoch epoch) {
  if (!failure_.ok()) return failure_;
  PartitionFollower* follower = following();
  if (follower == nullptr) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "this broker does not follow");
  }
  if (follower->epoch() != epoch) {
    return MakeError(
        ErrorKind::kFencedLeaderEpoch,
        fmt::format("this broker follows in epoch {}, not {}", follower->epoch(), epoch));
  }
  return follower;
}

Task<absl::StatusOr<bool>> Partition::OnHelloAnswer(LeaderEpoch epoch, LogMatch answer) {
  absl::StatusOr<PartitionFollower*> follower = FollowingIn(epoch);
  if (!follower.ok()) co_return follower.status();
  if ((*follower)->phase() != PartitionFollower::Phase::kAsking) {
    co_return MakeError(ErrorKind::kInvalidRequest, "an answer that nobody asked for");
  }
  std::optional<PartitionFollower::Cut> cut = (*follower)->OnAnswer(answer, log_.epochs(), ends());
  if (!cut.has_value()) {
    co_return (*follower)->phase() == PartitionFollower::Phase::kFollowing;
  }
  absl::Status done = co_await DoCut(*cut);
  if (!done.ok()) co_return done;
  co_return false;
}

Task<absl::Status> Partition::DoCut(PartitionFollower::Cut cut) {
  Busy busy(busy_, whole_);
  if (cut.at < high_watermark_ && log_.start_offset() < log_.end_offset()) {
    // Only an unclean election, or a broken promise of somebody's disk, can ask for this.
    logger_.Error(
        "loses committed records: high watermark {}, the leader of epoch {} has the log "
        "end at {}{}",
        high_watermark_, leader_epoch(), cut.at, cut.whole ? ", begun anew" : "");
  }
  // 1. The leader and we had key K at 50 and at 100; our compaction has removed 50.
  // 2. The leader was elected uncleanly, or lost what it had promised: its log ends at 80.
  // 3. Cut at 80 we would have neither, never ask for 50 again, and may lead one day: K would be gone.
  if (!cut.whole && log_.MayBeCompactedAcross(cut.at)) {
    cut = {.at = log_.start_offset(), .whole = true};
  }
  absl::Status done =
      cut.whole ? co_await log_.TruncateFullyAndStartAt(cut.at) : co_await log_.Truncate(cut.at);
  // Nobody else changes the role while we are busy, but Close() may have come.
  PartitionFollower* follower = following();
  if (follower == nullptr) {
    co_return MakeError(ErrorKind::kNotLeaderOrFollower, "the replica is going away");
  }
  follower->OnCut(ends());
  if (done.ok()) log_.DropEmptyEpochs();
  if (high_watermark_ != follower->high_watermark()) {
    // Lower: the end has come down below it. Who waits for more goes on waiting.
    high_watermark_ = follower->high_watermark();
    log_.OnCommitted(high_watermark_);
    host_.OnChange(*this, ReplicaChange::kHighWatermark);
  }
  co_return done;
}

absl::Status Partition::AppendFromLeader(LeaderEpoch epoch, BatchView batch, Admission& admission) {
  absl::StatusOr<PartitionFollower*> follower = FollowingIn(epoch);
  if (!follower.ok()) return follower.status();
  if ((*follower)->phase() != PartitionFollower::Phase::kFollowing) {
    return MakeError(ErrorKind::kFencedLeaderEpoch, "the logs have not been found to meet");
  }
  if (batch.header().leader_epoch > epoch) {
    return MakeError(ErrorKind::kCorruptMessage,
                     fmt::format("a batch of epoch {} from the leader of epoch {}",
                                 *batch.header().leader_epoch, epoch));
  }
  absl::StatusOr<AppendInfo> info = log_.AppendAsFollower(std::move(batch), admission);
  if (!info.ok()) return info.status();
  host_.OnChange(*this, ReplicaChange::kAppended);
  if ((*follower)->OnAppended(log_.end_offset())) FollowHighWatermark(**follower);
  return absl::OkStatus();
}

absl::Status Partition::OnLeaderOffsets(LeaderEpoch epoch, Offset high_watermark,
                                        Offset log_start) {
  absl::StatusOr<PartitionFollower*> follower = FollowingIn(epoch);
  if (!follower.ok()) return follower.status();
  (*follower)->OnLeaderLogStart(log_start);
  if ((*follower)->OnLeaderHighWatermark(high_watermark, log_.end_offset())) {
    FollowHighWatermark(**follower);
  } else if ((*follower)->log_start() > log_.start_offset()) {
    host_.AdvanceStart(*this, (*follower)->log_start());
  }
  return absl::OkStatus();
}

void Partition::FollowHighWatermark(const PartitionFollower& follower) {
  if (follower.log_start() > log_.start_offset()) host_.AdvanceStart(*this, follower.log_start());
  MoveHighWatermark(follower.high_watermark());
}

Task<void> Partition::AdvanceStart(Offset start) {
  if (busy_ > 0 || start <= log_.start_offset()) co_return;
  Busy busy(busy_, whole_);
  absl::Status moved = co_await log_.AdvanceStart(start);
  if (!moved.ok()) {
    logger_.Warning("its start stays at {}: {}", log_.start_offset(), std::string(moved.message()));
  } else if (!closed_) {
    host_.OnChange(*this, ReplicaChange::kLogStart);
  }
}

bool Partition::BeginsInside(const BatchHeader& header) const {
  const Offset end = log_.end_offset();
  return follows() && end == log_.start_offset() && header.base_offset < end &&
         end < header.next_offset();
}

Task<absl::Status> Partition::BeginAt(LeaderEpoch epoch, Offset base) {
  absl::StatusOr<PartitionFollower*> follower = FollowingIn(epoch);
  if (!follower.ok()) co_return follower.status();
  if (log_.end_offset() != log_.start_offset() || base >= log_.end_offset()) {
    co_return MakeError(ErrorKind::kInvalidRequest, "only an empty log may begin anew");
  }
  if ((*follower)->phase() != PartitionFollower::Phase::kFollowing) {
    co_return MakeError(ErrorKind::kFencedLeaderEpoch, "the logs have not been found to meet");
  }
  (*follower)->BeginCut();
  absl::Status done = co_await DoCut({base, /*whole=*/true});
  // Nobody else changes the role while we are busy, but Close() may have come.
  if (PartitionFollower* still = following(); done.ok() && still != nullptr) still->Resume();
  co_return done;
}

// --- What the log says -------------------------------------------------------------------------

void Partition::OnDurable(Log&, Offset durable_end) {
  durable_.Advance(durable_end);
  host_.OnChange(*this, ReplicaChange::kDurable);
  if (PartitionLeader* leader = leading(); leader != nullptr) {
    Do(leader->OnOwnEnd(durable_end, host_.reactor().Now()));
  }
}

void Partition::OnFailed(Log&, absl::Status cause) {
  failure_ = MakeError(ErrorKind::kStorageError, std::string(cause.message()));
  logger_.Error("takes no appends any more: {}", std::string(cause.message()));
  FailWaiters(failure_);
  host_.OnChange(*this, ReplicaChange::kFailed);
}

void Partition::OnDamaged(Log&) { host_.OnChange(*this, ReplicaChange::kDamaged); }

void Partition::FailWaiters(const absl::Status& status) {
  durable_.FailAll(status);
  committed_.FailAll(status);
  started_.FailAll(status);
}

}  // namespace millrace

// Partition: this broker's replica of one partition: its log, its role, and what is committed. What
// is decided is decided by pure cores: PartitionLeader while it leads, PartitionFollower while it
// follows. This is the thin shell that feeds them from the log and the metadata, and carries out
// what they say.
//
//   assigned ──► leads   in an epoch: appends of clients, followers' hellos and progress, the ISR
//       │  ▲       │
//       ▼  │       ▼ another epoch, or another leader
//      follows     in an epoch: hello ─► (the log is cut ─► hello)* ─► batches of the leader
//
// Shard:     one, the log's.
// Lifetime:  owned by PartitionTable; `log` and `host` outlive it. Whoever is not of this folder
//            looks it up anew after each co_await. Apply() and destruction come when its own
//            coroutines have ended: WaitUntilWhole().
// Errors:    kNotLeaderOrFollower, kFencedLeaderEpoch, kUnknownLeaderEpoch, kStaleBrokerEpoch,
//            kNotEnoughReplicas, those of the batch validator and of producer state, kStorageError
//            (the directory failed).
// Invariant: start_offset <= high_watermark <= log end.
// Source:    rules 1.3-1.9, 2.6, 2.12, 2.40-2.53, 3.8, 4, 5.1-5.14 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "replication/isr_channel.h"
#include "replication/log_match.h"
#include "replication/offset_waiters.h"
#include "replication/partition_assignment.h"
#include "replication/partition_follower.h"
#include "replication/partition_leader.h"
#include "replication/partition_observer.h"
#include "replication/throttled_partitions.h"
#include "storage/log.h"
#include "storage/log_store.h"
#include "storage/record/shard_validator.h"

namespace millrace {

// What the topic's configuration says about its partitions.
struct PartitionRules {
  AppendRules append;
  size_t isr_min = 1;  // min.insync.replicas.
  LogConfig log;
  TopicThrottles throttled;
};

struct LeaderAppend {
  Offset base_offset;
  Offset next_offset;  // acks=all waits until this is the high watermark.
  std::optional<Timestamp> log_append_time;
  bool duplicate;  // Nothing was appended: the batch was there already.
};

// What a partition needs of its shard; PartitionTable is it. Called in the middle of things: it
// remembers, and calls nothing back.
// Of the partitions that one shard leads.
struct IsrMetrics {
  Counter shrinks;
  Counter expands;
  Counter refused;  // Proposals that the controller did not take.
};

class PartitionHost {
 public:
  virtual Reactor& reactor() = 0;
  virtual const LeaderOptions& leader_options() const = 0;
  // Ask the controller; Partition::OnIsrOutcome() gets the answer.
  virtual void Propose(Partition& partition, IsrProposal proposal) = 0;
  // OnTime() has something to do then, at the latest. One time per partition, the last one given.
  virtual void WakeAt(Partition& partition, Instant when) = 0;
  // The leader's log starts later than ours.
  virtual void AdvanceStart(Partition& partition, Offset start) = 0;
  virtual void OnChange(Partition& partition, ReplicaChange change) = 0;
  virtual IsrMetrics& isr_metrics() = 0;

 protected:
  ~PartitionHost() = default;
};

class Partition final : private LogObserver {
 public:
  // `high_watermark` as it was remembered; what the log does not have of it does not count.
  Partition(Log& log, BrokerId self, PartitionHost& host, Offset high_watermark,
            PrefixLogger logger);
  ~Partition() override;

  // The metadata changed. Waiters of a leadership that ended are told. An assignment of an older
  // leader epoch changes nothing but the rules. REQUIRES: WaitUntilWhole().
  void Apply(const PartitionAssignment& assignment, std::shared_ptr<const PartitionRules> rules);
  // The same for a leader when only brokers have changed. Nothing else of `assignment` is looked at
  // unless it is of another epoch; then it is not, either.
  void ApplyBrokers(const PartitionAssignment& assignment);
  // The replica is going away: tells who waits for commits `why`.
  void Close(const absl::Status& why);
  // Until nothing of its own is under way: no cut of the log, no move of its start. While one is,
  // there is neither another role nor an end.
  Task<void> WaitUntilWhole();

  const TopicPartitionId& id() const { return log_.id(); }
  const std::string& topic() const { return log_.topic(); }
  Log& log() { return log_; }
  const Log& log() const { return log_; }
  const PartitionRules& rules() const { return *rules_; }
  const PartitionAssignment& assignment() const { return assignment_; }
  LeaderEpoch leader_epoch() const { return assignment_.leader_epoch; }
  const std::optional<BrokerId>& leader() const { return assignment_.leader; }
  bool leads() const { return std::holds_alternative<PartitionLeader>(role_); }
  // It led until its present role began.
  bool led_before() const { return led_before_; }
  // When a client last took it, in vain, for what it is not in the present role.
  struct FalseClaim {
    Instant when;
    std::optional<LeaderEpoch> epoch;  // That it named, if any.
  };
  const std::optional<FalseClaim>& claimed_in_vain() const { return claimed_in_vain_; }
  void NoteClaimInVain(FalseClaim claim) { claimed_in_vain_ = claim; }
  // Null where it does not lead.
  const PartitionLeader* leading() const { return std::get_if<PartitionLeader>(&role_); }
  bool follows() const { return std::holds_alternative<PartitionFollower>(role_); }
  ReplicaEnds ends() const;
  const absl::Status& failure() const { return failure_; }

  // For the PartitionObserver: its place among the observer's own things.
  uint32_t observer_slot = UINT32_MAX;
  // For the host: its high watermark is to be written.
  bool high_watermark_unkept = false;

  // --- Clients ---------------------------------------------------------------------------------

  // OK when this replica leads and the client knows the current epoch (or did not say: nothing).
  absl::Status CheckLeader(std::optional<LeaderEpoch> client_epoch) const;
  // The same for a consumer that may read from a follower (KIP-392).
  absl::Status CheckReplica(std::optional<LeaderEpoch> client_epoch) const;

  // What a leader does with one produced batch before it appends: minimum ISR (acks=all) and
  // validation. The batch may come out larger than it went in: the broker recompresses. Nothing
  // when validating may take long: then do what LongValidation() says, with
  // ShardValidator::Validate(), and look this partition up anew.
  std::optional<ValidationOutcome> Prepare(const BatchView& batch, bool acks_all, Timestamp now,
                                           ShardValidator& validator) const;
  ValidationJob LongValidation(BatchView batch, Timestamp now) const;
  // What it does then: leadership (it may have ended since), duplicates, sequence, append. One
  // turn, so that appends keep the order of the calls. A duplicate answers its original offsets.
  // REQUIRES: `admission` holds the batch's size.
  absl::StatusOr<LeaderAppend> Append(ValidatedBatch valid, bool acks_all, Admission& admission);
  // False: fewer than min.insync.replicas are in sync. What acks=all looks at once more when its
  // offset is committed (rule 1.4).
  bool has_enough_replicas() const;

  // DeleteRecords: where the log is to start: at `before`, or at the high watermark if it does not
  // say. Errors: kPolicyViolation: the topic is only compacted, every key's last record is kept.
  // kOffsetOutOfRange: `before` is above the high watermark. CheckLeader()'s.
  absl::StatusOr<Offset> StartAfterDelete(std::optional<Offset> before) const;
  // Then the start moves there, durably, and followers hear of it. Log::AdvanceStart()'s errors.
  Task<absl::Status> DeleteBefore(Offset start);
  // Where all replicas that are alive start; the own start where this replica does not lead.
  Offset low_watermark() const;

  // Committed and safe to read, as far as this replica knows.
  Offset high_watermark() const { return high_watermark_; }
  // Where READ_COMMITTED ends: at the first transaction that is not decided, or the high watermark.
  Offset last_stable_offset() const;
  // False for a new leader that has not yet committed something of its own epoch (rule 3.8).
  bool high_watermark_is_current() const;
  // Followers in the ISR, for who selects the replica a consumer reads from. REQUIRES: leads().
  std::vector<PartitionLeader::View> InSyncFollowers() const;

  // Whether the high watermark waits for this follower: it is in the ISR, or about to join. Then
  // nothing may hold it back. False where this replica does not lead.
  bool Awaits(BrokerId follower) const;
  // Whether a replication throttle is meant for this replica, as it leads or follows.
  bool throttled() const {
    const TopicThrottles& throttled = rules_->throttled;
    return (leads() ? throttled.leader : throttled.follower).Contains(id().partition);
  }

  // Told when the high watermark reaches a target, or the role in this epoch ends.
  OffsetWaiters& committed() { return committed_; }
  // Told when this replica's durable end reaches a target (acks=1 on a `disk` topic).
  OffsetWaiters& durable() { return durable_; }
  // Told when the low watermark reaches a target, or the leadership ends.
  OffsetWaiters& started() { return started_; }

  // --- Leading: the replication stream's side of it --------------------------------------------
  // What followers read is the log itself, up to its end: log().TryReadCached(), log().Read().

  // A follower wants to follow: where the logs meet, or what it has to do first. Once they meet its
  // ends count. Errors: kNotLeaderOrFollower; kFencedLeaderEpoch: it follows an older epoch;
  // kUnknownLeaderEpoch: a later one, or it is no replica yet as far as is known here, or its last
  // record's epoch is later (it tries again); kStaleBrokerEpoch.
  absl::StatusOr<LogMatch> OnFollowerHello(BrokerId broker, BrokerEpoch broker_epoch,
                                           const FollowerHello& hello);
  // A follower has appended, or synced, or its log starts later. The same errors; kInvalidRequest
  // when it has more than we do.
  absl::Status OnFollowerProgress(BrokerId broker, BrokerEpoch broker_epoch,
                                  LeaderEpoch leader_epoch, const ReplicaEnds& ends);

  // A follower takes nothing any more for now, and says so. Ignored when nobody leads here.
  void OnFollowerGone(BrokerId broker, BrokerEpoch broker_epoch, LeaderEpoch leader_epoch);

  // --- Following -------------------------------------------------------------------------------

  // What to say to the leader; nothing while it does not follow, the log is being cut, or failed.
  // Batches are taken again when the answer has been.
  std::optional<FollowerHello> Hello();
  // Does what the leader answered. True: the logs meet, batches may come. False: say hello again.
  // Errors: kFencedLeaderEpoch: this follows in another epoch by now. Log::Truncate()'s.
  Task<absl::StatusOr<bool>> OnHelloAnswer(LeaderEpoch epoch, LogMatch answer);
  // Appends one batch of the leader, in one turn. Nothing of it is kept on errors:
  // kFencedLeaderEpoch: it follows in another epoch, or has not agreed; kOffsetOutOfRange: the
  // batch begins below our end. Log::AppendAsFollower()'s.
  // REQUIRES: its CRC was checked; `admission` holds its size.
  absl::Status AppendFromLeader(LeaderEpoch epoch, BatchView batch, Admission& admission);
  // The leader's high watermark and log start, with batches or alone.
  absl::Status OnLeaderOffsets(LeaderEpoch epoch, Offset high_watermark, Offset log_start);
  // The log is empty and begins inside this batch (records were deleted up to the middle of it):
  // BeginAt() its base first, then append it. Nothing was there to agree on, so nothing is asked.
  bool BeginsInside(const BatchHeader& header) const;
  Task<absl::Status> BeginAt(LeaderEpoch epoch, Offset base);

  // --- For the host ----------------------------------------------------------------------------

  void OnIsrOutcome(const IsrProposal& proposal, const IsrOutcome& outcome);
  void OnTime();
  // Does what PartitionHost::AdvanceStart() asked for. Nothing when something else is under way.
  Task<void> AdvanceStart(Offset start);

 private:
  void OnDurable(Log& log, Offset durable_end) override;
  void OnFailed(Log& log, absl::Status cause) override;
  void OnDamaged(Log& log) override;
  Offset CommittedEnd(const Log&) const override { return high_watermark_; }

  PartitionLeader* leading() { return std::get_if<PartitionLeader>(&role_); }
  PartitionFollower* following() { return std::get_if<PartitionFollower>(&role_); }
  void TakeRole();
  // A transition. Not the first role: a start with a hundred thousand replicas says how many there
  // are, and a line for each would take longer than all else that it does for them.
  template <typename... Args>
  void LogRole(fmt::format_string<const Args&...> format, const Args&... args) {
    if (assigned_) {
      logger_.Info(format, args...);
    } else {
      logger_.Debug(format, args...);
    }
  }
  size_t IsrMin() const;
  void Do(PartitionLeader::Output output);
  void MoveHighWatermark(Offset to);
  void FollowHighWatermark(const PartitionFollower& follower);
  absl::StatusOr<PartitionFollower*> FollowingIn(LeaderEpoch epoch);
  Task<absl::Status> DoCut(PartitionFollower::Cut cut);
  absl::Status CheckEpoch(std::optional<LeaderEpoch> client_epoch) const;
  absl::Status CheckAppend(bool acks_all) const;
  void FailWaiters(const absl::Status& status);
  // Where an idempotent batch already is, or nothing: append it.
  absl::StatusOr<std::optional<LeaderAppend>> FindDuplicate(const BatchView& batch) const;

  // Borrowed.
  Log& log_;
  PartitionHost& host_;
  // Constant after construction.
  const BrokerId self_;
  const std::string name_;  // "topic-0", for messages.
  // State.
  PrefixLogger logger_;
  std::shared_ptr<const PartitionRules> rules_;
  PartitionAssignment assignment_;
  std::variant<std::monostate, PartitionLeader, PartitionFollower> role_;
  Offset high_watermark_;
  OffsetWaiters committed_;
  OffsetWaiters durable_;
  OffsetWaiters started_;
  absl::Status failure_;
  std::optional<Instant> wake_;  // As the host knows it.
  bool assigned_ = false;        // Apply() has been called.
  bool led_before_ = false;
  std::optional<FalseClaim> claimed_in_vain_;
  bool closed_ = false;
  int busy_ = 0;  // Coroutines of its own.
  Event whole_;
};

}  // namespace millrace

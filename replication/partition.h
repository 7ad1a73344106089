// Partition: this broker's replica of one partition: its log, its role, and what is committed. The
// commit rule is the pure core's (commit_tracker.h); this is the thin shell that feeds it from the
// log and wakes who waits.
//
// Shard:     one, the log's.
// Lifetime:  owned by PartitionTable; `log` outlives it. Handlers look it up anew after each
// co_await. Errors:    kNotLeaderOrFollower, kFencedLeaderEpoch, kUnknownLeaderEpoch,
// kNotEnoughReplicas, those of the batch
//            validator and of producer state, kStorageError (the directory failed).
// Invariant: start_offset <= high_watermark <= log end.
// Source:    rules 1.3-1.9, 2.6, 2.12, 3.8, 4.1 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>

#include <expected>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/log/log.h"
#include "replication/commit_tracker.h"
#include "replication/offset_waiters.h"
#include "storage/log.h"
#include "storage/log_store.h"
#include "storage/shard_validator.h"

namespace millrace {

// One of a partition's replicas, as the metadata has it.
struct ReplicaAssignment {
  BrokerId broker;
  std::optional<BrokerEpoch> epoch;  // Of its registration; nothing: it is not registered.
  bool active;            // Registered, not fenced, not shutting down: it may join the ISR.
  DirectoryId directory;  // Zero: not said yet.
};

// What the metadata says about a partition that has a replica on this broker.
struct PartitionAssignment {
  TopicPartitionId id;
  std::string topic;
  std::optional<BrokerId> leader;
  LeaderEpoch leader_epoch;
  std::set<BrokerId> isr;
  size_t replica_count;
  PartitionEpoch partition_epoch{0};
  std::vector<ReplicaAssignment> replicas{};  // Preferred leader first.
  std::set<BrokerId> elr{};                   // Eligible leader replicas (KIP-966).
  bool leader_recovering = false;  // Elected uncleanly, and not yet dealt with (KIP-704).
};

// What the topic's configuration says about its partitions.
struct PartitionRules {
  AppendRules append;
  size_t isr_min = 1;  // min.insync.replicas.
  LogConfig log;
};

struct LeaderAppend {
  Offset base_offset;
  Offset next_offset;  // acks=all waits until this is the high watermark.
  std::optional<Timestamp> log_append_time;
  bool duplicate;  // Nothing was appended: the batch was there already.
};

class Partition final : private LogObserver {
 public:
  Partition(Log& log, BrokerId self, PrefixLogger logger);
  ~Partition() override;

  // The metadata changed. Waiters of a leadership that ended are told.
  void Apply(const PartitionAssignment& assignment, std::shared_ptr<const PartitionRules> rules);
  // The topic is gone: tells all waiters kUnknownTopicOrPartition.
  void Close();

  const TopicPartitionId& id() const { return log_.id(); }
  const std::string& topic() const { return log_.topic(); }
  Log& log() { return log_; }
  const PartitionRules& rules() const { return *rules_; }
  LeaderEpoch leader_epoch() const { return leader_epoch_; }
  const std::optional<BrokerId>& leader() const { return leader_; }
  bool leads() const { return tracker_.has_value(); }

  // OK when this replica leads and the client knows the current epoch (or did not say: nothing).
  absl::Status CheckLeader(std::optional<LeaderEpoch> client_epoch) const;

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

  // DeleteRecords: where the log is to start: at `before`, or at the high watermark if it does not
  // say. Errors: kPolicyViolation: the topic is only compacted, every key's last record is kept.
  // kOffsetOutOfRange: `before` is above the high watermark. CheckLeader()'s.
  absl::StatusOr<Offset> StartAfterDelete(std::optional<Offset> before) const;

  // Committed and safe to read. Nothing while the replica does not lead.
  Offset high_watermark() const { return high_watermark_; }
  // Where READ_COMMITTED ends: at the first transaction that is not decided, or the high watermark.
  Offset last_stable_offset() const;
  // False for a new leader that has not yet committed something of its own epoch (rule 3.8).
  bool high_watermark_is_current() const { return high_watermark_ >= epoch_start_; }

  // Told when the high watermark reaches a target, or the leadership ends.
  OffsetWaiters& committed() { return committed_; }
  // Told when this replica's durable end reaches a target (acks=1 on a `disk` topic).
  OffsetWaiters& durable() { return durable_; }

 private:
  void OnDurable(Log& log, Offset durable_end) override;
  void OnFailed(Log& log, absl::Status cause) override;
  Offset CommittedEnd(const Log&) const override { return high_watermark_; }
  void AfterProgress();
  absl::Status CheckAppend(bool acks_all) const;
  void FailWaiters(const absl::Status& status);
  // Where an idempotent batch already is, or nothing: append it.
  absl::StatusOr<std::optional<LeaderAppend>> FindDuplicate(const BatchView& batch) const;

  // Borrowed.
  Log& log_;
  // Constant after construction.
  const BrokerId self_;
  const std::string name_;  // "topic-0", for messages.
  // State.
  PrefixLogger logger_;
  std::shared_ptr<const PartitionRules> rules_;
  LeaderEpoch leader_epoch_{0};
  std::optional<BrokerId> leader_;
  std::optional<CommitTracker> tracker_;  // While leading.
  Offset epoch_start_{0};
  Offset high_watermark_;
  OffsetWaiters committed_;
  OffsetWaiters durable_;
  absl::Status failure_;
};

}  // namespace millrace

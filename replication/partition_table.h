// PartitionTable: the replicas of one shard, by topic id and partition; opens and removes them as
// the metadata says, and does for them what takes time: asks for ISRs, wakes them, remembers their
// high watermarks.
//
// Shard:    one; `store` is the shard's.
// Lifetime: everything lent outlives it. Stop() must have finished before destruction. Partitions
//           are valid until Remove() or Stop(): look them up anew after a co_await.
// Errors:   Open(): those of LogStore::Open(). Remove(): those of LogStore::Delete().
// Cost:     an idle partition takes its log's memory and one entry here; nothing visits them all.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "replication/high_watermarks.h"
#include "replication/isr_channel.h"
#include "replication/offset_waiters.h"
#include "replication/partition.h"
#include "replication/partition_observer.h"
#include "storage/kv/kv_store.h"
#include "storage/log_store.h"

namespace millrace {

struct PartitionTableOptions {
  LeaderOptions leader;
  // replica.high.watermark.checkpoint.interval.ms. Raise: fewer writes; after a crash a follower
  // knows less of what is committed, until its leader says it.
  Duration high_watermark_interval = seconds(5);
};

class PartitionTable final : private PartitionHost {
 public:
  // `kv` keeps high watermarks. Null: they are not kept.
  PartitionTable(Env& env, LogStore& store, BrokerId self, KvStore* kv = nullptr,
                 PartitionTableOptions options = {});
  ~PartitionTable();

  // How ISRs are proposed; nothing is proposed before. Outlives Stop().
  void set_isr_channel(IsrChannel* channel) { channel_ = channel; }
  // At most one; it must outlive the table, or be set to null before it goes.
  void set_observer(PartitionObserver* observer) { observer_ = observer; }
  // Called in the middle of things when a replica's log turns out to be damaged (Log::damage()).
  void set_on_damaged(std::function<void(TopicPartitionId)> call) { on_damaged_ = std::move(call); }

  // Whether Open() would have to make its log.
  bool LacksLog(const TopicPartitionId& id) const {
    return store_.Find(id) == nullptr && store_.OfflineCause(id).ok();
  }
  // Makes logs that are lacking, at the price of one. What fails is tried again, and said, by
  // Open().
  Task<void> MakeLogs(std::vector<NewLog> logs);
  // Opens the replica (its log is created when absent) or applies the change to the one that is
  // open.
  Task<absl::Status> Open(PartitionAssignment assignment,
                          std::shared_ptr<const PartitionRules> rules);
  // Ends the replica and deletes its log: the topic is gone, or (`moved`) the partition has other
  // replicas now. OK when there is none.
  Task<absl::Status> Remove(TopicPartitionId id, bool moved = false);
  // Sets aside every log that is on disk and not one of ours: its topic was deleted, or its replica
  // moved, while this broker was down; or the cluster's metadata is not what it was. Which of them
  // nobody here can tell, so nothing is deleted (Kafka does the same). Before any Open(): a topic of
  // the same name may have been made since, and its folders have the same names. `is_ours` is asked
  // in order of id.
  Task<absl::Status> SetStraysAside(std::function<bool(const TopicPartitionId&)> is_ours);
  // Ends all replicas; their logs stay.
  Task<void> Stop();

  // Of one that the metadata puts here and that is not open yet: whether Open() is worth waiting
  // for. False once it has failed, until it is tried again, or was waited for in vain.
  bool MayBeOpened(const TopicPartitionId& id) const;
  void NoteAwaitedInVain(const TopicPartitionId& id);
  // Wakes `waiter`, once, when Open() has opened the replica or failed, or it is removed.
  // REQUIRES: the table outlives what waits, or is stopped first.
  void AwaitOpening(const TopicPartitionId& id, OffsetWaiter& waiter);

  // Null when this shard has no such replica.
  Partition* Find(const TopicPartitionId& id);
  // Where its log lies; nothing without a replica, or when that directory is offline.
  std::optional<DirectoryId> DirectoryOf(const TopicPartitionId& id);
  // Also true for one whose log is in a directory that is offline.
  bool Hosts(const TopicPartitionId& id) const {
    return replicas_.contains(id) || !store_.OfflineCause(id).ok();
  }
  size_t size() const { return replicas_.size(); }
  // `registry` must not ask any more when Stop() begins.
  void RegisterMetrics(MetricRegistry& registry) const;
  // Replicas in order of id.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (auto& [id, replica] : replicas_) visit(*replica.partition);
  }

 private:
  // Of a replica that is not open.
  struct Unopened {
    OffsetWaiters waiters;
    bool hopeless = false;
  };
  using Wakes = std::multimap<Instant, Partition*>;
  struct Replica {
    std::unique_ptr<Partition> partition;
    std::optional<Wakes::iterator> wake;
  };

  Reactor& reactor() override { return env_.reactor; }
  const LeaderOptions& leader_options() const override { return options_.leader; }
  void Propose(Partition& partition, IsrProposal proposal) override;
  void WakeAt(Partition& partition, Instant when) override;
  void AdvanceStart(Partition& partition, Offset start) override;
  void OnChange(Partition& partition, ReplicaChange change) override;
  IsrMetrics& isr_metrics() override { return isr_metrics_; }
  // How many of the partitions led here are so.
  double CountLed(bool (*is_so)(const Partition& partition, const PartitionLeader& leader)) const;

  void EndUnopened(const TopicPartitionId& id, const absl::Status& status);
  Task<absl::StatusOr<Partition*>> Make(TopicPartitionId id, std::string topic, LogConfig config);
  Task<void> End(TopicPartitionId id, absl::Status why);
  void ForgetWake(Replica& replica);
  std::optional<Offset> WatermarkToKeep(const TopicPartitionId& id);
  Task<void> DoPropose(TopicPartitionId id, IsrProposal proposal);
  Task<void> DoAdvanceStart(TopicPartitionId id, Offset start);
  Task<void> Wake();

  // Constant after construction.
  const BrokerId self_;
  const PartitionTableOptions options_;
  // Borrowed.
  Env& env_;
  LogStore& store_;
  IsrChannel* channel_ = nullptr;
  PartitionObserver* observer_ = nullptr;
  std::function<void(TopicPartitionId)> on_damaged_;
  // State.
  std::map<TopicPartitionId, Replica> replicas_;
  // Those that somebody waits for, has waited for in vain, or that could not be opened.
  std::map<TopicPartitionId, Unopened> unopened_;
  Wakes wakes_;
  bool waking_ = false;  // Wake() runs.
  Event earlier_;        // There is an earlier wake than Wake() waits for.
  HighWatermarks high_watermarks_;
  IsrMetrics isr_metrics_;
  TaskScope scope_;
};

}  // namespace millrace

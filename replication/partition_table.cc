#include "replication/partition_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
PartitionTable::PartitionTable(Env& env, LogStore& store, BrokerId self, KvStore* kv,
                               PartitionTableOptions options)
    : self_(self),
      options_(options),
      env_(env),
      store_(store),
      earlier_(env.reactor),
      high_watermarks_(env, kv, options.high_watermark_interval,
                       [this](const TopicPartitionId& id) { return WatermarkToKeep(id); }),
      scope_(env.reactor) {}

PartitionTable::~PartitionTable() { MR_CHECK(replicas_.empty()); }

Task<absl::StatusOr<Partition*>> PartitionTable::Make(TopicPartitionId id, std::string topic,
                                                      LogConfig config) {
  if (absl::Status loaded = co_await high_watermarks_.Load(); !loaded.ok()) co_return loaded;
  absl::StatusOr<Log*> log = co_await store_.Open(id, topic, config, /*create=*/true);
  if (!log.ok()) co_return log.status();
  PrefixLogger logger = env_.logger.WithPrefix(fmt::format("[p {}-{}]", topic, id.partition));
  const Offset kept = high_watermarks_.Take(id).value_or(Offset(0));
  Replica& replica = replicas_[id];
  PartitionHost& host = *this;
  replica.partition = std::make_unique<Partition>(**log, self_, host, kept, std::move(logger));
  co_return replica.partition.get();
}

Task<void> PartitionTable::MakeLogs(std::vector<NewLog> logs) {
  if (!logs.empty()) (void)co_await store_.CreateAll(std::move(logs));
}

Task<absl::Status> PartitionTable::Open(PartitionAssignment assignment,
                                        std::shared_ptr<const PartitionRules> rules) {
  Partition* partition = Find(assignment.id);
  if (partition == nullptr) {
    if (auto known = unopened_.find(assignment.id); known != unopened_.end()) {
      known->second.hopeless = false;
    }
    absl::StatusOr<Partition*> made = co_await Make(assignment.id, assignment.topic, rules->log);
    if (!made.ok()) {
      EndUnopened(assignment.id, made.status());
      NoteAwaitedInVain(assignment.id);
      co_return made.status();
    }
    partition = *made;
  }
  // The metadata comes in order, one change at a time: nobody removes it meanwhile.
  co_await partition->WaitUntilWhole();
  partition->Apply(assignment, std::move(rules));
  EndUnopened(assignment.id, absl::OkStatus());
  co_return absl::OkStatus();
}

bool PartitionTable::MayBeOpened(const TopicPartitionId& id) const {
  if (Hosts(id)) return false;
  auto known = unopened_.find(id);
  return known == unopened_.end() || !known->second.hopeless;
}

void PartitionTable::NoteAwaitedInVain(const TopicPartitionId& id) {
  if (!Hosts(id)) unopened_[id].hopeless = true;
}

void PartitionTable::AwaitOpening(const TopicPartitionId& id, OffsetWaiter& waiter) {
  unopened_[id].waiters.Add(waiter, kNeverReached);
}

void PartitionTable::EndUnopened(const TopicPartitionId& id, const absl::Status& status) {
  auto unopened = unopened_.extract(id);
  if (!unopened.empty()) unopened.mapped().waiters.FailAll(status);
}

Task<void> PartitionTable::End(TopicPartitionId id, absl::Status why) {
  auto found = replicas_.find(id);
  if (found == replicas_.end()) co_return;
  Partition& partition = *found->second.partition;
  partition.Close(why);
  co_await partition.WaitUntilWhole();
  found = replicas_.find(id);
  if (found == replicas_.end()) co_return;
  ForgetWake(found->second);
  replicas_.erase(found);
}

Task<absl::Status> PartitionTable::Remove(TopicPartitionId id, bool moved) {
  // A replica whose directory is offline was never opened, and its log is yet to be forgotten.
  const bool kept = high_watermarks_.Take(id).has_value();
  const Partition* partition = Find(id);
  if (kept || (partition != nullptr && partition->assignment().replicas.size() > 1)) {
    high_watermarks_.Changed(id);
  }
  co_await End(
      id,
      moved ? MakeError(ErrorKind::kNotLeaderOrFollower, "the replica has moved to another broker")
            : MakeError(ErrorKind::kUnknownTopicOrPartition, "the topic has been deleted"));
  EndUnopened(id, MakeError(ErrorKind::kNotLeaderOrFollower, "the replica is not here any more"));
  absl::Status deleted = co_await store_.Delete(id);
  co_return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

Task<absl::Status> PartitionTable::SetStraysAside(
    std::function<bool(const TopicPartitionId&)> is_ours) {
  std::vector<TopicPartitionId> strays;
  for (Log* log : store_.Logs()) {
    if (!is_ours(log->id())) strays.push_back(log->id());
  }
  for (const TopicPartitionId& id : strays) {
    high_watermarks_.Changed(id);
    MR_CO_RETURN_IF_ERROR(co_await store_.SetAside(id));
  }
  co_return absl::OkStatus();
}

Task<void> PartitionTable::Stop() {
  co_await scope_.Stop();
  // While the replicas are there to be asked.
  co_await high_watermarks_.Stop();
  const absl::Status why =
      MakeError(ErrorKind::kNotLeaderOrFollower, "this broker is shutting down");
  while (!unopened_.empty()) EndUnopened(unopened_.begin()->first, why);
  for (auto& [id, replica] : replicas_) replica.partition->Close(why);
  while (!replicas_.empty()) co_await End(replicas_.begin()->first, why);
}

Partition* PartitionTable::Find(const TopicPartitionId& id) {
  auto found = replicas_.find(id);
  return found == replicas_.end() ? nullptr : found->second.partition.get();
}

std::optional<DirectoryId> PartitionTable::DirectoryOf(const TopicPartitionId& id) {
  Partition* partition = Find(id);
  if (partition == nullptr) return std::nullopt;
  const std::string& path = partition->log().directory();
  for (const LogDirectoryStatus& directory : store_.directories()) {
    if (directory.path == path && directory.failure.ok()) return directory.id;
  }
  return std::nullopt;
}

// --- What replicas ask for -----------------------------------------------------------------------

void PartitionTable::Propose(Partition& partition, IsrProposal proposal) {
  scope_.Spawn(DoPropose(partition.id(), std::move(proposal)), SchedClass::kReplication);
}

Task<void> PartitionTable::DoPropose(TopicPartitionId id, IsrProposal proposal) {
  if (channel_ == nullptr) co_return;
  const IsrOutcome outcome = co_await channel_->Propose(id, proposal, scope_.token());
  if (Partition* partition = Find(id); partition != nullptr) {
    partition->OnIsrOutcome(proposal, outcome);
  }
}

void PartitionTable::AdvanceStart(Partition& partition, Offset start) {
  scope_.Spawn(DoAdvanceStart(partition.id(), start), SchedClass::kHousekeeping);
}

Task<void> PartitionTable::DoAdvanceStart(TopicPartitionId id, Offset start) {
  if (Partition* partition = Find(id); partition != nullptr) {
    co_await partition->AdvanceStart(start);
  }
}

void PartitionTable::OnChange(Partition& partition, ReplicaChange change) {
  if (change == ReplicaChange::kHighWatermark && !partition.high_watermark_unkept &&
      partition.assignment().replicas.size() > 1) {
    partition.high_watermark_unkept = true;
    high_watermarks_.Changed(partition.id());
  }
  if (change == ReplicaChange::kDamaged) {
    if (on_damaged_) on_damaged_(partition.id());
    return;
  }
  if (observer_ != nullptr) observer_->OnReplicaChange(partition, change);
}

std::optional<Offset> PartitionTable::WatermarkToKeep(const TopicPartitionId& id) {
  Partition* partition = Find(id);
  if (partition == nullptr) return std::nullopt;
  partition->high_watermark_unkept = false;
  return partition->high_watermark();
}

void PartitionTable::ForgetWake(Replica& replica) {
  if (replica.wake.has_value()) wakes_.erase(*replica.wake);
  replica.wake.reset();
}

void PartitionTable::WakeAt(Partition& partition, Instant when) {
  Replica& replica = replicas_.at(partition.id());
  ForgetWake(replica);
  replica.wake = wakes_.emplace(when, &partition);
  if (!waking_) {
    waking_ = true;
    scope_.Spawn(Wake(), SchedClass::kHousekeeping);
  } else if (*replica.wake == wakes_.begin()) {
    earlier_.Pulse();
  }
}

Task<void> PartitionTable::Wake() {
  while (!wakes_.empty() && !scope_.stopping()) {
    const Instant first = wakes_.begin()->first;
    if (env_.reactor.Now() < first) {
      co_await earlier_.Wait(first, scope_.token());
      continue;
    }
    Partition* partition = wakes_.begin()->second;
    ForgetWake(replicas_.at(partition->id()));
    partition->OnTime();
  }
  waking_ = false;
}

// --- Metrics -------------------------------------------------------------------------------------

double PartitionTable::CountLed(bool (*is_so)(const Partition& partition,
                                              const PartitionLeader& leader)) const {
  return static_cast<double>(std::ranges::count_if(replicas_, [is_so](const auto& entry) {
    const Partition& partition = *entry.second.partition;
    const PartitionLeader* leader = partition.leading();
    return leader != nullptr && is_so(partition, *leader);
  }));
}

void PartitionTable::RegisterMetrics(MetricRegistry& registry) const {
  registry.AddGauge(
      {"millrace_partitions_led_under_replicated",
       "Partitions led here with fewer replicas in sync than they have (Kafka: "
       "UnderReplicatedPartitions)."},
      [this] {
        return CountLed([](const Partition& partition, const PartitionLeader& leader) {
          return leader.isr_size() < partition.assignment().replicas.size();
        });
      });
  registry.AddGauge(
      {"millrace_partitions_led_under_min_isr",
       "Partitions led here that refuse acks=all (Kafka: UnderMinIsrPartitionCount)."},
      [this] {
        return CountLed([](const Partition&, const PartitionLeader& leader) {
          return !leader.has_enough_replicas();
        });
      });
  registry.AddGauge({"millrace_partitions_led_at_min_isr",
                     "Partitions led here that will refuse acks=all when one more replica is lost "
                     "(Kafka: AtMinIsrPartitionCount)."},
                    [this] {
                      return CountLed([](const Partition&, const PartitionLeader& leader) {
                        return leader.isr_size() == leader.isr_min();
                      });
                    });
  registry.Add({"millrace_isr_shrinks_total",
                "Times that the leader here had replicas taken out of an ISR (Kafka: "
                "IsrShrinksPerSec)."},
               &isr_metrics_.shrinks);
  registry.Add({"millrace_isr_expands_total",
                "Times that the leader here had replicas taken into an ISR (Kafka: "
                "IsrExpandsPerSec)."},
               &isr_metrics_.expands);
  registry.Add({"millrace_isr_refused_total",
                "Changes of an ISR that the controller did not take (Kafka: "
                "FailedIsrUpdatesPerSec)."},
               &isr_metrics_.refused);
}

}  // namespace millrace

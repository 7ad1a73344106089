#include "replication/partition_table.h"

#include <fmt/format.h>

#include <utility>

#include "common/status_macros.h"

namespace millrace {

PartitionTable::PartitionTable(Env& env, LogStore& store, BrokerId self)
    : env_(env), store_(store), self_(self) {}

Task<absl::Status> PartitionTable::Open(PartitionAssignment assignment,
                                        std::shared_ptr<const PartitionRules> rules) {
  Partition* partition = Find(assignment.id);
  if (partition == nullptr) {
    absl::StatusOr<Log*> log =
        co_await store_.Open(assignment.id, assignment.topic, rules->log, /*create=*/true);
    if (!log.ok()) co_return log.status();
    PrefixLogger logger =
        env_.logger.WithPrefix(fmt::format("[p {}-{}]", assignment.topic, assignment.id.partition));
    partition =
        partitions_
            .emplace(assignment.id, std::make_unique<Partition>(**log, self_, std::move(logger)))
            .first->second.get();
  }
  partition->Apply(assignment, std::move(rules));
  co_return absl::OkStatus();
}

Task<absl::Status> PartitionTable::Remove(TopicPartitionId id) {
  // A replica whose directory is offline was never opened, and its log is yet to be forgotten.
  if (auto found = partitions_.find(id); found != partitions_.end()) {
    found->second->Close();
    partitions_.erase(found);
  }
  absl::Status deleted = co_await store_.Delete(id);
  co_return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

Task<absl::Status> PartitionTable::RemoveStrays(std::set<TopicPartitionId> ours) {
  std::vector<TopicPartitionId> strays;
  for (Log* log : store_.Logs()) {
    if (!ours.contains(log->id())) strays.push_back(log->id());
  }
  for (const TopicPartitionId& id : strays) {
    env_.logger.Info("log {}-{} belongs to no topic; removing it", id.topic_id, id.partition);
    MR_CO_RETURN_IF_ERROR(co_await store_.Delete(id));
  }
  co_return absl::OkStatus();
}

void PartitionTable::Close() {
  for (auto& [id, partition] : partitions_) partition->Close();
  partitions_.clear();
}

Partition* PartitionTable::Find(const TopicPartitionId& id) {
  auto found = partitions_.find(id);
  return found == partitions_.end() ? nullptr : found->second.get();
}

}  // namespace millrace

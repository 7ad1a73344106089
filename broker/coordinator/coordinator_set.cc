#include "broker/coordinator/coordinator_set.h"

#include <fmt/format.h>

#include <utility>

namespace millrace {

CoordinatorSet::CoordinatorSet(Env& env, PartitionTable& partitions, LogStore& store,
                               std::string topic, CoordinatorParts make)
    : topic_(std::move(topic)),
      make_(std::move(make)),
      env_(env),
      table_(partitions),
      store_(store),
      ending_(env.reactor) {}

CoordinatorPartition* CoordinatorSet::Find(TopicPartitionId id) const {
  auto found = partitions_.find(id);
  return found == partitions_.end() ? nullptr : found->second.get();
}

void CoordinatorSet::OnPartition(TopicPartitionId id) {
  Partition* replica = stopping_ ? nullptr : table_.Find(id);
  const bool leads = replica != nullptr && replica->leads();
  const CoordinatorPartition* known = Find(id);
  if (known != nullptr && leads && known->epoch() == replica->leader_epoch()) return;
  End(id);
  if (!leads) return;
  auto partition = std::make_shared<CoordinatorPartition>(
      env_, table_, store_, make_, id, fmt::format("{}-{}", topic_, id.partition),
      replica->leader_epoch());
  partition->Start();
  partitions_.emplace(id, std::move(partition));
}

void CoordinatorSet::OnTopicsDeleted(const std::vector<DeletedTopic>& topics) {
  for (auto& [id, partition] : partitions_) partition->OnTopicsDeleted(topics);
}

void CoordinatorSet::End(TopicPartitionId id) {
  auto found = partitions_.find(id);
  if (found == partitions_.end()) return;
  ending_.Spawn(StopOne(std::move(found->second)));
  partitions_.erase(found);
}

Task<void> CoordinatorSet::StopOne(std::shared_ptr<CoordinatorPartition> partition) {
  co_await partition->Stop();
}

Task<void> CoordinatorSet::Stop() {
  stopping_ = true;
  while (!partitions_.empty()) End(partitions_.begin()->first);
  co_await ending_.Join();
  co_await ending_.Stop();
}

}  // namespace millrace

#include "broker/groups/group_offsets.h"

namespace millrace {

void GroupOffsets::Replay(const OffsetCommitRecord& record) {
  const PartitionId partition(record.key.partition);
  if (!record.value.has_value()) {
    auto topic = topics_.find(record.key.topic);
    if (topic == topics_.end()) return;
    size_ -= topic->second.erase(partition);
    if (topic->second.empty()) topics_.erase(topic);
    return;
  }
  const kafka::OffsetCommitValue& value = *record.value;
  CommittedOffset committed{
      .offset = Offset(value.offset),
      .leader_epoch =
          value.leader_epoch < 0 ? std::nullopt : std::optional(LeaderEpoch(value.leader_epoch)),
      .metadata = value.metadata,
      .committed_at = Timestamp(value.commit_timestamp),
      .expires_at = value.expire_timestamp < 0 ? std::nullopt
                                               : std::optional(Timestamp(value.expire_timestamp)),
      .topic_id = value.topic_id,
  };
  auto [place, added] = topics_[record.key.topic].insert_or_assign(partition, std::move(committed));
  if (added) ++size_;
}

const CommittedOffset* GroupOffsets::Find(const std::string& topic, PartitionId partition) const {
  auto partitions = topics_.find(topic);
  if (partitions == topics_.end()) return nullptr;
  auto found = partitions->second.find(partition);
  return found == partitions->second.end() ? nullptr : &found->second;
}

std::vector<GroupRecord> GroupOffsets::Tombstones(const std::string& group_id,
                                                  const Predicate& gone) const {
  std::vector<GroupRecord> tombstones;
  for (const auto& [topic, partitions] : topics_) {
    for (const auto& [partition, committed] : partitions) {
      if (gone(topic, committed)) {
        tombstones.emplace_back(MakeOffsetTombstone(group_id, topic, partition));
      }
    }
  }
  return tombstones;
}

OffsetCommitRecord MakeOffsetRecord(const std::string& group_id, const std::string& topic,
                                    PartitionId partition, const CommittedOffset& committed) {
  OffsetCommitRecord record = MakeOffsetTombstone(group_id, topic, partition);
  kafka::OffsetCommitValue& value = record.value.emplace();
  value.offset = committed.offset.value();
  if (committed.leader_epoch.has_value()) value.leader_epoch = committed.leader_epoch->value();
  value.metadata = committed.metadata;
  value.commit_timestamp = committed.committed_at.ms();
  if (committed.expires_at.has_value()) value.expire_timestamp = committed.expires_at->ms();
  value.topic_id = committed.topic_id;
  return record;
}

OffsetCommitRecord MakeOffsetTombstone(const std::string& group_id, const std::string& topic,
                                       PartitionId partition) {
  return {{.group = group_id, .topic = topic, .partition = partition.value()}, std::nullopt};
}

}  // namespace millrace

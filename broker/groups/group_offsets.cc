#include "broker/groups/group_offsets.h"

namespace millrace {

void GroupOffsets::Replay(const OffsetCommitRecord& record) {
  const PartitionId partition(record.key.partition);
  if (!record.value.has_value()) {
    auto topic = topics_.find(record.key.topic);
    if (topic == topics_.end()) return;
    auto gone = topic->second.find(partition);
    if (gone == topic->second.end()) return;
    text_bytes_ -= record.key.topic.size() + gone->second.metadata.size();
    topic->second.erase(gone);
    --size_;
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
  text_bytes_ += committed.metadata.size();
  auto [place, added] = topics_[record.key.topic].try_emplace(partition, committed);
  if (added) {
    ++size_;
    text_bytes_ += record.key.topic.size();
  } else {
    text_bytes_ -= place->second.metadata.size();
    place->second = std::move(committed);
  }
}

size_t GroupOffsets::Growth(const OffsetsToCommit& request) const {
  size_t growth = 0;
  for (const OffsetsToCommit::Topic& topic : request.topics) {
    for (const OffsetsToCommit::Partition& partition : topic.partitions) {
      const CommittedOffset* known = Find(topic.name, partition.partition);
      const size_t before = known == nullptr ? 0 : known->metadata.size();
      if (known == nullptr) growth += kEntryBytes + topic.name.size();
      if (partition.metadata.size() > before) growth += partition.metadata.size() - before;
    }
  }
  return growth;
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

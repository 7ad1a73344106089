// GroupOffsets: the offsets that one group has committed.
//
// Shard: any; pure. Changed by Replay() alone, live and while loading.
// Cost:  one entry per partition, of kEntryBytes, the topic's name and the commit's metadata.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/groups/group_record.h"
#include "broker/groups/offset_requests.h"
#include "common/ids.h"

namespace millrace {

class GroupOffsets {
 public:
  using Partitions = std::map<PartitionId, CommittedOffset>;
  static constexpr size_t kEntryBytes = 200;

  void Replay(const OffsetCommitRecord& record);

  const CommittedOffset* Find(const std::string& topic, PartitionId partition) const;
  const std::map<std::string, Partitions>& topics() const { return topics_; }
  bool empty() const { return topics_.empty(); }
  size_t size() const { return size_; }
  // What they take in memory, about.
  size_t memory_bytes() const { return size_ * kEntryBytes + text_bytes_; }
  // How much of that these would add.
  size_t Growth(const OffsetsToCommit& request) const;

  // Tombstones for those of which `gone` holds.
  using Predicate = std::function<bool(const std::string& topic, const CommittedOffset& committed)>;
  std::vector<GroupRecord> Tombstones(const std::string& group_id, const Predicate& gone) const;

 private:
  std::map<std::string, Partitions> topics_;
  size_t size_ = 0;
  size_t text_bytes_ = 0;  // Of names and metadata.
};

OffsetCommitRecord MakeOffsetRecord(const std::string& group_id, const std::string& topic,
                                    PartitionId partition, const CommittedOffset& committed);
OffsetCommitRecord MakeOffsetTombstone(const std::string& group_id, const std::string& topic,
                                       PartitionId partition);

}  // namespace millrace

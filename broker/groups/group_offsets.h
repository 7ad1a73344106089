// GroupOffsets: the offsets that one group has committed.
//
// Shard: any; pure. Changed by Replay() alone, live and while loading.
// Cost:  one entry per partition, of some 150 bytes and the commit's metadata.
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

  void Replay(const OffsetCommitRecord& record);

  const CommittedOffset* Find(const std::string& topic, PartitionId partition) const;
  const std::map<std::string, Partitions>& topics() const { return topics_; }
  bool empty() const { return topics_.empty(); }
  size_t size() const { return size_; }

  // Tombstones for those of which `gone` holds.
  using Predicate = std::function<bool(const std::string& topic, const CommittedOffset& committed)>;
  std::vector<GroupRecord> Tombstones(const std::string& group_id, const Predicate& gone) const;

 private:
  std::map<std::string, Partitions> topics_;
  size_t size_ = 0;
};

OffsetCommitRecord MakeOffsetRecord(const std::string& group_id, const std::string& topic,
                                    PartitionId partition, const CommittedOffset& committed);
OffsetCommitRecord MakeOffsetTombstone(const std::string& group_id, const std::string& topic,
                                       PartitionId partition);

}  // namespace millrace

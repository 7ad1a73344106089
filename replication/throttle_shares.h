// ThrottleShares: into how many parts a broker's replication rate is divided: one for each of its
// shards where the metadata says that a replica may have to be held back. So the rate is kept
// without shards asking each other, and one partition that moves gets all of it.
//
// Pure. Every shard computes the same from the same metadata.
// Bound: one entry per topic with such replicas.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/ids.h"

namespace millrace {

class ThrottleShares {
 public:
  // The shards on which replicas of the topic may have to be held back.
  void Set(TopicId topic, std::set<ShardId> shards) {
    if (auto before = topics_.find(topic); before != topics_.end()) {
      for (ShardId shard : before->second) {
        if (auto count = topics_on_.find(shard); --count->second == 0) topics_on_.erase(count);
      }
      topics_.erase(before);
    }
    if (shards.empty()) return;
    for (ShardId shard : shards) ++topics_on_[shard];
    topics_.emplace(topic, std::move(shards));
  }

  // What one shard may take of the node's `rate`.
  std::optional<uint64_t> PartOf(std::optional<uint64_t> rate) const {
    if (!rate.has_value()) return std::nullopt;
    return *rate / std::max<uint64_t>(topics_on_.size(), 1);
  }

 private:
  std::map<TopicId, std::set<ShardId>> topics_;
  std::map<ShardId, uint32_t> topics_on_;
};

}  // namespace millrace

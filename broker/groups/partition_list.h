// Sets of partitions, as members of consumer groups own them and are given them: sorted lists, which
// is what the algorithms of <algorithm> want, and small.
//
// Shard: any; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/ids.h"

namespace millrace {

// Sorted by topic id and number, each once. Nothing says that the partitions exist.
using PartitionList = std::vector<TopicPartitionId>;

// From whatever order and with whatever repetitions a request has.
PartitionList SortedPartitions(PartitionList partitions);

PartitionList Intersection(const PartitionList& a, const PartitionList& b);
PartitionList Difference(const PartitionList& a, const PartitionList& b);  // Of a, without b's.
PartitionList Union(const PartitionList& a, const PartitionList& b);
bool Intersects(const PartitionList& a, const PartitionList& b);
bool Includes(const PartitionList& all, const PartitionList& some);
bool Contains(const PartitionList& all, const TopicPartitionId& one);

// As records and answers hold them: topic by topic. `TopicPartitions` has `topic_id` and
// `partitions`.
template <typename TopicPartitions>
std::vector<TopicPartitions> ByTopic(const PartitionList& partitions) {
  std::vector<TopicPartitions> topics;
  for (const TopicPartitionId& partition : partitions) {
    if (topics.empty() || topics.back().topic_id != partition.topic_id) {
      topics.emplace_back().topic_id = partition.topic_id;
    }
    topics.back().partitions.push_back(partition.partition.value());
  }
  return topics;
}

template <typename TopicPartitions>
PartitionList FromTopics(const std::vector<TopicPartitions>& topics) {
  PartitionList partitions;
  for (const TopicPartitions& topic : topics) {
    for (int32_t partition : topic.partitions) {
      partitions.push_back({topic.topic_id, PartitionId(partition)});
    }
  }
  return SortedPartitions(std::move(partitions));
}

}  // namespace millrace

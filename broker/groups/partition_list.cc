#include "broker/groups/partition_list.h"

#include <algorithm>
#include <iterator>

namespace millrace {

PartitionList SortedPartitions(PartitionList partitions) {
  std::ranges::sort(partitions);
  const auto repeated = std::ranges::unique(partitions);
  partitions.erase(repeated.begin(), repeated.end());
  return partitions;
}

PartitionList Intersection(const PartitionList& a, const PartitionList& b) {
  PartitionList result;
  std::ranges::set_intersection(a, b, std::back_inserter(result));
  return result;
}

PartitionList Difference(const PartitionList& a, const PartitionList& b) {
  PartitionList result;
  std::ranges::set_difference(a, b, std::back_inserter(result));
  return result;
}

PartitionList Union(const PartitionList& a, const PartitionList& b) {
  PartitionList result;
  std::ranges::set_union(a, b, std::back_inserter(result));
  return result;
}

bool Intersects(const PartitionList& a, const PartitionList& b) {
  return std::ranges::any_of(
      a, [&](const TopicPartitionId& partition) { return Contains(b, partition); });
}

bool Includes(const PartitionList& all, const PartitionList& some) {
  return std::ranges::includes(all, some);
}

bool Contains(const PartitionList& all, const TopicPartitionId& one) {
  return std::ranges::binary_search(all, one);
}

}  // namespace millrace

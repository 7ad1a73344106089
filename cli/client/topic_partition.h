// TopicPartition: a partition as clients name it, by its topic's name.
//
// Shard: any; a value.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <string>

#include "common/ids.h"

namespace millrace {

struct TopicPartition {
  std::string topic;
  PartitionId partition{0};
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
  friend bool operator==(const TopicPartition&, const TopicPartition&) = default;

  std::string ToString() const { return fmt::format("{}-{}", topic, partition); }
};

}  // namespace millrace

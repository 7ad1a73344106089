// Which partition of an internal topic a key (a group, a transactional id) belongs to.
//
// Shard:  any; pure.
// Source: rule 6.1: Java's String.hashCode() over UTF-16, its absolute value, modulo the partitions.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/ids.h"

namespace millrace {

// `key`: valid UTF-8, as requests have it. REQUIRES: partitions > 0.
PartitionId CoordinatorPartitionOf(std::string_view key, int32_t partitions);

}  // namespace millrace

// What this process may use of the machine: processors, memory, and what it uses already.
//
// Shard: any; every call reads /proc and /sys anew, so not on a hot path.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

// Processors that this process may keep busy: its affinity, and no more than its cgroup's quota
// (v1 or v2) pays for, rounded down; at least 1. One shard each.
size_t UsableCpus();

// Bytes that this process may use: the machine's memory, or its cgroup's limit if that is lower.
uint64_t UsableMemory();

// Resident set size, in bytes.
uint64_t ResidentMemory();

// Raises the soft limit of open descriptors to the hard one; gives what it is then.
uint64_t RaiseDescriptorLimit();

}  // namespace millrace

// How many shards a node runs.
//
// Source: millrace.shards; docs/architecture.md, Shards.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

// Below so many processors one shard is faster: the clients, the kernel and the helper threads want
// the others, and a request that crosses shards costs two wake-ups.
inline constexpr size_t kCpusForShards = 4;

// `configured` as it is, or for 0 one shard per usable processor.
inline size_t ChooseShards(int32_t configured, size_t usable_cpus) {
  if (configured > 0) return static_cast<size_t>(configured);
  return usable_cpus < kCpusForShards ? 1 : usable_cpus;
}

}  // namespace millrace

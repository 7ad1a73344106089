// The shares of memory: named budgets that add up to what is promised (docs/architecture.md,
// Memory).
#pragma once

#include <algorithm>
#include <cstddef>

#include "common/config/broker_config.h"

namespace millrace {

struct NodeBudgets {
  size_t requests;    // Receive buffers, and what logs keep of them.
  size_t fetch;       // Records being read and sent.
  size_t pending;     // Appended, not yet in segment files.
  size_t tail_cache;  // Kept for consumers near the end.
  size_t validation;  // Of large batches, at helpers.
  // What groups keep of their members and offsets. Beside the others, which add up to what is
  // promised: it holds nothing until there are groups.
  size_t groups;
  // What logs remember of idempotent producers; beside the others, too.
  size_t producers;
  size_t open_files;  // Of segments and indexes, kept open. Not bytes.
};

// Where a configured value is 0: fixed shares of the memory there is, between bounds that suit
// small and large machines. Together they are all of it. What a log keeps of a request is charged
// to `pending` and `tail_cache`, and no longer to `requests` (request_budget.h).
// Files: half of the descriptors that the process may have, the rest is for connections, and no more
// than the kernel keeps for a few megabytes. Never all of them, whatever is configured.
inline NodeBudgets ChooseBudgets(const MemoryConfig& memory, const StorageConfig& storage,
                                 size_t machine_bytes, size_t descriptors) {
  const size_t total = memory.memory_bytes > 0
                           ? static_cast<size_t>(memory.memory_bytes)
                           : std::clamp(machine_bytes / 16, size_t{64} << 20, size_t{192} << 20);
  auto choose = [](int64_t configured, size_t share) {
    return configured > 0 ? static_cast<size_t>(configured) : share;
  };
  NodeBudgets budgets;
  budgets.tail_cache = choose(memory.tail_cache_bytes, total / 8);
  budgets.pending = choose(storage.journal_pending_bytes_max, total / 4);
  budgets.fetch = choose(memory.fetch_output_budget_bytes, total / 4);
  budgets.requests = choose(memory.request_budget_bytes, total / 16 * 5);
  budgets.validation = total / 16;
  budgets.groups = total;
  budgets.producers = choose(memory.producer_state_bytes, total / 4);
  const size_t half = std::max(descriptors / 2, size_t{64});
  budgets.open_files = choose(storage.open_files_max, std::min(half, size_t{8192}));
  budgets.open_files = std::min(budgets.open_files, half / 2 * 3);
  return budgets;
}

// One shard's equal part: all budgets together are what was promised.
inline NodeBudgets ShareOf(const NodeBudgets& node, size_t shards) {
  // Less would not carry one ordinary fetch or batch.
  static constexpr size_t kShareMin = size_t{1} << 20;
  // Below some, files would be opened and closed all the time.
  static constexpr size_t kOpenFilesMin = 32;
  auto share = [shards](size_t whole, size_t least = kShareMin) {
    return std::max(whole / shards, std::min(whole, least));
  };
  return {share(node.requests),   share(node.fetch),
          share(node.pending),    share(node.tail_cache),
          share(node.validation), share(node.groups),
          share(node.producers),  share(node.open_files, kOpenFilesMin)};
}

}  // namespace millrace

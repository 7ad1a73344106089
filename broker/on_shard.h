// How an API reaches the partitions (or logs, or directories) of another shard: a function is run
// with that shard's Broker, and what it gives comes back.
//
//   ShardId shard = broker->shards.Of(id);
//   Offset end = co_await OnShard<Offset>(broker, shard, [id](Broker& there) {
//     return EndOf(&there, id);  // A named coroutine: Task<Offset> EndOf(Broker*,
//     TopicPartitionId).
//   });
//   std::vector<size_t> sizes = co_await ForEachShard<size_t>(broker, [](Broker& there) {
//     return SizeOf(&there);
//   });
//
// Shard:    called on the shard of `from`; the function runs on the other one. What it captures and
//           gives crosses threads: values, shared_ptr to const, or pointers to what the caller
//           keeps and does not touch meanwhile. No Slice of a shard's logs: its block and budget
//           stay there.
// Lifetime: `from` and what was lent to the function outlive the call.
// Cost:     on the own shard a plain call. One message there and one back otherwise, so one call
// for
//           all partitions of a shard, not one for each.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "broker/broker.h"
#include "broker/broker_shards.h"
#include "common/runtime/task_scope.h"

namespace millrace {

template <typename T>
using ShardWork = std::function<Task<T>(Broker& there)>;

template <typename T>
Task<T> OnShard(Broker* from, ShardId to, ShardWork<T> work) {
  if (to == from->env.reactor.shard()) {
    co_return co_await work(*from);
  }
  Broker* there = from->shards.at(to);
  co_return co_await from->shards.calls().Call<T>(
      from->env.reactor.shard(), to, [there, work = std::move(work)] { return work(*there); });
}

namespace internal {
template <typename T>
Task<void> KeepResult(Task<T> task, std::optional<T>* into) {
  into->emplace(co_await task);
}
}  // namespace internal

// On every shard at once; the results in order of the shards.
template <typename T>
Task<std::vector<T>> ForEachShard(Broker* from, ShardWork<T> work) {
  std::vector<T> results;
  if (from->shards.count() == 1) {
    results.push_back(co_await work(*from));
    co_return results;
  }
  std::vector<std::optional<T>> arrived(from->shards.count());
  TaskScope calls(from->env.reactor);
  for (uint32_t shard = 0; shard < arrived.size(); ++shard) {
    calls.Spawn(internal::KeepResult(OnShard<T>(from, ShardId(shard), work), &arrived[shard]));
  }
  co_await calls.Join();
  results.reserve(arrived.size());
  for (std::optional<T>& result : arrived) results.push_back(*std::move(result));
  co_return results;
}

// The shards that have anything in `by_shard`.
template <typename Item>
std::vector<ShardId> ShardsWith(const std::vector<std::vector<Item>>& by_shard) {
  std::vector<ShardId> shards;
  for (uint32_t shard = 0; shard < by_shard.size(); ++shard) {
    if (!by_shard[shard].empty()) shards.push_back(ShardId(shard));
  }
  return shards;
}

// On those of `shards` at once: the same for work without a result.
inline Task<void> OnShards(Broker* from, std::vector<ShardId> shards, ShardWork<void> work) {
  if (shards.size() == 1) {
    co_await OnShard<void>(from, shards.front(), std::move(work));
    co_return;
  }
  TaskScope calls(from->env.reactor);
  for (ShardId shard : shards) calls.Spawn(OnShard<void>(from, shard, work));
  co_await calls.Join();
}

}  // namespace millrace

// Shards: how the shards of a node talk. A call goes over as a message, runs there, and its result
// comes back as one; nothing else is shared.
//
// Shard:    Call() on the caller's shard `from`; the work on shard `to`. What the work captures and
//           returns crosses threads: values, or shared_ptr to const.
// Lifetime: the reactors outlive it. JoinServed() has ended on each shard, and every call too,
//           before destruction. No call may be made to a shard that has stopped.
// Order:    calls of one shard to another one begin in the order they were made, but where an inbox
//           is full: a message is tried again after a millisecond then.
// Bound:    at most `calls_max` calls of one shard are under way; further ones wait in Call().
// Those
//           of CallUntil() are not among them: whoever makes them bounds how many.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/event.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

class Shards {
 public:
  // `reactors[i]` is the reactor of shard i.
  explicit Shards(const std::vector<Reactor*>& reactors, size_t calls_max = 1024);
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;

  size_t count() const { return lanes_.size(); }
  Reactor& reactor(ShardId shard) { return lane(shard).reactor; }

  // Runs `work` on shard `to`, with the caller's class, and gives what it gave. Directly when `to`
  // is `from`.
  template <typename T>
  Task<T> Call(ShardId from, ShardId to, std::move_only_function<Task<T>()> work);

  // The same for work that may wait for long. It gets a token of its own shard, which is cancelled
  // soon after `token` (of the caller's shard) is. REQUIRES: the source of `token` outlives the
  // call.
  template <typename T>
  Task<T> CallUntil(ShardId from, ShardId to, CancellationToken token,
                    std::move_only_function<Task<T>(CancellationToken)> work);

  // Runs `what` on shard `to` and does not wait for it: returns when it is on its way, before any
  // later message of the caller. What it touches must still be there when it runs.
  Task<void> Tell(ShardId from, ShardId to, std::move_only_function<void()> what);

  // On `shard`: returns when no call of others is running here.
  Task<void> JoinServed(ShardId shard) { return lane(shard).served.Join(); }

 private:
  // One shard's side. Touched by its shard alone.
  struct Lane {
    explicit Lane(Reactor& reactor) : reactor(reactor), served(reactor), call_ended(reactor) {}
    Reactor& reactor;
    TaskScope served;  // Calls of others.
    size_t calls = 0;  // Ours to others.
    Event call_ended;
  };

  Lane& lane(ShardId shard) {
    MR_CHECK(shard.value() < lanes_.size());
    return *lanes_[shard.value()];
  }

  // Below the templates nothing knows what a call gives: its work puts that into the caller's frame,
  // which belongs to the callee from request to reply. So the way there and back is compiled once.
  struct Pending;  // A call under way.
  class Relay;     // Carries a cancellation across.
  using Work = std::move_only_function<Task<void>()>;

  // Runs `work` there; returns here when it has ended.
  Task<void> Send(ShardId from, ShardId to, Work work);
  // The same for one of the `calls_max` calls.
  Task<void> SendCounted(ShardId from, ShardId to, Work work);
  Task<void> SendUntil(ShardId from, ShardId to, CancellationToken token,
                       std::move_only_function<Task<void>(CancellationToken)> work);
  static Task<void> Serve(Pending* call);
  // Puts a message into the inbox of `to`, however long that is full: it calls `what` with `on`.
  static Task<void> Deliver(Lane* from, Lane* to, void (*what)(void* on), void* on);

  // On the callee's shard, where what the work captured dies too.
  template <typename T>
  static Task<void> Keep(std::move_only_function<Task<T>()>* work, std::optional<T>* result) {
    result->emplace(co_await (*work)());
    *work = nullptr;
  }
  static Task<void> Run(Work* work) {
    co_await (*work)();
    *work = nullptr;
  }
  template <typename T>
  static Task<void> KeepUntil(std::move_only_function<Task<T>(CancellationToken)>* work,
                              CancellationToken token, std::optional<T>* result) {
    result->emplace(co_await (*work)(token));
  }

  const size_t calls_max_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

template <typename T>
Task<T> Shards::Call(ShardId from, ShardId to, std::move_only_function<Task<T>()> work) {
  if constexpr (std::is_void_v<T>) {
    if (from == to) {
      co_await work();
    } else {
      co_await SendCounted(from, to, [&work] { return Run(&work); });
    }
  } else {
    if (from == to) co_return co_await work();
    std::optional<T> result;
    co_await SendCounted(from, to, [&work, &result] { return Keep(&work, &result); });
    co_return *std::move(result);
  }
}

template <typename T>
Task<T> Shards::CallUntil(ShardId from, ShardId to, CancellationToken token,
                          std::move_only_function<Task<T>(CancellationToken)> work) {
  if (from == to) co_return co_await work(token);
  std::optional<T> result;
  co_await SendUntil(from, to, token, [&work, &result](CancellationToken there) {
    return KeepUntil(&work, there, &result);
  });
  co_return *std::move(result);
}

}  // namespace millrace

// Shards: how the shards of a node talk. A call goes over as a message, runs there, and its result
// comes back as one; nothing else is shared.
//
// Shard:    Call() on the caller's shard `from`; the work on shard `to`. What the work captures and
//           returns crosses threads: values, or shared_ptr to const.
// Lifetime: the reactors outlive it. JoinServed() has ended on each shard, and every call too,
//           before destruction. No call may be made to a shard that has stopped.
// Bound:    at most `calls_max` calls of one shard are under way; further ones wait in Call().
// Where
//           an inbox is full, the message is tried again after a millisecond.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/check.h"
#include "common/ids.h"
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

  // A call under way; lives in the caller's frame, and belongs to the callee from request to reply.
  template <typename T>
  struct Pending {
    Pending(Lane& from, Lane& to, std::move_only_function<Task<T>()> work)
        : from(from),
          to(to),
          sched_class(from.reactor.current_class()),
          work(std::move(work)),
          done(from.reactor) {}
    Lane& from;
    Lane& to;
    const SchedClass sched_class;
    std::move_only_function<Task<T>()> work;
    std::optional<T> result;
    Event done;
  };

  Lane& lane(ShardId shard) {
    MR_CHECK(shard.value() < lanes_.size());
    return *lanes_[shard.value()];
  }

  // Puts `message` into the inbox of `to`, however long that is full.
  template <typename Message>
  static Task<void> Deliver(Lane* from, Lane* to, Message message) {
    while (!to->reactor.Post(message)) co_await Sleep(from->reactor, milliseconds(1));
  }

  template <typename T>
  static Task<void> Serve(Pending<T>* call) {
    Lane* to = &call->to;
    Lane* from = &call->from;
    call->result.emplace(co_await call->work());
    call->work = nullptr;  // What it captured dies where it was used.
    co_await Deliver(to, from, [call] { call->done.Set(); });
  }

  static Task<std::monostate> AsValue(std::move_only_function<Task<void>()> work) {
    co_await work();
    co_return std::monostate();
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
      std::move_only_function<Task<std::monostate>()> valued = [work = std::move(work)]() mutable {
        return AsValue(std::move(work));
      };
      co_await Call<std::monostate>(from, to, std::move(valued));
    }
  } else {
    if (from == to) co_return co_await work();
    Lane& here = lane(from);
    while (here.calls >= calls_max_) co_await here.call_ended.Wait();
    ++here.calls;
    Pending<T> call(here, lane(to), std::move(work));
    co_await Deliver(&here, &call.to,
                     [&call] { call.to.served.Spawn(Serve(&call), call.sched_class); });
    co_await call.done.Wait();
    --here.calls;
    if (here.call_ended.has_waiters()) here.call_ended.Pulse();
    co_return std::move(*call.result);
  }
}

}  // namespace millrace

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
#include <variant>
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
  Task<void> Tell(ShardId from, ShardId to, std::move_only_function<void()> what) {
    auto shared = std::make_shared<std::move_only_function<void()>>(std::move(what));
    co_await Deliver(&lane(from), &lane(to), [shared] { (*shared)(); });
  }

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

  // A call that is not counted.
  template <typename T>
  Task<T> Send(ShardId from, ShardId to, std::move_only_function<Task<T>()> work);

  // Carries a cancellation across. Lives in the caller's frame; `there` belongs to the other shard.
  class Relay final : public CancellationCallback {
   public:
    Relay(Shards& shards, ShardId from, ShardId to)
        : shards_(shards), from_(from), to_(to), telling_(shards.reactor(from)) {}
    void OnCancel() override { telling_.Spawn(Tell(this)); }
    // No cancellation is on its way any more.
    Task<void> Ended() {
      Unlink();
      co_await telling_.Join();
    }
    CancellationSource& there() { return there_; }

   private:
    static Task<void> Tell(Relay* relay) {
      (void)co_await relay->shards_.Send<std::monostate>(
          relay->from_, relay->to_, [relay] { return CancelThere(&relay->there_); });
    }
    static Task<std::monostate> CancelThere(CancellationSource* there) {
      there->Cancel();
      co_return std::monostate();
    }

    Shards& shards_;
    const ShardId from_;
    const ShardId to_;
    TaskScope telling_;
    CancellationSource there_;
  };

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
    T result = co_await Send<T>(from, to, std::move(work));
    --here.calls;
    if (here.call_ended.has_waiters()) here.call_ended.Pulse();
    co_return std::move(result);
  }
}

template <typename T>
Task<T> Shards::Send(ShardId from, ShardId to, std::move_only_function<Task<T>()> work) {
  Lane& here = lane(from);
  Pending<T> call(here, lane(to), std::move(work));
  co_await Deliver(&here, &call.to,
                   [&call] { call.to.served.Spawn(Serve(&call), call.sched_class); });
  co_await call.done.Wait();
  co_return std::move(*call.result);
}

template <typename T>
Task<T> Shards::CallUntil(ShardId from, ShardId to, CancellationToken token,
                          std::move_only_function<Task<T>(CancellationToken)> work) {
  if (from == to) co_return co_await work(token);
  Relay relay(*this, from, to);
  token.Register(relay);
  T result = co_await Send<T>(from, to, [&relay, &work] { return work(relay.there().token()); });
  co_await relay.Ended();
  co_return std::move(result);
}

}  // namespace millrace

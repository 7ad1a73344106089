#include "common/runtime/shards.h"

namespace millrace {

// Lives in the frame of Send().
struct Shards::Pending {
  Pending(Lane& from, Lane& to, Work work)
      : from(from),
        to(to),
        sched_class(from.reactor.current_class()),
        work(std::move(work)),
        done(from.reactor) {}
  Lane& from;
  Lane& to;
  const SchedClass sched_class;
  Work work;
  Event done;
};

// Lives in the frame of SendUntil(); `there` belongs to the other shard.
class Shards::Relay final : public CancellationCallback {
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
    co_await relay->shards_.Send(relay->from_, relay->to_,
                                 [relay] { return CancelThere(&relay->there_); });
  }
  static Task<void> CancelThere(CancellationSource* there) {
    there->Cancel();
    co_return;
  }

  Shards& shards_;
  const ShardId from_;
  const ShardId to_;
  TaskScope telling_;
  CancellationSource there_;
};

Shards::Shards(const std::vector<Reactor*>& reactors, size_t calls_max) : calls_max_(calls_max) {
  MR_CHECK(!reactors.empty());
  MR_CHECK(calls_max > 0);
  for (size_t i = 0; i < reactors.size(); ++i) {
    MR_CHECK(reactors[i]->shard().value() == i);
    lanes_.push_back(std::make_unique<Lane>(*reactors[i]));
  }
}

Task<void> Shards::Deliver(Lane* from, Lane* to, void (*what)(void* on), void* on) {
  while (!to->reactor.Post([what, on] { what(on); })) {
    co_await Sleep(from->reactor, milliseconds(1));
  }
}

Task<void> Shards::Tell(ShardId from, ShardId to, std::move_only_function<void()> what) {
  // Nobody waits for it, so whichever inbox it ends in keeps it alive.
  auto shared = std::make_shared<std::move_only_function<void()>>(std::move(what));
  Lane* here = &lane(from);
  Lane* there = &lane(to);
  while (!there->reactor.Post([shared] { (*shared)(); })) {
    co_await Sleep(here->reactor, milliseconds(1));
  }
}

Task<void> Shards::Serve(Pending* call) {
  co_await call->work();
  co_await Deliver(
      &call->to, &call->from, [](void* on) { static_cast<Pending*>(on)->done.Set(); }, call);
}

Task<void> Shards::Send(ShardId from, ShardId to, Work work) {
  Lane& here = lane(from);
  Pending call(here, lane(to), std::move(work));
  co_await Deliver(
      &here, &call.to,
      [](void* on) {
        auto* asked = static_cast<Pending*>(on);
        asked->to.served.Spawn(Serve(asked), asked->sched_class);
      },
      &call);
  co_await call.done.Wait();
}

Task<void> Shards::SendCounted(ShardId from, ShardId to, Work work) {
  Lane& here = lane(from);
  while (here.calls >= calls_max_) co_await here.call_ended.Wait();
  ++here.calls;
  co_await Send(from, to, std::move(work));
  --here.calls;
  if (here.call_ended.has_waiters()) here.call_ended.Pulse();
}

Task<void> Shards::SendUntil(ShardId from, ShardId to, CancellationToken token,
                             std::move_only_function<Task<void>(CancellationToken)> work) {
  Relay relay(*this, from, to);
  token.Register(relay);
  co_await Send(from, to, [&relay, &work] { return work(relay.there().token()); });
  co_await relay.Ended();
}

}  // namespace millrace

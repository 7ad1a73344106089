#include "common/runtime/event.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/cancellation.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

using Story = std::vector<std::string>;

std::string Name(WaitResult result) {
  switch (result) {
    case WaitResult::kSignalled:
      return "signalled";
    case WaitResult::kTimedOut:
      return "timed out";
    case WaitResult::kCancelled:
      return "cancelled";
  }
  return "?";
}

Task<void> WaitAndSay(Event* event, std::string name, std::optional<Instant> deadline,
                      CancellationToken token, Story* story) {
  const WaitResult result = co_await event->Wait(deadline, token);
  story->push_back(name + " " + Name(result));
}

Task<void> YieldTimes(Reactor* reactor, int times) {
  for (int i = 0; i < times; ++i) co_await Yield(*reactor);
}

Task<void> SetAndPulse(Env* env, Story* story) {
  Event event(env->reactor);
  TaskScope scope(env->reactor);
  for (const char* name : {"a", "b", "c"}) {
    scope.Spawn(WaitAndSay(&event, name, std::nullopt, {}, story));
  }
  while (scope.running() < 3 || !event.has_waiters()) co_await Yield(env->reactor);
  co_await YieldTimes(&env->reactor, 20);
  event.Pulse();
  co_await scope.Join();
  story->push_back(event.is_set() ? "set" : "not set");
  event.Set();
  co_await WaitAndSay(&event, "d", std::nullopt, {}, story);
  event.Reset();
  story->push_back(event.is_set() ? "set" : "not set");
}

TEST_CASE("Event: waiters wake in the order they came; Pulse leaves it unset, Set stays") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimContractWorld world(seed);
    Story story;
    world.RunUntilDone(SetAndPulse(&world.env(), &story));
    REQUIRE(story == Story{"a signalled", "b signalled", "c signalled", "not set", "d signalled",
                           "not set"});
  }
}

Task<void> ThreeEnds(Env* env, Story* story) {
  Event event(env->reactor);
  CancellationSource source;
  TaskScope scope(env->reactor);
  const Instant soon = env->reactor.Now() + milliseconds(10);
  scope.Spawn(WaitAndSay(&event, "deadline", soon, source.token(), story));
  scope.Spawn(WaitAndSay(&event, "token", soon + seconds(100), source.token(), story));
  scope.Spawn(WaitAndSay(&event, "event", soon + seconds(200), {}, story));
  co_await Sleep(env->reactor, milliseconds(50));
  source.Cancel();
  co_await Sleep(env->reactor, milliseconds(50));
  event.Set();
  co_await scope.Join();
  // Nothing to wait for: all three are looked at before sleeping.
  event.Reset();
  co_await WaitAndSay(&event, "past", env->reactor.Now(), {}, story);
  co_await WaitAndSay(&event, "late token", std::nullopt, source.token(), story);
}

TEST_CASE("Event: a wait ends by deadline, by token or by the event, whichever is first") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(ThreeEnds(&world.env(), &story));
  REQUIRE(story == Story{"deadline timed out", "token cancelled", "event signalled",
                         "past timed out", "late token cancelled"});
}

Task<void> DestroyEnds(Env* env, Story* story) {
  // The waiter's timer and callback must be gone when it has ended, or their memory is used later.
  CancellationSource source;
  {
    Event event(env->reactor);
    TaskScope scope(env->reactor);
    scope.Spawn(
        WaitAndSay(&event, "w", env->reactor.Now() + milliseconds(5), source.token(), story));
    while (!event.has_waiters()) co_await Yield(env->reactor);
    event.Set();
    co_await scope.Join();
  }
  co_await Sleep(env->reactor, milliseconds(20));
  source.Cancel();
}

TEST_CASE("Event: a finished wait leaves neither timer nor callback behind") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(DestroyEnds(&world.env(), &story));
  REQUIRE(story == Story{"w signalled"});
}

struct CountingCallback final : CancellationCallback {
  void OnCancel() override {
    ++calls;
    if (other != nullptr) other->Unlink();
  }
  int calls = 0;
  CancellationCallback* other = nullptr;
};

TEST_CASE("Cancellation: each callback runs once, at once when already cancelled, never unlinked") {
  CancellationSource source;
  CountingCallback first;
  CountingCallback unlinked;
  CountingCallback late;
  source.token().Register(unlinked);
  source.token().Register(first);
  REQUIRE_FALSE(source.token().cancelled());
  unlinked.Unlink();
  source.Cancel();
  source.Cancel();
  REQUIRE(source.token().cancelled());
  REQUIRE(first.calls == 1);
  REQUIRE(unlinked.calls == 0);
  source.token().Register(late);
  REQUIRE(late.calls == 1);
  CancellationToken nobody;
  nobody.Register(late);
  REQUIRE(late.calls == 1);
  REQUIRE_FALSE(nobody.cancelled());
}

TEST_CASE("Cancellation: a callback may unlink another one that is still to run") {
  CancellationSource source;
  CountingCallback first;
  CountingCallback second;
  source.token().Register(first);
  source.token().Register(second);
  first.other = &second;
  second.other = &first;
  source.Cancel();
  REQUIRE(first.calls + second.calls == 1);
}

}  // namespace
}  // namespace millrace

#include "common/runtime/task.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

using Story = std::vector<std::string>;

// Counts its copies that live, so that a frame destroyed twice or never shows.
struct Counted {
  explicit Counted(int* living) : living_(living) { ++*living_; }
  Counted(const Counted& other) : living_(other.living_) { ++*living_; }
  ~Counted() { --*living_; }
  int* living_;
};

Task<int64_t> Immediate(int64_t value) { co_return value; }
Task<int64_t> Sum(int64_t n) {
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += co_await Immediate(i);
  co_return sum;
}
Task<void> Store(int64_t n, int64_t* into) { *into = co_await Sum(n); }

TEST_CASE("Task: a hundred thousand awaits of ready children do not grow the stack") {
  SimContractWorld world(1);
  int64_t sum = 0;
  world.RunUntilDone(Store(100'000, &sum));
  REQUIRE(sum == 4'999'950'000);
}

Task<void> Hold(Counted counted) {
  (void)counted;
  co_return;
}

TEST_CASE("Task: one that was never awaited destroys its arguments and runs nothing") {
  int living = 0;
  {
    Task<void> task = Hold(Counted(&living));
    REQUIRE(living == 1);
    Task<void> moved = std::move(task);
    REQUIRE(living == 1);
  }
  REQUIRE(living == 0);
}

Task<Counted> Make(Reactor* reactor, int* living) {
  co_await Yield(*reactor);
  co_return Counted(living);
}
Task<void> AwaitTemporary(Reactor* reactor, int* living, int* during) {
  // A temporary in a co_await expression: GCC 12 destroyed these twice.
  Counted result = co_await Make(reactor, living);
  (void)result;
  *during = *living;
}

TEST_CASE("Task: results are handed over once, and every temporary dies once") {
  SimContractWorld world(1);
  int living = 0;
  int during = 0;
  world.RunUntilDone(AwaitTemporary(&world.env().reactor, &living, &during));
  REQUIRE(during == 1);
  REQUIRE(living == 0);
}

Task<void> SayAfter(Reactor* reactor, int yields, std::string text, Story* story) {
  for (int i = 0; i < yields; ++i) co_await Yield(*reactor);
  story->push_back(std::move(text));
}

Task<void> WatchToken(CancellationToken token, Reactor* reactor, Story* story) {
  const WaitResult result = co_await Sleep(*reactor, seconds(3600), token);
  story->push_back(result == WaitResult::kCancelled ? "cancelled" : "slept");
}

Task<void> ScopeStory(Env* env, Story* story) {
  TaskScope scope(env->reactor);
  scope.Spawn(WatchToken(scope.token(), &env->reactor, story));
  scope.Spawn(SayAfter(&env->reactor, 3, "late", story));
  story->push_back(std::to_string(scope.running()) + " running");
  co_await Yield(env->reactor);
  co_await scope.Stop();
  story->push_back(std::to_string(scope.running()) + " running");
  int living = 0;
  scope.Spawn(Hold(Counted(&living)));
  story->push_back(living == 0 ? "refused" : "taken");
}

TEST_CASE("TaskScope: Stop cancels, waits for all, and refuses newcomers") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(ScopeStory(&world.env(), &story));
  REQUIRE(story.size() == 5);
  CHECK(story.front() == "2 running");
  CHECK(std::count(story.begin(), story.end(), "cancelled") == 1);
  CHECK(std::count(story.begin(), story.end(), "late") == 1);
  CHECK(story[3] == "0 running");
  CHECK(story[4] == "refused");
}

Task<void> StopTwice(TaskScope* scope, Story* story) {
  co_await scope->Stop();
  story->push_back("stopped");
}

Task<void> TwoStops(Env* env, Story* story) {
  TaskScope scope(env->reactor);
  TaskScope stoppers(env->reactor);
  scope.Spawn(SayAfter(&env->reactor, 10, "done", story));
  stoppers.Spawn(StopTwice(&scope, story));
  stoppers.Spawn(StopTwice(&scope, story));
  co_await stoppers.Join();
}

TEST_CASE("TaskScope: two may wait for its end") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(TwoStops(&world.env(), &story));
  REQUIRE(story == Story{"done", "stopped", "stopped"});
}

Task<void> Inside(Gate* gate, Reactor* reactor, Story* story) {
  Gate::Holder holder = gate->TryEnter();
  story->push_back(holder ? "in" : "refused");
  for (int i = 0; i < 20; ++i) co_await Yield(*reactor);
  if (holder) story->push_back("out");
}

Task<void> GateStory(Env* env, Story* story) {
  Gate gate(env->reactor);
  co_await gate.Close();  // Nobody is inside: at once.
  story->push_back("closed empty");
  Gate second(env->reactor);
  TaskScope scope(env->reactor);
  scope.Spawn(Inside(&second, &env->reactor, story));
  while (second.inside() == 0) co_await Yield(env->reactor);
  co_await second.Close();
  story->push_back("closed");
  co_await scope.Join();
  co_await Inside(&second, &env->reactor, story);
}

TEST_CASE("Gate: Close waits for the last one inside, and lets nobody in after") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(GateStory(&world.env(), &story));
  REQUIRE(story == Story{"closed empty", "in", "out", "closed", "refused"});
}

}  // namespace
}  // namespace millrace

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/contract_test_suite.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

Task<void> SleepAndSay(Reactor* reactor, int ms, Story* story) {
  co_await Sleep(*reactor, milliseconds(ms));
  story->push_back(std::to_string(ms));
}

Task<Story> Timers(ContractWorld* world) {
  Reactor& reactor = world->env().reactor;
  Story story;
  TaskScope scope(reactor);
  for (int ms : {30, 5, 70, 1, 66}) scope.Spawn(SleepAndSay(&reactor, ms, &story));
  const Instant before = reactor.Now();
  co_await Sleep(reactor, milliseconds(40));
  if (reactor.Now() - before < milliseconds(40)) story.push_back("too early");
  story.push_back("40");
  co_await scope.Join();
  co_return story;
}

TEST_CASE("Reactor: sleepers wake in the order of their times, never early") {
  InEveryWorld<Story>(&Timers, {"1", "5", "30", "40", "66", "70"});
}

Task<void> CountUp(Reactor* reactor, int* count) {
  for (int i = 0; i < 1000; ++i) {
    ++*count;
    co_await Yield(*reactor);
  }
}

Task<Story> Fairness(ContractWorld* world) {
  Reactor& reactor = world->env().reactor;
  int urgent = 0;
  int background = 0;
  TaskScope scope(reactor);
  scope.Spawn(CountUp(&reactor, &background), SchedClass::kHousekeeping);
  for (int i = 0; i < 200; ++i) scope.Spawn(CountUp(&reactor, &urgent), SchedClass::kReplication);
  Story story;
  while (background < 10) co_await Yield(reactor);
  // The urgent ones kept the loop busy all the time, and yet the background ran.
  story.push_back(urgent > 0 && urgent < 200'000 ? "shared" : "starved");
  co_await scope.Join();
  story.push_back(std::to_string(urgent + background));
  co_return story;
}

TEST_CASE("Reactor: the most urgent class does not starve the least") {
  InEveryWorld<Story>(&Fairness, {"shared", "201000"});
}

Task<Story> Posts(ContractWorld* world) {
  Reactor& reactor = world->env().reactor;
  Event done(reactor);
  Story story;
  bool inside = true;
  bool taken = reactor.Post([&] {
    story.push_back(inside ? "inside Post" : "later");
    done.Set();
  });
  inside = false;
  story.push_back(taken ? "taken" : "refused");
  co_await done.Wait();
  co_return story;
}

TEST_CASE("Reactor: posted work runs later, on the shard") {
  InEveryWorld<Story>(&Posts, {"taken", "later"});
}

Task<void> HelpAndCount(HelperPool* helpers, int number, int* sum) {
  *sum += co_await helpers->Call<int>([number] { return number * 2; });
}

Task<Story> Helpers(ContractWorld* world) {
  Env& env = world->env();
  Story story;
  int value = 0;
  co_await env.helpers.Run([&value] { value = 7; });
  story.push_back(std::to_string(value));
  int sum = 0;
  TaskScope scope(env.reactor);
  for (int i = 0; i < 1000; ++i) scope.Spawn(HelpAndCount(&env.helpers, i, &sum));
  co_await scope.Join();
  story.push_back(std::to_string(sum));
  co_return story;
}

TEST_CASE("HelperPool: a thousand calls at once all give their results") {
  InEveryWorld<Story>(&Helpers, {"7", "999000"});
}

}  // namespace
}  // namespace millrace

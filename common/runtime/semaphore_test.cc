#include "common/runtime/semaphore.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/bytes/slice.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

using Story = std::vector<std::string>;

Task<void> AcquireAndSay(ByteBudget* budget, size_t bytes, CancellationToken token, Story* story) {
  const absl::Status status = co_await budget->Acquire(bytes, token);
  story->push_back(std::to_string(bytes) + (status.ok() ? "" : " cancelled"));
}

Task<void> InLine(Env* env, Story* story) {
  ByteBudget budget(env->reactor, 100);
  TaskScope scope(env->reactor);
  story->push_back(budget.TryAcquire(80) ? "taken" : "refused");
  story->push_back(budget.TryAcquire(21) ? "taken" : "refused");
  scope.Spawn(AcquireAndSay(&budget, 50, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  // 10 would fit, but 50 came first: small requests must not starve large ones.
  scope.Spawn(AcquireAndSay(&budget, 10, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  story->push_back(budget.TryAcquire(1) ? "overtook" : "in line");
  budget.Release(80);
  co_await scope.Join();
  story->push_back(std::to_string(budget.used()));
  budget.Release(60);
}

TEST_CASE("ByteBudget: who finds it used up waits in line, and nobody overtakes") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(InLine(&world.env(), &story));
  REQUIRE(story == Story{"taken", "refused", "in line", "50", "10", "60"});
}

Task<void> CancelFirst(Env* env, Story* story) {
  ByteBudget budget(env->reactor, 100);
  CancellationSource source;
  TaskScope scope(env->reactor);
  (void)budget.TryAcquire(90);
  scope.Spawn(AcquireAndSay(&budget, 50, source.token(), story));
  co_await Sleep(env->reactor, milliseconds(1));
  scope.Spawn(AcquireAndSay(&budget, 10, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  source.Cancel();  // Nobody releases: the next in line must be looked at all the same.
  co_await scope.Join();
  budget.Release(100);
}

TEST_CASE("ByteBudget: when the first in line gives up, the next gets what already fits") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(CancelFirst(&world.env(), &story));
  REQUIRE(story == Story{"50 cancelled", "10"});
}

// A reactor whose inbox is always full.
class FullInbox final : public Reactor {
 public:
  explicit FullInbox(Reactor& reactor) : reactor_(reactor) {}
  ShardId shard() const override { return reactor_.shard(); }
  Instant Now() const override { return reactor_.Now(); }
  void Ready(std::coroutine_handle<> handle, SchedClass sched_class) override {
    reactor_.Ready(handle, sched_class);
  }
  SchedClass current_class() const override { return reactor_.current_class(); }
  void set_current_class(SchedClass sched_class) override {
    reactor_.set_current_class(sched_class);
  }
  void Arm(Timer& timer, Instant deadline) override { reactor_.Arm(timer, deadline); }
  void Disarm(Timer& timer) override { reactor_.Disarm(timer); }
  bool Post(std::move_only_function<void()>) override { return false; }

 private:
  Reactor& reactor_;
};

Task<void> LostWake(Env* env, Story* story) {
  FullInbox full(env->reactor);
  ByteBudget budget(full, 100);
  TaskScope scope(env->reactor);
  (void)budget.TryAcquire(100);
  scope.Spawn(AcquireAndSay(&budget, 50, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  CHECK(budget.contended());
  budget.Release(100);  // The last one, and it wakes nobody.
  co_await Sleep(env->reactor, seconds(1));
  story->push_back("a second later");
  co_await scope.Join();
  CHECK_FALSE(budget.contended());
  budget.Release(50);
}

TEST_CASE("ByteBudget: who waits gets on although the inbox was full at the last release") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(LostWake(&world.env(), &story));
  REQUIRE(story == Story{"50", "a second later"});
}

Task<void> TooLarge(Env* env, Story* story) {
  ByteBudget budget(env->reactor, 100);
  TaskScope scope(env->reactor);
  (void)budget.TryAcquire(1);
  scope.Spawn(AcquireAndSay(&budget, 1000, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  story->push_back(std::to_string(budget.used()));
  budget.Release(1);
  co_await scope.Join();
  story->push_back(std::to_string(budget.used()));
  budget.Release(1000);
}

TEST_CASE("ByteBudget: a request above the whole budget is granted once it is all free") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(TooLarge(&world.env(), &story));
  REQUIRE(story == Story{"1", "1000", "1000"});
}

Task<void> ChargedBlock(Env* env, Story* story) {
  ByteBudget budget(env->reactor, 100);
  TaskScope scope(env->reactor);
  (void)co_await budget.Acquire(100, {});
  Slice kept = MutableBuffer(100, 64, &budget).Freeze(10);
  scope.Spawn(AcquireAndSay(&budget, 30, {}, story));
  co_await Sleep(env->reactor, milliseconds(1));
  story->push_back(std::to_string(budget.used()));
  kept = Slice();
  co_await scope.Join();
  story->push_back(std::to_string(budget.used()));
  budget.Release(30);
}

TEST_CASE("ByteBudget: a block gives its bytes back when its last slice drops") {
  SimContractWorld world(1);
  Story story;
  world.RunUntilDone(ChargedBlock(&world.env(), &story));
  REQUIRE(story == Story{"100", "30", "30"});
}

}  // namespace
}  // namespace millrace

#include "common/runtime/sim/sim_world.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/sim/sim_node.h"

namespace millrace {
namespace {

// Sleeps, writes, syncs and talks to itself for ever; counts how often it was started and stopped.
class Busy final : public SimProgram {
 public:
  Busy(SimProcess& process, int* stops)
      : env_(process.env()), scope_(env_.reactor), stops_(stops) {}
  Task<absl::Status> Start() override {
    for (int i = 0; i < 3; ++i) scope_.Spawn(Work(i));
    co_return absl::OkStatus();
  }
  Task<void> Stop() override {
    co_await scope_.Stop();
    ++*stops_;
  }

 private:
  Task<void> Work(int number) {
    const std::string path = fmt::format("file{}", number);
    while (!scope_.stopping()) {
      co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(20)), scope_.token());
      auto file = co_await env_.disk.Open(path, {.create = true});
      if (!file.ok()) continue;
      Slice text = Slice::Copy(std::string(env_.random.Below(9000) + 1, 'x'));
      if ((co_await (*file)->WriteAt(env_.random.Below(9000), Chain(text), {})).ok()) {
        (void)co_await (*file)->Sync();
      }
      (void)co_await (*file)->Close();
    }
  }
  Env& env_;
  TaskScope scope_;
  int* stops_;
};

struct Outcome {
  uint64_t hash;
  uint64_t records;
  int stops;
};

Outcome RunStory(uint64_t seed) {
  int stops = 0;
  SimWorld world(seed);
  SimNode& a = world.AddNode("a");
  SimNode& b = world.AddNode("b");
  auto make = [&stops](SimProcess& process) { return std::make_unique<Busy>(process, &stops); };
  a.Start(make, 2);
  b.Start(make);
  for (int i = 0; i < 10; ++i) {
    world.RunFor(Duration(static_cast<int64_t>(world.dice().Below(50'000'000))));
    SimNode& victim = world.dice().Coin() ? a : b;
    if (world.dice().Coin()) {
      victim.Kill();
    } else {
      victim.PowerLoss();
    }
    victim.Start(make);
  }
  a.StopGracefully();
  b.StopGracefully();
  return {world.trace().hash(), world.trace().records(), stops};
}

}  // namespace

TEST_CASE("SimWorld: a seed replays, and another seed is another story") {
  const Outcome first = RunStory(42);
  const Outcome again = RunStory(42);
  const Outcome other = RunStory(43);
  REQUIRE(first.hash == again.hash);
  REQUIRE(first.records == again.records);
  REQUIRE(first.records > 500);
  REQUIRE(first.hash != other.hash);
}

TEST_CASE("SimWorld: every crash lets the program's Stop() run to its end") {
  REQUIRE(RunStory(5).stops == 12);
}

TEST_CASE("SimWorld: virtual time passes without waiting, and timers are on time") {
  SimWorld world(1);
  Env& env = world.AddNode("n").Boot();
  struct Body {
    static Task<Instant> SleepLong(Env* env) {
      co_await Sleep(env->reactor, std::chrono::hours(100));
      co_return env->reactor.Now();
    }
  };
  const Instant woken = world.Run(env, Body::SleepLong(&env));
  REQUIRE(woken - Instant(0) >= std::chrono::hours(100));
  REQUIRE(woken - Instant(0) <= std::chrono::hours(100) + milliseconds(2));
  REQUIRE(env.clock.Now().ms() >= 1'700'000'000'000 + 360'000'000);
}

TEST_CASE("SimWorld: waiters of one event run in the order they came") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimWorld world(seed);
    Env& env = world.AddNode("n").Boot();
    Event event(env.reactor);
    TaskScope scope(env.reactor);
    std::vector<int> order;
    struct Body {
      static Task<void> WaitAndNote(Event* event, std::vector<int>* order, int number) {
        co_await event->Wait();
        order->push_back(number);
      }
    };
    for (int i = 0; i < 50; ++i) scope.Spawn(Body::WaitAndNote(&event, &order, i));
    world.RunFor(milliseconds(10));
    REQUIRE(order.empty());
    event.Set();
    world.RunFor(milliseconds(10));
    REQUIRE(order.size() == 50);
    REQUIRE(std::is_sorted(order.begin(), order.end()));
    world.Run(env, scope.Stop());
  }
}

TEST_CASE("SimWorld: a paused node does nothing, and goes on where it was") {
  int stops = 0;
  SimWorld world(9);
  SimNode& node = world.AddNode("n");
  node.Start([&](SimProcess& process) { return std::make_unique<Busy>(process, &stops); });
  world.RunFor(milliseconds(100));
  node.Pause();
  world.RunFor(seconds(1));
  const uint64_t before = node.disk().operations();
  world.RunFor(seconds(60));
  REQUIRE(node.disk().operations() == before);
  node.Resume();
  world.RunFor(seconds(1));
  REQUIRE(node.disk().operations() > before + 10);
  node.Pause();
  node.Kill();  // A stopped process can be killed.
  REQUIRE(stops == 1);
}

TEST_CASE("SimWorld: a clock may jump while monotonic time does not") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n");
  Env& env = node.Boot();
  const Timestamp before = env.clock.Now();
  node.clock().Jump(-std::chrono::hours(1));
  REQUIRE(env.clock.Now().ms() == before.ms() - 3'600'000);
  REQUIRE(env.reactor.Now() == world.Now());
}

TEST_CASE("SimContractWorld: offers an empty folder and virtual time") {
  SimContractWorld world(1);
  REQUIRE_FALSE(world.is_real());
  struct Body {
    static Task<void> List(ContractWorld* world, bool* empty) {
      auto entries = co_await world->env().disk.List(world->folder());
      *empty = entries.ok() && entries->empty();
    }
  };
  bool empty = false;
  world.RunUntilDone(Body::List(&world, &empty));
  REQUIRE(empty);
}

TEST_CASE("SimHelperPool: work runs once, in virtual time, and its result comes back") {
  SimWorld world(3);
  Env& env = world.AddNode("n").Boot();
  int runs = 0;
  const Instant before = world.Now();
  const int result = world.Run(env, env.helpers.Call<int>([&runs] { return ++runs * 10; }));
  REQUIRE(result == 10);
  REQUIRE(runs == 1);
  REQUIRE(world.Now() > before);
}

TEST_CASE("SimNode: a kill at each disk operation in turn is survived") {
  for (uint64_t at = 1; at < 60; ++at) {
    int stops = 0;
    SimWorld world(11);
    SimNode& node = world.AddNode("n");
    node.disk().set_operation_hook([&, at](uint64_t number) {
      if (number == at) world.After(Duration(0), [&] { node.PowerLoss(); });
    });
    node.Start([&](SimProcess& process) { return std::make_unique<Busy>(process, &stops); });
    REQUIRE(world.RunUntil([&] { return !node.up(); }, seconds(60)));
    REQUIRE(stops == 1);
  }
}

}  // namespace millrace

#include "common/runtime/ordered_telling.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

struct Bench {
  explicit Bench(SimOptions options = {})
      : world(1, options),
        node(world.AddNode("n1")),
        first(node.Boot(/*shards=*/2)),
        second(node.process().env(1)),
        shards({&first.reactor, &second.reactor}) {}

  SimWorld world;
  SimNode& node;
  Env& first;
  Env& second;
  Shards shards;
  std::vector<int> heard;
};

void Say(Bench* bench, OrderedTelling* telling, int number) {
  telling->Tell(std::to_string(number), [bench, number] { bench->heard.push_back(number); });
}

Task<void> SayInHaste(Bench* bench) {
  OrderedTelling telling(bench->shards, ShardId(1), ShardId(0));
  bench->second.reactor.set_current_class(SchedClass::kHousekeeping);
  Say(bench, &telling, 1);
  Say(bench, &telling, 2);
  bench->second.reactor.set_current_class(SchedClass::kReplication);
  Say(bench, &telling, 3);
  // The second waits for room in the inbox yet; there is some for this one.
  co_await Sleep(bench->second.reactor, microseconds(200));
  Say(bench, &telling, 4);
  while (bench->heard.size() < 4) co_await Sleep(bench->second.reactor, milliseconds(1));
  co_await telling.Stop();
}

TEST_CASE("OrderedTelling: what was said first is heard first, though the inbox was full then") {
  SimOptions options;
  options.inbox_max = 1;
  Bench bench(options);
  bench.world.Run(bench.second, SayInHaste(&bench));
  CHECK(bench.heard == std::vector<int>{1, 2, 3, 4});
}

Task<void> SayMuch(Bench* bench) {
  OrderedTelling telling(bench->shards, ShardId(1), ShardId(0));
  const auto say = [&](const char* subject, int number) {
    telling.Tell(subject, [bench, number] { bench->heard.push_back(number); });
  };
  for (int i = 0; i < 1000; ++i) {
    say("a", i);
    say("b", 1000 + i);
  }
  CHECK(telling.waiting() == 2);
  say("a", -1);
  CHECK(telling.waiting() == 2);
  while (bench->heard.size() < 2) co_await Sleep(bench->second.reactor, milliseconds(1));
  co_await Sleep(bench->second.reactor, milliseconds(5));
  co_await telling.Stop();
}

TEST_CASE("OrderedTelling: of each subject the newest waits, in the order of what is told") {
  Bench bench;
  bench.world.Run(bench.second, SayMuch(&bench));
  CHECK(bench.heard == std::vector<int>{1999, -1});
}

Task<void> SayToItself(Bench* bench) {
  OrderedTelling telling(bench->shards, ShardId(0), ShardId(0));
  Say(bench, &telling, 1);
  CHECK(bench->heard.empty());
  Say(bench, &telling, 2);
  while (bench->heard.size() < 2) co_await Yield(bench->first.reactor);
  Say(bench, &telling, 3);
  co_await telling.Stop();
  Say(bench, &telling, 4);
}

TEST_CASE("OrderedTelling: a shard hears of itself in a later turn, and nothing after a stop") {
  Bench bench;
  bench.world.Run(bench.first, SayToItself(&bench));
  CHECK(bench.heard == std::vector<int>{1, 2});
}

}  // namespace
}  // namespace millrace

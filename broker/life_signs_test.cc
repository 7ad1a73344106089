#include "broker/life_signs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"

using namespace millrace;  // NOLINT

namespace {

constexpr BrokerId kTwo(2);
constexpr BrokerId kThree(3);

// Brokers that answer when the test says so, and somebody who waits for them.
struct World {
  ~World() { world.Run(env, waiting.Stop()); }
  // How many have come back so far is in `back`.
  void HearFrom(std::vector<BrokerId> brokers) {
    waiting.Spawn(Wait(std::move(brokers)));
    Pass(milliseconds(1));
  }
  Task<void> Wait(std::vector<BrokerId> brokers) {
    co_await signs.HearFrom(std::move(brokers), waiting.token());
    ++back;
  }
  void Pass(Duration time) { world.Run(env, SleepFor(&env, time)); }
  static Task<void> SleepFor(Env* env, Duration time) { (void)co_await Sleep(env->reactor, time); }
  int Asked(BrokerId broker) const {
    return static_cast<int>(
        std::ranges::count(asked, broker, &std::pair<BrokerId, uint64_t>::first));
  }
  void Answer(BrokerId broker) {
    const auto last = std::ranges::find(asked.rbegin(), asked.rend(), broker,
                                        &std::pair<BrokerId, uint64_t>::first);
    REQUIRE(last != asked.rend());
    signs.OnEcho(broker, last->second);
    Pass(milliseconds(1));
  }

  SimWorld world{1};
  Env& env = world.AddNode("n").Boot();
  std::set<BrokerId> without_stream;
  std::vector<std::pair<BrokerId, uint64_t>> asked;
  int back = 0;
  LifeSigns signs{env.reactor, [this](BrokerId broker, uint64_t number) {
                    if (without_stream.contains(broker)) return false;
                    asked.emplace_back(broker, number);
                    return true;
                  }};
  TaskScope waiting{env.reactor};
};

}  // namespace

TEST_CASE("LifeSigns: who asks waits until every broker has answered") {
  World w;
  w.HearFrom({kTwo, kThree});
  CHECK(w.back == 0);
  w.Answer(kTwo);
  CHECK(w.back == 0);
  w.Answer(kThree);
  CHECK(w.back == 1);
}

TEST_CASE("LifeSigns: a broker without a stream is not waited for, nor one whose stream breaks") {
  World w;
  w.without_stream = {kThree};
  w.HearFrom({kThree});
  CHECK(w.back == 1);
  w.HearFrom({kTwo, kThree});
  CHECK(w.back == 1);
  w.signs.OnLost(kTwo);
  w.Pass(milliseconds(1));
  CHECK(w.back == 2);
  w.HearFrom({kTwo});  // Over the next stream it is asked again.
  CHECK(w.Asked(kTwo) == 2);
  w.Answer(kTwo);
  CHECK(w.back == 3);
}

TEST_CASE("LifeSigns: an answer to an earlier question says nothing to who came after it") {
  World w;
  w.HearFrom({kTwo});
  w.HearFrom({kTwo});
  w.HearFrom({kTwo});
  CHECK(w.Asked(kTwo) == 1);  // One at a time.
  w.Answer(kTwo);
  CHECK(w.back == 1);
  CHECK(w.Asked(kTwo) == 2);  // Shared by the two who came meanwhile.
  w.Answer(kTwo);
  CHECK(w.back == 3);
  CHECK(w.Asked(kTwo) == 2);
  w.signs.OnEcho(kTwo, 99);  // Nobody has asked that.
  w.HearFrom({kTwo});
  CHECK(w.back == 3);
}

TEST_CASE("LifeSigns: a stream that is lost answers those, too, who wait for the next question") {
  World w;
  w.HearFrom({kTwo});
  w.HearFrom({kTwo});
  w.signs.OnLost(kTwo);
  w.Pass(milliseconds(1));
  CHECK(w.back == 2);
  w.HearFrom({kTwo});
  w.HearFrom({kTwo});
  w.without_stream = {kTwo};
  w.Answer(kTwo);  // The last it said: the question after it cannot be asked any more.
  CHECK(w.back == 4);
}

TEST_CASE("LifeSigns: a silent broker is waited for once, until it answers in time again") {
  World w;
  w.HearFrom({kTwo});
  w.Pass(LifeSigns::kPatience);
  CHECK(w.back == 1);
  w.HearFrom({kTwo});
  CHECK(w.back == 2);
  CHECK(w.Asked(kTwo) == 1);
  w.Answer(kTwo);  // Late: it may be as late again.
  w.HearFrom({kTwo});
  CHECK(w.back == 3);
  // Nobody has to come for it: the next one may be the one that must know.
  CHECK(w.Asked(kTwo) == 2);
  w.Answer(kTwo);
  CHECK(w.Asked(kTwo) == 2);
  w.HearFrom({kTwo});
  CHECK(w.back == 3);
  w.Answer(kTwo);
  CHECK(w.back == 4);
}

TEST_CASE("LifeSigns: whose stream was lost is not silent on the next") {
  World w;
  w.HearFrom({kTwo});
  w.Pass(LifeSigns::kPatience);
  w.signs.OnLost(kTwo);
  w.HearFrom({kTwo});
  CHECK(w.back == 1);
  w.Answer(kTwo);
  CHECK(w.back == 2);
}

TEST_CASE("LifeSigns: who comes when an answer is almost late does not make the next one late") {
  World w;
  w.HearFrom({kTwo});
  w.Pass(LifeSigns::kPatience / 2);
  w.HearFrom({kTwo});
  w.Pass(LifeSigns::kPatience / 4);
  w.Answer(kTwo);
  CHECK(w.back == 1);
  w.Pass(LifeSigns::kPatience / 2);
  w.HearFrom({kTwo});  // The second has asked not long ago.
  CHECK(w.back == 1);
  w.Answer(kTwo);
  CHECK(w.back == 2);
}

TEST_CASE("LifeSigns: who waits ends at once when it is told to") {
  World w;
  w.HearFrom({kTwo});
  w.world.Run(w.env, w.waiting.Stop());
  CHECK(w.back == 1);
}

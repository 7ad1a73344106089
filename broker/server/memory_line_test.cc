#include "broker/server/memory_line.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {

TEST_CASE("MemoryLine: a line that moves holds nobody up, one that stands still does") {
  SimContractWorld world(1);
  struct Runner {
    static Task<void> TakeOne(MemoryLine* line) { CHECK((co_await line->Acquire(100, {})).ok()); }
    static Task<void> Run(Env* env) {
      MemoryLine line(env->reactor, 100);
      CHECK(line.TryAcquire(100));
      TaskScope others(env->reactor);
      for (int i = 0; i < 5; ++i) others.Spawn(TakeOne(&line));
      for (int i = 0; i < 3; ++i) {
        co_await Sleep(env->reactor, milliseconds(500));
        CHECK_FALSE(line.held_up());
        line.Release(100);
      }
      co_await Sleep(env->reactor, milliseconds(1500));
      CHECK(line.held_up());
      for (int i = 0; i < 2; ++i) {
        line.Release(100);
        co_await Sleep(env->reactor, milliseconds(300));
      }
      CHECK_FALSE(line.held_up());
      co_await others.Join();
      // Patience ends in time, by the drain, or with the connection.
      const absl::Status late = co_await line.Acquire(1, {}, {env->reactor.Now() + seconds(1)});
      CHECK(absl::IsDeadlineExceeded(late));
      CancellationSource source;
      source.Cancel();
      const absl::Status drained = co_await line.Acquire(1, {}, {std::nullopt, source.token()});
      CHECK(absl::IsDeadlineExceeded(drained));
      CHECK(absl::IsCancelled(co_await line.Acquire(1, source.token())));
      CHECK_FALSE(line.held_up());
      line.Release(100);
      CHECK(line.used() == 0);
    }
  };
  world.RunUntilDone(Runner::Run(&world.env()));
}

}  // namespace millrace

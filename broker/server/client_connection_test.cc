#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/server/client_connection_fixture.h"
#include "broker/server/request_budget.h"
#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_contract_world.h"

namespace millrace {

TEST_CASE("ClientConnection: replies leave in request order, whichever is ready first") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CHECK(Tell(
              [](Bench* bench, Story* story) -> Task<void> {
                co_await bench->Say("wait:1");
                co_await bench->Say("echo:2");
                co_await bench->Say("silent");
                co_await bench->Say("echo:3");
                co_await bench->Settle();
                CHECK(bench->handler.story ==
                      Story{"wait:1", "echo:2", "echo:2 ends", "silent", "echo:3", "echo:3 ends"});
                bench->handler.go.Set();
                for (int i = 0; i < 3; ++i) story->push_back(co_await bench->Hear());
              },
              {}, seed) == Story{"wait:1", "echo:2", "echo:3"});
  }
}

TEST_CASE("ClientConnection: a request starts once the one before has done its ordered effects") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("hold:1");
    co_await bench->Say("echo:2");
    co_await bench->Settle();
    CHECK(bench->handler.story == Story{"hold:1"});
    bench->handler.go.Set();
    CHECK(co_await bench->Hear() == "hold:1");
    CHECK(co_await bench->Hear() == "echo:2");
  });
}

TEST_CASE(
    "ClientConnection: a request is told when its reply is the next to leave, and not before") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("wait:1");
    co_await bench->Say("front:2");
    co_await bench->Say("front:3");
    co_await bench->Settle();
    CHECK(bench->handler.story == Story{"wait:1", "front:2", "front:3"});
    bench->handler.go.Set();
    for (const char* expected : {"wait:1", "front:2", "front:3"}) {
      CHECK(co_await bench->Hear() == expected);
    }
    co_await bench->Say("front:4");  // Nothing is before it: at once.
    CHECK(co_await bench->Hear() == "front:4");
  });
}

TEST_CASE(
    "ClientConnection: a close comes after the replies before it, and undoes what came behind") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("wait:1");
    co_await bench->Say("close");
    co_await bench->Say("echo:3");
    co_await bench->Settle();
    CHECK(bench->handler.story == Story{"wait:1", "close"});
    bench->handler.go.Set();
    CHECK(co_await bench->Hear() == "wait:1");
    CHECK(co_await bench->Hear() == "(closed)");
  });
}

TEST_CASE("ClientConnection: reading stops at the requests in flight allowed") {
  ClientConnectionOptions options;
  options.requests_in_flight_max = 3;
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        for (int i = 0; i < 10; ++i) co_await bench->Say("wait");
        co_await bench->Settle();
        CHECK(bench->handler.story.size() == 3);
        bench->handler.go.Set();
        for (int i = 0; i < 10; ++i) CHECK(co_await bench->Hear() == "wait");
      },
      options);
}

TEST_CASE("ClientConnection: reading stops while replies wait for a client that does not read") {
  ClientConnectionOptions options;
  options.reply_bytes_max = 1000;
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        // Nothing leaves before the first one's reply, so what those behind it answer piles up.
        co_await bench->Say("wait");
        for (int i = 0; i < 10; ++i) co_await bench->Say("big:400");
        co_await bench->Settle();
        CHECK(bench->handler.story.size() == 1 + 2 * 3);  // 1200 bytes wait.
        bench->handler.go.Set();
        CHECK(co_await bench->Hear() == "wait");
        for (int i = 0; i < 10; ++i) CHECK((co_await bench->Hear()).size() == 400);
      },
      options);
}

TEST_CASE("ClientConnection: Drain answers what is in flight, long polls too, and reads no more") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("wait:1");
    co_await bench->Say("poll:2");
    co_await bench->Settle();
    bench->served->Drain();
    co_await bench->Say("echo:3");
    co_await bench->Settle();
    CHECK(!bench->ended.has_value());
    bench->handler.go.Set();
    CHECK(co_await bench->Hear() == "wait:1");
    CHECK(co_await bench->Hear() == "poll:2");
    CHECK(co_await bench->Hear() == "(closed)");
    CHECK(bench->handler.story == Story{"wait:1", "poll:2", "poll:2 ends", "wait:1 ends"});
  });
}

TEST_CASE("ClientConnection: Drain does not cut a reply that is being sent") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("big:4000000");  // More than the sockets' buffers hold.
    co_await bench->Settle();
    bench->served->Drain();
    co_await bench->Settle();
    CHECK((co_await bench->Hear()).size() == 4000000);
    CHECK(co_await bench->Hear() == "(closed)");
  });
}

TEST_CASE("ClientConnection: Drain ends an idle connection at once") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Settle();
    bench->served->Drain();
    CHECK(co_await bench->Hear() == "(closed)");
  });
}

TEST_CASE("ClientConnection: a client that left ends its long poll") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("poll:1");
    co_await bench->Settle();
    bench->client->Shutdown();
    co_await bench->Settle();
    CHECK(bench->ended.has_value());
  });
}

TEST_CASE(
    "ClientConnection: a client that left does not keep its connection for a request that hangs") {
  ClientConnectionOptions options;
  options.frame_max = seconds(10);
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        co_await bench->Say("wait:1");
        co_await bench->Settle();
        bench->client->Shutdown();
        co_await Sleep(bench->env.reactor, seconds(9));
        CHECK(!bench->ended.has_value());
        co_await Sleep(bench->env.reactor, seconds(20));
        CHECK(bench->ended.has_value());
      },
      options);
}

TEST_CASE("ClientConnection: one that is idle is closed, one that waits for its answer is not") {
  ClientConnectionOptions options;
  options.idle_max = seconds(100);
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        co_await bench->Say("wait:1");
        co_await Sleep(bench->env.reactor, seconds(1000));
        bench->handler.go.Set();
        CHECK(co_await bench->Hear() == "wait:1");
        const Instant quiet_since = bench->env.reactor.Now();
        CHECK(co_await bench->Hear() == "(closed)");
        const Duration lasted = bench->env.reactor.Now() - quiet_since;
        CHECK(lasted >= seconds(99));
        CHECK(lasted <= seconds(110));  // It looks every few seconds.
      },
      options);
}

TEST_CASE("ClientConnection: one that never says anything is idle from its beginning") {
  ClientConnectionOptions options;
  options.idle_max = seconds(2);
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        CHECK(co_await bench->Hear() == "(closed)");
        CHECK(bench->env.reactor.Now() - bench->opened <= seconds(3));
      },
      options);
}

TEST_CASE("ClientConnection: a frame that was begun and stalls is closed long before an idle one") {
  for (size_t sent : {size_t{1}, size_t{6}, size_t{60000}}) {
    CAPTURE(sent);
    SimContractWorld world(sent);
    Bench bench(world.env());
    struct Runner {
      static Task<void> Run(Bench* bench, size_t sent) {
        co_await bench->Open();
        const Slice frame = Framed(std::string(100000, 'x')).Flatten();
        MR_CHECK((co_await bench->client->Send(Chain(frame.Sub(0, sent)))).ok());
        CHECK(co_await bench->Hear() == "(closed)");
        const Duration lasted = bench->env.reactor.Now() - bench->opened;
        CHECK(lasted >= bench->options.frame_max);
        CHECK(lasted <= 3 * bench->options.frame_max);
        co_await bench->End();
      }
    };
    world.RunUntilDone(Runner::Run(&bench, sent));
  }
}

TEST_CASE("ClientConnection: a frame that waits for our memory is not held against its sender") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    const std::string payload = "echo:" + std::string(50000, 'x');
    MemoryLine& memory = bench->budget.For(payload.size());
    CHECK(memory.TryAcquire(memory.bytes_max()));
    co_await bench->Say(payload);
    co_await Sleep(bench->env.reactor, seconds(300));
    CHECK(!bench->ended.has_value());
    CHECK(bench->handler.story.empty());
    memory.Release(memory.bytes_max());
    CHECK(co_await bench->Hear() == payload);
    co_await bench->Settle();
    CHECK(memory.used() == 0);
  });
}

TEST_CASE("ClientConnection: replies to earlier requests do not make a stalled frame come on") {
  ClientConnectionOptions options;
  options.frame_max = seconds(20);
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        for (int i = 0; i < 60; ++i) co_await bench->Say("wait");
        const Slice frame = Framed(std::string(100000, 'x')).Flatten();
        MR_CHECK((co_await bench->client->Send(Chain(frame.Sub(0, 60000)))).ok());
        for (int i = 0; i < 60 && !bench->ended.has_value(); ++i) {
          co_await Sleep(bench->env.reactor, seconds(1));
          bench->handler.TakeOne();
        }
        CHECK(bench->ended.has_value());
      },
      options);
}

TEST_CASE("ClientConnection: a reply counts until it has been sent") {
  ClientConnectionOptions options;
  options.reply_bytes_max = 1000;
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        co_await bench->Say("big:4000000");  // More than the sockets' buffers hold.
        co_await bench->Settle();
        for (int i = 0; i < 10; ++i) co_await bench->Say("echo");
        co_await bench->Settle();
        // The reader was waiting for one when the reply was made.
        CHECK(std::ranges::count(bench->handler.story, "echo") <= 1);
        CHECK((co_await bench->Hear()).size() == 4000000);
        for (int i = 0; i < 10; ++i) CHECK(co_await bench->Hear() == "echo");
      },
      options);
}

TEST_CASE("ClientConnection: one that does not read is closed soon when replies take too much") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    ReplyAccount& replies = bench->budget.replies();
    co_await bench->Say("big:4000000");
    co_await bench->Settle();
    CHECK(replies.used() == 4000004);
    CHECK(replies.full());  // A quarter of 1 MiB.
    // Who goes on asking does not make up for not reading.
    for (int i = 0; i < 25 && !bench->ended.has_value(); ++i) {
      co_await bench->Say("echo");
      co_await Sleep(bench->env.reactor, seconds(1));
    }
    CHECK(bench->ended.has_value());
    CHECK(replies.used() == 0);
  });
}

TEST_CASE(
    "ClientConnection: a client that reads slowly gets a large reply, one that stops is closed") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    co_await bench->Say("big:4000000");
    // 40 KB a second: more than a minute in all, and never a minute without progress.
    size_t got = 0;
    for (size_t due = 40000; got < 4000004; due += 40000) {
      while (got < std::min<size_t>(due, 4000004)) {
        absl::StatusOr<Slice> more = co_await bench->client->ReceiveSome(due - got);
        if (!more.ok() || more->empty()) break;
        got += more->size();
      }
      if (bench->ended.has_value()) break;
      co_await Sleep(bench->env.reactor, seconds(1));
    }
    CHECK(got == 4000004);
    co_await bench->Say("big:4000000");
    co_await Sleep(bench->env.reactor, seconds(200));
    CHECK(bench->ended.has_value());
  });
}

TEST_CASE(
    "ClientConnection: a frame of size zero, negative or too large closes, after the replies "
    "before") {
  for (int32_t size : {0, -1, INT32_MIN, INT32_MAX, 1001}) {
    CAPTURE(size);
    ClientConnectionOptions options;
    options.frame_bytes_max = 1000;
    SimContractWorld world(7);
    Bench bench(world.env(), options);
    struct Runner {
      static Task<void> Run(Bench* bench, int32_t size) {
        co_await bench->Open();
        co_await bench->Say("wait:1");
        std::string prefix(sizeof(int32_t), '\0');
        StoreBig<int32_t>(reinterpret_cast<uint8_t*>(prefix.data()), size);
        MR_CHECK((co_await bench->client->Send(Chain(Slice::Copy(prefix)))).ok());
        co_await bench->Settle();
        bench->handler.go.Set();
        CHECK(co_await bench->Hear() == "wait:1");
        CHECK(co_await bench->Hear() == "(closed)");
        co_await bench->End();
      }
    };
    world.RunUntilDone(Runner::Run(&bench, size));
  }
}

namespace {

Task<void> TakenOver(Bench* bench, Story* story) {
  co_await bench->Say("wait");
  co_await bench->Say("take");
  co_await bench->Settle();
  bench->handler.TakeOne();
  story->push_back(co_await bench->Hear());  // Replies before it leave first.
  story->push_back(co_await bench->Hear());
  co_await bench->Say("not for the handler");
  story->push_back(co_await bench->Hear());
  story->push_back(co_await bench->Hear());
}

}  // namespace

TEST_CASE("ClientConnection: a reply may take the connection, behind the replies before it") {
  CHECK(Tell(TakenOver) == Story{"wait", "another protocol", "not for the handler", "(closed)"});
}

}  // namespace millrace

// What clients that are slow may hold up, and that they get through: ClientConnection with others in
// line for its memory.
#include <catch2/catch.hpp>
#include <optional>

#include "broker/server/client_connection_fixture.h"

namespace millrace {

TEST_CASE("ClientConnection: a frame that stalls is closed soon when others wait for its memory") {
  ClientConnectionOptions options;
  Tell(
      [](Bench* bench, Story*) -> Task<void> {
        const Slice frame = Framed(std::string(100000, 'x')).Flatten();
        MemoryLine& memory = bench->budget.For(100000);
        CHECK(memory.TryAcquire(memory.bytes_max() - 100000));
        MR_CHECK((co_await bench->client->Send(Chain(frame.Sub(0, 60000)))).ok());
        // Alone it may take its time.
        co_await Sleep(bench->env.reactor, seconds(30));
        CHECK(!bench->ended.has_value());
        // Small frames have a reserve, and the rest waits for what the stalled one holds.
        MemoryLine& reserve = bench->budget.For(1000);
        CHECK(&reserve != &memory);
        CHECK(reserve.TryAcquire(1000));
        reserve.Release(1000);
        const Instant asked = bench->env.reactor.Now();
        CHECK((co_await memory.Acquire(50000, {})).ok());
        CHECK(bench->env.reactor.Now() - asked <= 2 * bench->options.contended_piece_max);
        co_await bench->Settle();
        CHECK(bench->ended.has_value());
        CHECK(bench->budget.closed() == 1);
        memory.Release(memory.bytes_max() - 50000);
      },
      options);
}

namespace {

// There is always somebody in line who gets nothing.
Task<void> WaitInVain(MemoryLine* line, CancellationToken end) {
  while (!end.cancelled()) (void)co_await line->Acquire(line->bytes_max(), end);
}

// A request of `size` bytes sent at so many a second. How long it took, or nothing: it was closed.
Task<std::optional<Duration>> SendAtPace(Bench* bench, size_t size, size_t bytes_per_second) {
  const std::string payload = "echo:" + std::string(size - 5, 'x');
  const Slice frame = Framed(payload).Flatten();
  const Instant begun = bench->env.reactor.Now();
  for (size_t at = 0; at < frame.size() && !bench->ended.has_value();) {
    const size_t length = std::min(frame.size() - at, bytes_per_second / 10);
    if (!(co_await bench->client->Send(Chain(frame.Sub(at, length)))).ok()) break;
    at += length;
    co_await Sleep(bench->env.reactor, milliseconds(100));
  }
  if (bench->ended.has_value()) {
    CHECK(bench->budget.closed() == 1);
    CHECK(*bench->ended - begun <= bench->options.contended_whole_max + seconds(3));
    co_return std::nullopt;
  }
  CHECK((co_await bench->Hear()).size() == payload.size());
  co_return bench->env.reactor.Now() - begun;
}

// While others wait for memory in vain.
std::optional<Duration> SentUnderLoad(size_t size, size_t bytes_per_second) {
  SimContractWorld world(1);
  Bench bench(world.env(), {});
  std::optional<Duration> took;
  struct Runner {
    static Task<void> Run(Bench* bench, size_t size, size_t pace, std::optional<Duration>* took) {
      co_await bench->Open();
      MemoryLine& line = bench->budget.For(size);
      CHECK(line.TryAcquire(1));  // So that nobody gets all of it.
      CancellationSource end;
      TaskScope others(bench->env.reactor);
      others.Spawn(WaitSoon(bench, &line, end.token()));
      *took = co_await SendAtPace(bench, size, pace);
      end.Cancel();
      co_await others.Join();
      line.Release(1);
      co_await bench->End();
    }
    static Task<void> WaitSoon(Bench* bench, MemoryLine* line, CancellationToken end) {
      // The sender gets its memory first.
      while (line->used() == 1 && !end.cancelled()) {
        co_await Sleep(bench->env.reactor, milliseconds(100), end);
      }
      co_await WaitInVain(line, end);
    }
  };
  world.RunUntilDone(Runner::Run(&bench, size, bytes_per_second, &took));
  return took;
}

}  // namespace

TEST_CASE("ClientConnection: slow senders get through while others wait, and trickles do not") {
  // A full batch of a producer behind a thin line.
  const std::optional<Duration> slow = SentUnderLoad(100'000, 10'000);
  REQUIRE(slow.has_value());
  CHECK(*slow >= seconds(10));
  // Too slow for its size; for the time of a piece, and as a whole.
  CHECK_FALSE(SentUnderLoad(100'000, 1'000).has_value());
  CHECK_FALSE(SentUnderLoad(110'000, 3'000).has_value());
}

TEST_CASE("ClientConnection: a large request at 40 KB a second gets through, 10 MB of it do not") {
  const std::optional<Duration> slow = SentUnderLoad(1'000'000, 40'000);
  REQUIRE(slow.has_value());
  CHECK(*slow >= seconds(24));
  CHECK_FALSE(SentUnderLoad(10'000'000, 40'000).has_value());
  // But what needs long because it is large is not slow.
  const std::optional<Duration> large = SentUnderLoad(45'000'000, 1'000'000);
  REQUIRE(large.has_value());
  CHECK(*large >= seconds(44));
}

namespace {

// Reads a reply of `size` bytes at so many a second. Whether all of it came.
Task<bool> ReadAtPace(Bench* bench, size_t size, size_t bytes_per_second) {
  size_t got = 0;
  for (size_t due = bytes_per_second / 10; got < size + 4; due += bytes_per_second / 10) {
    while (got < std::min(due, size + 4)) {
      absl::StatusOr<Slice> more = co_await bench->client->ReceiveSome(due - got);
      if (!more.ok() || more->empty()) co_return false;
      got += more->size();
    }
    co_await Sleep(bench->env.reactor, milliseconds(100));
  }
  co_return true;
}

}  // namespace

TEST_CASE("ClientConnection: slow readers get their replies while others wait, large ones do not") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    bench->budget.replies().Add(1 << 20);  // Of others.
    co_await bench->Say("big:1000000");
    CHECK(co_await ReadAtPace(bench, 1'000'000, 40'000));
    co_await bench->Say("big:20000000");
    CHECK_FALSE(co_await ReadAtPace(bench, 20'000'000, 40'000));
    CHECK(bench->budget.closed() == 1);
    bench->budget.replies().Remove(1 << 20);
  });
}

TEST_CASE(
    "ClientConnection: what a reply has taken of a budget is not counted, the rest of it is") {
  Tell([](Bench* bench, Story*) -> Task<void> {
    MemoryLine line(bench->env.reactor, 1'000'000);
    CHECK(line.TryAcquire(300'000));
    bench->handler.hold = std::make_shared<ByteHold>(line, 300'000);
    co_await bench->Say("big:4000000");
    co_await bench->Settle();
    CHECK(bench->budget.replies().used() == 3'700'004);
    CHECK((co_await bench->Hear()).size() == 4'000'000);
    co_await bench->Settle();
    CHECK(bench->budget.replies().used() == 0);
    CHECK(line.used() == 0);
  });
}

}  // namespace millrace

#include "common/sys/real_world.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/log/capturing_logger.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "common/sys/machine.h"
#include "common/sys/signals.h"

namespace millrace {
namespace {

const std::vector<IoBackend> kBackends = {IoBackend::kUring, IoBackend::kEpoll};

std::unique_ptr<RealWorld> MakeWorld(RealWorldOptions options, Logger& logger) {
  absl::StatusOr<std::unique_ptr<RealWorld>> world = RealWorld::Create(options, logger);
  if (!world.ok()) FAIL(std::string(world.status().message()));
  return *std::move(world);
}

// ---- Other threads ----

Task<void> CountPosts(Reactor* reactor, int threads, int each, int* counted) {
  Event all(*reactor);
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&all, reactor, counted, threads, each] {
      for (int i = 0; i < each; ++i) {
        // Refused while the inbox is full: the bound is what is tested, so try again.
        while (!reactor->Post([&all, counted, threads, each] {
          if (++*counted == threads * each) all.Set();
        })) {
          std::this_thread::yield();
        }
      }
    });
  }
  co_await all.Wait();
  for (std::thread& poster : posters) poster.join();
}

TEST_CASE("RealReactor: what several threads post all runs on the shard, through a small inbox") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io, .inbox_max = 16}, logger);
    int counted = 0;
    world->Run(CountPosts(&world->env(ShardId(0)).reactor, 4, 5000, &counted));
    CHECK(counted == 20'000);
  }
}

Task<void> OnePostAtATime(Reactor* reactor, int rounds, int* done) {
  // The shard sleeps before each post, so each must wake it.
  std::atomic<int> go{0};
  Event arrived(*reactor);
  std::thread poster([&] {
    for (int round = 1; round <= rounds; ++round) {
      go.wait(round - 1);
      reactor->Post([&arrived] { arrived.Set(); });
    }
  });
  for (int round = 1; round <= rounds; ++round) {
    go.store(round);
    go.notify_one();
    co_await arrived.Wait();
    arrived.Reset();
    ++*done;
  }
  poster.join();
}

TEST_CASE("RealReactor: a sleeping shard is woken by every post") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io}, logger);
    int done = 0;
    world->Run(OnePostAtATime(&world->env(ShardId(0)).reactor, 2000, &done));
    CHECK(done == 2000);
  }
}

TEST_CASE("RealReactor: a full inbox refuses, and takes again when it was emptied") {
  NullLogger logger;
  auto world = MakeWorld({.io = IoBackend::kEpoll, .inbox_max = 2}, logger);
  Reactor& reactor = world->env(ShardId(0)).reactor;
  int ran = 0;
  auto count = [&ran] { ++ran; };
  CHECK(reactor.Post(count));
  CHECK(reactor.Post(count));
  CHECK_FALSE(reactor.Post(count));
  struct Nothing {
    static Task<void> Run(Reactor* reactor) { co_await Yield(*reactor); }
  };
  world->Run(Nothing::Run(&reactor));
  CHECK(ran == 2);
  CHECK(reactor.Post(count));  // Dropped unrun with the world, and not leaked.
}

// ---- Shards ----

Task<uint32_t> WhereAmI(Env* env) {
  co_await Yield(env->reactor);
  co_return env->reactor.shard().value();
}

Task<void> AskAll(RealWorld* world, std::vector<uint32_t>* answers) {
  for (uint32_t shard = 0; shard < world->shards().count(); ++shard) {
    Env* env = &world->env(ShardId(shard));
    answers->push_back(co_await world->shards().Call<uint32_t>(ShardId(0), ShardId(shard),
                                                               [env] { return WhereAmI(env); }));
  }
}

// On the other shard: answers with what it gets, until the end of the stream.
Task<int> EchoThere(Env* env, std::shared_ptr<std::unique_ptr<DetachedConnection>> moved) {
  std::unique_ptr<Connection> connection = env->network.Adopt(std::move(*moved));
  int rounds = 0;
  for (;;) {
    absl::StatusOr<Slice> bytes = co_await connection->ReceiveSome(100);
    if (!bytes.ok() || bytes->empty()) break;
    if (!(co_await connection->Send(Chain(*bytes))).ok()) break;
    ++rounds;
  }
  co_await connection->Close();
  co_return rounds;
}

Task<void> TalkTo(Connection* connection, std::string* heard) {
  for (const char* word : {"one", "two", "three"}) {
    (void)co_await connection->Send(Chain(Slice::Copy(std::string_view(word))));
    absl::StatusOr<Slice> back = co_await connection->ReceiveSome(100);
    *heard += back.ok() ? std::string(back->view()) : "?";
  }
  connection->Shutdown();
}

Task<void> MoveAndTalk(RealWorld* world, std::string* heard, int* rounds) {
  Env& env = world->env(ShardId(0));
  Env* there = &world->env(ShardId(1));
  auto listener = co_await env.network.Listen({.host = "127.0.0.1", .port = 0}, {});
  auto client = co_await env.network.Connect((*listener)->local(), Instant::Max());
  auto server = co_await (*listener)->Accept();
  TaskScope scope(env.reactor);
  scope.Spawn(TalkTo(client->get(), heard));
  // It waits here once, so that the old shard's reactor knows the socket too.
  auto first = co_await (*server)->ReceiveSome(100);
  (void)co_await (*server)->Send(Chain(*first));
  auto moved = std::make_shared<std::unique_ptr<DetachedConnection>>((*server)->Detach());
  *rounds = co_await world->shards().Call<int>(ShardId(0), ShardId(1),
                                               [there, moved] { return EchoThere(there, moved); });
  co_await scope.Join();
  co_await (*client)->Close();
  co_await (*listener)->Close();
}

TEST_CASE("Network: a connection goes on on another shard") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io, .shards = 2}, logger);
    std::string heard;
    int rounds = 0;
    world->Run(MoveAndTalk(world.get(), &heard, &rounds));
    CHECK(heard == "onetwothree");
    CHECK(rounds == 2);
  }
}

TEST_CASE("Shards: a call runs on the shard it names, and its result comes back") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io, .shards = 3}, logger);
    std::vector<uint32_t> answers;
    world->Run(AskAll(world.get(), &answers));
    CHECK(answers == std::vector<uint32_t>{0, 1, 2});
  }
}

Task<void> AddOne(int* value) {
  ++*value;
  co_return;
}

Task<void> Bounce(RealWorld* world, ShardId from, ShardId to, int times, int* value) {
  for (int i = 0; i < times; ++i) {
    co_await world->shards().Call<void>(from, to, [value] { return AddOne(value); });
  }
}

Task<void> BounceMany(RealWorld* world, int tasks, int times, std::vector<int>* values) {
  TaskScope scope(world->env(ShardId(0)).reactor);
  for (int i = 0; i < tasks; ++i) {
    scope.Spawn(Bounce(world, ShardId(0), ShardId(1), times, &(*values)[i]));
  }
  co_await scope.Join();
}

TEST_CASE("Shards: thousands of calls at once go through inboxes smaller than they are many") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io, .shards = 2, .inbox_max = 8}, logger);
    std::vector<int> values(200);
    world->Run(BounceMany(world.get(), 200, 20, &values));
    CHECK(values == std::vector<int>(200, 20));
  }
}

Task<void> CallBack(RealWorld* world, int* value) {
  co_await world->shards().Call<void>(ShardId(1), ShardId(0), [value] { return AddOne(value); });
}

Task<void> ThereAndBack(RealWorld* world, int* value) {
  co_await world->shards().Call<void>(ShardId(0), ShardId(1),
                                      [world, value] { return CallBack(world, value); });
}

// Computations that end only when a blocking call has been made.
Task<void> ComputeUntil(HelperPool* helpers, std::atomic<bool>* called, int* done) {
  *done += co_await helpers->Compute<int>([called] {
    called->wait(false);
    return 1;
  });
}

Task<void> CallBesideComputations(Env* env, int* done) {
  std::atomic<bool> called = false;
  TaskScope scope(env->reactor);
  for (int i = 0; i < 20; ++i) scope.Spawn(ComputeUntil(&env->helpers, &called, done));
  co_await env->helpers.Run([&called] {
    called = true;
    called.notify_all();
  });
  co_await scope.Join();
}

TEST_CASE("HelperPool: computations, however many and long, leave threads for blocking calls") {
  NullLogger logger;
  auto world = MakeWorld({.io = IoBackend::kEpoll, .helper_threads_max = 2}, logger);
  int done = 0;
  world->Run(CallBesideComputations(&world->env(ShardId(0)), &done));
  CHECK(done == 20);
}

TEST_CASE("Shards: a call may call its caller's shard") {
  NullLogger logger;
  auto world = MakeWorld({.shards = 2}, logger);
  int value = 0;
  world->Run(ThereAndBack(world.get(), &value));
  CHECK(value == 1);
}

struct FarWait {
  CancellationSource source;
  bool before = false;  // The token's state there, at the start.
  WaitResult ended = WaitResult::kSignalled;
  uint32_t where = 99;
  int told = 0;
  int told_at_end = 0;
};

Task<int> WaitThere(RealWorld* world, FarWait* wait, CancellationToken token) {
  Env& env = world->env(ShardId(1));
  wait->where = env.reactor.shard().value();
  wait->before = token.cancelled();
  co_await world->shards().Tell(ShardId(1), ShardId(0), [wait] { ++wait->told; });
  wait->ended = co_await Sleep(env.reactor, seconds(1000), token);
  co_return 7;
}

Task<void> CancelWhenTold(RealWorld* world, FarWait* wait) {
  while (wait->told == 0) co_await Sleep(world->env(ShardId(0)).reactor, milliseconds(1));
  wait->source.Cancel();
}

Task<void> WaitUntilCancelled(RealWorld* world, FarWait* wait, int* result) {
  TaskScope scope(world->env(ShardId(0)).reactor);
  scope.Spawn(CancelWhenTold(world, wait));
  *result = co_await world->shards().CallUntil<int>(
      ShardId(0), ShardId(1), wait->source.token(),
      [world, wait](CancellationToken token) { return WaitThere(world, wait, token); });
  wait->told_at_end = wait->told;
  co_await scope.Join();
}

TEST_CASE(
    "Shards: a call that waits hears of a cancellation, and of what it told before it ended") {
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io, .shards = 2}, logger);
    FarWait wait;
    int result = 0;
    world->Run(WaitUntilCancelled(world.get(), &wait, &result));
    CHECK(result == 7);
    CHECK(wait.where == 1);
    CHECK_FALSE(wait.before);
    CHECK(wait.ended == WaitResult::kCancelled);
    CHECK(wait.told_at_end == 1);
  }
}

TEST_CASE("Shards: calls that wait do not keep others from going, however many they are") {
  struct Crowd {
    static Task<void> One(RealWorld* world, FarWait* wait) {
      (void)co_await world->shards().CallUntil<int>(
          ShardId(0), ShardId(1), wait->source.token(),
          [world, wait](CancellationToken token) { return WaitThere(world, wait, token); });
    }
    static Task<void> Run(RealWorld* world, std::vector<std::unique_ptr<FarWait>>* waits,
                          int* value) {
      TaskScope scope(world->env(ShardId(0)).reactor);
      for (auto& wait : *waits) scope.Spawn(One(world, wait.get()));
      for (auto& wait : *waits) {
        while (wait->told == 0) co_await Sleep(world->env(ShardId(0)).reactor, milliseconds(1));
      }
      co_await world->shards().Call<void>(ShardId(0), ShardId(1),
                                          [value] { return AddOne(value); });
      for (auto& wait : *waits) wait->source.Cancel();
      co_await scope.Join();
    }
  };
  NullLogger logger;
  auto world = MakeWorld({.shards = 2}, logger);
  std::vector<std::unique_ptr<FarWait>> waits;
  for (int i = 0; i < 1100; ++i) waits.push_back(std::make_unique<FarWait>());
  int value = 0;
  world->Run(Crowd::Run(world.get(), &waits, &value));
  CHECK(value == 1);
}

// ---- Stalls ----

Task<void> Block(Reactor* reactor, bool* blocked) {
  co_await Yield(*reactor);
  // The stall itself.
  for (const Instant end = MonotonicNow() + milliseconds(25); MonotonicNow() < end;) {
  }
  *blocked = true;
  co_await Yield(*reactor);
}

Task<void> SpawnBlocking(Reactor* reactor, bool* blocked) {
  TaskScope scope(*reactor);
  scope.Spawn(Block(reactor, blocked), SchedClass::kProduce);
  co_await scope.Join();
}

TEST_CASE("StallDetector: a turn above 10 ms is one line with its class and length") {
  CapturingLogger logger;
  auto world = MakeWorld({.io = IoBackend::kEpoll, .stalls = {.line_every = Duration(0)}}, logger);
  bool blocked = false;
  Reactor& reactor = world->env(ShardId(0)).reactor;
  world->Run(SpawnBlocking(&reactor, &blocked));
  REQUIRE(blocked);
  // A busy machine may add stalls of its own; ours is the one of its class.
  CHECK(logger.Contains("one turn of class produce"));
}

TEST_CASE("StallDetector: one line a second, which counts those left out") {
  CapturingLogger logger;
  StallDetector detector({}, logger);
  const Instant start(1'000'000'000'000);
  detector.Ran("produce", milliseconds(10), nullptr, start);  // Not above.
  detector.Ran("produce", milliseconds(11), nullptr, start);
  detector.Ran("produce", milliseconds(12), nullptr, start + milliseconds(500));
  detector.Ran("catch-up", milliseconds(13), nullptr, start + milliseconds(1000));
  const std::vector<std::string> lines = logger.Lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("11 ms: one turn of class produce (0 more") != std::string::npos);
  CHECK(lines[1].find("13 ms: one turn of class catch-up (1 more") != std::string::npos);
  CHECK(detector.stalls() == 3);
}

// ---- Choosing ----

// From now on this thread's io_uring_setup() fails as under the seccomp profile of a container.
void ForbidUring() {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_CASE("RealWorld: where io_uring is forbidden, auto means epoll and says why in one line") {
  CapturingLogger logger;
  std::string used;
  absl::Status forced;
  std::thread container([&] {
    ForbidUring();
    absl::StatusOr<std::unique_ptr<RealWorld>> world = RealWorld::Create({.shards = 2}, logger);
    if (world.ok()) used = (*world)->io_name();
    forced = RealWorld::Create({.io = IoBackend::kUring}, logger).status();
  });
  container.join();
  CHECK(used == "epoll");
  CHECK(logger.Lines() ==
        std::vector<std::string>{"WARN  io_uring is not allowed here (EPERM: a seccomp profile, or "
                                 "kernel.io_uring_disabled); using epoll"});
  CHECK(absl::IsPermissionDenied(forced));
}

TEST_CASE("RealWorld: the kind of I/O in use can be asked for, and forced") {
  NullLogger logger;
  CHECK(MakeWorld({.io = IoBackend::kEpoll}, logger)->io_name() == "epoll");
  CHECK(MakeWorld({.io = IoBackend::kUring}, logger)->io_name() == "io_uring");
  CHECK(ParseIoBackend("auto") == IoBackend::kAuto);
  CHECK(ParseIoBackend("io_uring") == IoBackend::kUring);
  CHECK(ParseIoBackend("epoll") == IoBackend::kEpoll);
  CHECK_FALSE(ParseIoBackend("uring").has_value());
}

// ---- Signals and the machine ----

Task<void> TwoSignals(Signals* signals, Reactor* reactor, std::vector<int>* got) {
  ::kill(::getpid(), SIGTERM);
  absl::StatusOr<int> first = co_await signals->Next();
  got->push_back(first.ok() ? *first : -1);
  reactor->Post([] { ::kill(::getpid(), SIGINT); });  // While the next call waits.
  absl::StatusOr<int> second = co_await signals->Next();
  got->push_back(second.ok() ? *second : -1);
  reactor->Post([signals] { signals->Shutdown(); });
  absl::StatusOr<int> third = co_await signals->Next();
  got->push_back(absl::IsCancelled(third.status()) ? 0 : -1);
}

TEST_CASE("Signals: SIGTERM and SIGINT are awaited, and Shutdown ends the wait") {
  Signals::Block();
  for (IoBackend io : kBackends) {
    NullLogger logger;
    auto world = MakeWorld({.io = io}, logger);
    absl::StatusOr<std::unique_ptr<Signals>> signals = Signals::Create(world->port(ShardId(0)));
    REQUIRE(signals.ok());
    std::vector<int> got;
    world->Run(TwoSignals(signals->get(), &world->env(ShardId(0)).reactor, &got));
    CHECK(got == std::vector<int>{SIGTERM, SIGINT, 0});
  }
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);  // So that a hung test can be ended.
}

TEST_CASE("Machine: there is a processor, memory within the machine's, and some of it is ours") {
  CHECK(UsableCpus() >= 1);
  CHECK(UsableCpus() <= std::thread::hardware_concurrency());
  CHECK(UsableMemory() > ResidentMemory());
  CHECK(ResidentMemory() > 1'000'000);
  CHECK(RaiseDescriptorLimit() >= 64);
}

TEST_CASE("RealRandom and RealClock: numbers differ, and the clock is in this century") {
  NullLogger logger;
  auto world = MakeWorld({.io = IoBackend::kEpoll}, logger);
  Random& random = world->env(ShardId(0)).random;
  std::vector<uint64_t> drawn;
  for (int i = 0; i < 100; ++i) drawn.push_back(random.Next());  // More than a batch.
  std::sort(drawn.begin(), drawn.end());
  CHECK(std::adjacent_find(drawn.begin(), drawn.end()) == drawn.end());
  CHECK(world->env(ShardId(0)).clock.Now().ms() > 1'600'000'000'000);
}

}  // namespace
}  // namespace millrace

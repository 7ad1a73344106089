// One suite over everything an Env gives, run on each world there is. What differs between worlds
// is in this file's factories and nowhere else.
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/contract_world.h"
#include "common/runtime/event.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "common/runtime/task_scope.h"
#include "common/sys/real_world.h"

namespace millrace {
namespace {

class RealContractWorld final : public ContractWorld {
 public:
  explicit RealContractWorld(IoBackend io) {
    absl::StatusOr<std::unique_ptr<RealWorld>> world =
        RealWorld::Create(RealWorldOptions{.io = io}, logger_);
    if (!world.ok()) FAIL(std::string(world.status().message()));
    world_ = *std::move(world);
    std::string pattern = "/tmp/millrace-contract-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~RealContractWorld() override { RunUntilDone(RemoveAll(&env().disk, folder_)); }

  Env& env() override { return world_->env(ShardId(0)); }
  void RunUntilDone(Task<void> task) override { world_->Run(std::move(task)); }
  std::string folder() override { return folder_; }
  std::string host() override { return "127.0.0.1"; }
  bool is_real() const override { return true; }

 private:
  static Task<void> RemoveAll(Disk* disk, std::string path) {
    absl::StatusOr<std::vector<DirectoryEntry>> entries = co_await disk->List(path);
    if (!entries.ok()) co_return;
    for (const DirectoryEntry& entry : *entries) {
      const std::string child = path + "/" + entry.name;
      if (entry.is_directory) {
        co_await RemoveAll(disk, child);
      } else {
        (void)co_await disk->Remove(child);
      }
    }
    (void)co_await disk->Remove(path);
  }

  NullLogger logger_;
  std::unique_ptr<RealWorld> world_;
  std::string folder_;
};

struct WorldKind {
  const char* name;
  std::unique_ptr<ContractWorld> (*make)();
};

std::vector<WorldKind> Kinds() {
  return {
      {"io_uring",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kUring);
       }},
      {"epoll",
       []() -> std::unique_ptr<ContractWorld> {
         return std::make_unique<RealContractWorld>(IoBackend::kEpoll);
       }},
  };
}

// Runs `scenario` in every world; what it did is in its result, so that the test's own thread
// judges.
template <typename Result>
void InEveryWorld(Task<Result> (*scenario)(ContractWorld* world), Result expected) {
  for (const WorldKind& kind : Kinds()) {
    CAPTURE(kind.name);
    std::unique_ptr<ContractWorld> world = kind.make();
    std::optional<Result> result;
    struct Runner {
      static Task<void> Run(Task<Result> task, std::optional<Result>* into) {
        into->emplace(co_await std::move(task));
      }
    };
    world->RunUntilDone(Runner::Run(scenario(world.get()), &result));
    REQUIRE(result.has_value());
    CHECK(*result == expected);
  }
}

using Story = std::vector<std::string>;

std::string Say(const absl::Status& status) { return absl::StatusCodeToString(status.code()); }
template <typename T>
std::string Say(const absl::StatusOr<T>& value) {
  return Say(value.status());
}
std::string Say(const absl::StatusOr<Slice>& value) {
  return value.ok() ? "'" + std::string(value->view()) + "'" : Say(value.status());
}
std::string Say(const absl::StatusOr<uint64_t>& value) {
  return value.ok() ? std::to_string(*value) : Say(value.status());
}

Chain Text(std::string_view text) { return Chain(Slice::Copy(text)); }

// ---- Files ----

Task<Story> WritesAndReads(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/a";
  auto file = co_await disk.Open(path, OpenOptions{.create = true});
  story.push_back(Say(file));
  if (!file.ok()) co_return story;
  Chain chain = Text("hello, ");
  chain.Append(Slice::Copy("world"));
  story.push_back(Say(co_await (*file)->WriteAt(0, chain, {})));
  story.push_back(Say(co_await (*file)->WriteAt(7, Text("there"), {.durable = true})));
  story.push_back(Say(co_await (*file)->ReadAt(0, 12, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->ReadAt(7, 100, ReadHint::kSequentialOnce)));
  story.push_back(Say(co_await (*file)->ReadAt(12, 10, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->ReadAt(500, 10, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->Sync()));
  story.push_back(Say(co_await (*file)->Size()));
  story.push_back(Say(co_await (*file)->Truncate(5)));
  story.push_back(Say(co_await (*file)->ReadAt(0, 12, ReadHint::kNormal)));
  story.push_back(Say(co_await (*file)->Allocate(0, 100, /*grow=*/false)));
  story.push_back(Say(co_await (*file)->Size()));
  story.push_back(Say(co_await (*file)->Allocate(0, 8, /*grow=*/true)));
  story.push_back(std::to_string((co_await (*file)->ReadAt(0, 12, ReadHint::kNormal))->size()));
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: what was written is read, short only at the end of the file") {
  InEveryWorld<Story>(&WritesAndReads, {"OK", "OK", "OK", "'hello, there'", "'there'", "''", "''",
                                        "OK", "12", "OK", "'hello'", "OK", "5", "OK", "8", "OK"});
}

Task<Story> ManyPieces(ContractWorld* world) {
  Story story;
  auto file = co_await world->env().disk.Open(world->folder() + "/a", OpenOptions{.create = true});
  if (!file.ok()) co_return Story{Say(file)};
  Chain chain;
  std::string all;
  for (int i = 0; i < 5000; ++i) {
    const std::string piece = std::to_string(i) + ",";
    chain.Append(Slice::Copy(piece));
    all += piece;
  }
  story.push_back(Say(co_await (*file)->WriteAt(3, chain, {})));
  absl::StatusOr<Slice> read = co_await (*file)->ReadAt(3, all.size(), ReadHint::kNormal);
  story.push_back(read.ok() && read->view() == all ? "same" : "different");
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: a chain of thousands of pieces is written whole and in order") {
  InEveryWorld<Story>(&ManyPieces, {"OK", "same", "OK"});
}

Task<Story> DirectFiles(ContractWorld* world) {
  Story story;
  auto file = co_await world->env().disk.Open(world->folder() + "/a",
                                              OpenOptions{.create = true, .direct = true});
  if (!file.ok()) co_return Story{Say(file)};
  const size_t alignment = (*file)->alignment();
  const bool power_of_two = alignment > 0 && (alignment & (alignment - 1)) == 0;
  story.push_back(power_of_two && alignment <= kPageSize ? "aligned" : "odd");
  MutableBuffer buffer(4 * kPageSize, kPageSize);
  for (size_t i = 0; i < buffer.size(); ++i) buffer.data()[i] = static_cast<uint8_t>(i % 251);
  Slice slice = std::move(buffer).Freeze(4 * kPageSize);
  Chain chain(slice.Sub(0, kPageSize));
  chain.Append(slice.From(kPageSize));
  story.push_back(Say(co_await (*file)->WriteAt(kPageSize, chain, {.durable = true})));
  absl::StatusOr<Slice> read = co_await (*file)->ReadAt(kPageSize, 8 * kPageSize, {});
  story.push_back(read.ok() && read->view() == slice.view() ? "same" : "different");
  absl::StatusOr<Slice> gap = co_await (*file)->ReadAt(0, kPageSize, {});
  story.push_back(gap.ok() && gap->view() == std::string(kPageSize, '\0') ? "zeroes" : "rubbish");
  story.push_back(Say(co_await (*file)->Close()));
  co_return story;
}

TEST_CASE("Disk: a direct file says its alignment, and gives back what was written durably") {
  InEveryWorld<Story>(&DirectFiles, {"aligned", "OK", "same", "zeroes", "OK"});
}

Task<Story> Names(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string folder = world->folder() + "/x/y";
  story.push_back(Say(co_await disk.List(folder)));
  story.push_back(Say(co_await disk.CreateDirectories(folder)));
  story.push_back(Say(co_await disk.CreateDirectories(folder)));
  for (const char* name : {"b", "a", "c"}) {
    auto file = co_await disk.Open(folder + "/" + name, OpenOptions{.create = true});
    if (!file.ok()) co_return Story{Say(file)};
    (void)co_await (*file)->WriteAt(0, Text(name), {});
    (void)co_await (*file)->Close();
  }
  story.push_back(Say(co_await disk.Open(folder + "/none", OpenOptions{})));
  story.push_back(
      Say(co_await disk.Open(folder + "/a", OpenOptions{.create = true, .exclusive = true})));
  story.push_back(Say(co_await disk.Rename(folder + "/c", folder + "/a")));
  story.push_back(Say(co_await disk.Rename(folder + "/c", folder + "/d")));
  story.push_back(Say(co_await disk.SyncDirectory(folder)));
  story.push_back(Say(co_await ReadWholeFile(disk, folder + "/a", 10)));
  story.push_back(Say(co_await disk.Remove(folder)));
  story.push_back(Say(co_await disk.Remove(folder + "/b")));
  story.push_back(Say(co_await disk.Remove(folder + "/b")));
  auto listed = co_await disk.List(world->folder() + "/x");
  if (!listed.ok()) co_return Story{Say(listed)};
  for (const DirectoryEntry& entry : *listed) {
    story.push_back(entry.name + (entry.is_directory ? "/" : " ") + std::to_string(entry.size));
  }
  listed = co_await disk.List(folder);
  if (!listed.ok()) co_return Story{Say(listed)};
  for (const DirectoryEntry& entry : *listed) {
    story.push_back(entry.name + (entry.is_directory ? "/" : " ") + std::to_string(entry.size));
  }
  co_return story;
}

TEST_CASE("Disk: names are made, listed in order, renamed over others and removed") {
  InEveryWorld<Story>(
      &Names, {"NOT_FOUND", "OK", "OK", "NOT_FOUND", "ALREADY_EXISTS", "OK", "NOT_FOUND", "OK",
               "'c'", "FAILED_PRECONDITION", "OK", "NOT_FOUND", "y/0", "a 1"});
}

Task<Story> Locks(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/.lock";
  {
    auto first = co_await disk.Lock(path);
    story.push_back(Say(first));
    story.push_back(Say(co_await disk.Lock(path)));
  }
  story.push_back(Say(co_await disk.Lock(path)));
  absl::StatusOr<uint64_t> free = co_await disk.FreeBytes(world->folder());
  story.push_back(free.ok() && *free > 0 ? "room" : Say(free));
  co_return story;
}

TEST_CASE("Disk: a folder's lock has one holder, and ends with it") {
  InEveryWorld<Story>(&Locks, {"OK", "FAILED_PRECONDITION", "OK", "room"});
}

Task<Story> Replaces(ContractWorld* world) {
  Story story;
  Disk& disk = world->env().disk;
  const std::string path = world->folder() + "/meta.properties";
  story.push_back(Say(co_await ReadWholeFile(disk, path, 100)));
  story.push_back(Say(co_await ReplaceFile(disk, path, "first and longer")));
  story.push_back(Say(co_await ReplaceFile(disk, path, "second")));
  story.push_back(Say(co_await ReadWholeFile(disk, path, 6)));
  story.push_back(Say(co_await ReadWholeFile(disk, path, 5)));
  auto listed = co_await disk.List(world->folder());
  story.push_back(listed.ok() ? std::to_string(listed->size()) : Say(listed));
  co_return story;
}

TEST_CASE("Disk: ReplaceFile leaves the new content and nothing else") {
  InEveryWorld<Story>(&Replaces, {"NOT_FOUND", "OK", "OK", "'second'", "OUT_OF_RANGE", "1"});
}

// ---- Sockets ----

struct Pair {
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> client;
  std::unique_ptr<Connection> server;
};

Instant Soon(Env& env) { return env.reactor.Now() + seconds(20); }

Task<absl::StatusOr<Pair>> Connected(ContractWorld* world) {
  Env& env = world->env();
  auto listener = co_await env.network.Listen({.host = world->host(), .port = 0}, {});
  if (!listener.ok()) co_return listener.status();
  auto client = co_await env.network.Connect((*listener)->local(), Soon(env));
  if (!client.ok()) co_return client.status();
  auto server = co_await (*listener)->Accept();
  if (!server.ok()) co_return server.status();
  co_return Pair{*std::move(listener), *std::move(client), *std::move(server)};
}

Task<void> CloseAll(Pair pair) {
  co_await pair.client->Close();
  co_await pair.server->Close();
  co_await pair.listener->Close();
}

Task<Story> TalksBothWays(ContractWorld* world) {
  Story story;
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  Pair& pair = *made;
  story.push_back(pair.listener->local().port != 0 ? "a port" : "port 0");
  story.push_back(pair.client->peer() == pair.listener->local() ? "same" : "other");
  story.push_back(pair.client->local() == pair.server->peer() ? "same" : "other");
  Chain chain = Text("ab");
  chain.Append(Slice::Copy("cd"));
  story.push_back(Say(co_await pair.client->Send(chain)));
  MutableBuffer buffer(6);
  buffer.data()[0] = '<';
  buffer.data()[5] = '>';
  auto filled = co_await pair.server->ReceiveExactly(std::move(buffer), 1, 5);
  if (!filled.ok()) co_return Story{Say(filled)};
  story.push_back(std::string(std::move(*filled).Freeze(6).view()));
  story.push_back(Say(co_await pair.server->Send(Text("back"))));
  story.push_back(Say(co_await pair.client->ReceiveSome(3)));
  story.push_back(Say(co_await pair.client->ReceiveSome(100)));
  co_await CloseAll(*std::move(made));
  co_return story;
}

TEST_CASE("Network: both ends of a connection talk, and know each other's address") {
  InEveryWorld<Story>(&TalksBothWays,
                      {"a port", "same", "same", "OK", "<abcd>", "OK", "'bac'", "'k'"});
}

Task<void> SendNumbers(Connection* connection, size_t slices, size_t slice_bytes,
                       std::string* said) {
  Chain chain;
  uint8_t next = 0;
  for (size_t i = 0; i < slices; ++i) {
    MutableBuffer buffer(slice_bytes);
    for (size_t j = 0; j < slice_bytes; ++j) buffer.data()[j] = next++ % 251;
    chain.Append(std::move(buffer).Freeze(slice_bytes));
  }
  *said = Say(co_await connection->Send(std::move(chain)));
  connection->Shutdown();
}

Task<Story> LargeChain(ContractWorld* world) {
  constexpr size_t kSlices = 100;
  constexpr size_t kSliceBytes = 100'003;
  Story story;
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  TaskScope scope(world->env().reactor);
  std::string said;
  scope.Spawn(SendNumbers(made->client.get(), kSlices, kSliceBytes, &said));
  uint8_t next = 0;
  size_t got = 0;
  size_t wrong = 0;
  // Half as it comes, half into a buffer.
  while (got < kSlices * kSliceBytes / 2) {
    absl::StatusOr<Slice> slice = co_await made->server->ReceiveSome(1'000'000);
    if (!slice.ok() || slice->empty()) break;
    got += slice->size();
    for (uint8_t byte : *slice) wrong += byte != next++ % 251;
  }
  const size_t rest = kSlices * kSliceBytes - got;
  auto buffer = co_await made->server->ReceiveExactly(MutableBuffer(rest), 0, rest);
  story.push_back(Say(buffer));
  if (buffer.ok()) {
    for (size_t i = 0; i < rest; ++i) wrong += buffer->data()[i] != next++ % 251;
  }
  story.push_back(std::to_string(wrong));
  story.push_back(Say(co_await made->server->ReceiveSome(10)));
  co_await scope.Join();
  story.push_back(said);
  co_await CloseAll(*std::move(made));
  co_return story;
}

TEST_CASE("Network: megabytes in many pieces arrive whole, in order, then the end of the stream") {
  InEveryWorld<Story>(&LargeChain, {"OK", "0", "''", "OK"});
}

Task<Story> EndsEarly(ContractWorld* world) {
  Story story;
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  story.push_back(Say(co_await made->client->Send(Text("abc"))));
  made->client->Shutdown();
  story.push_back(Say(co_await made->server->ReceiveExactly(MutableBuffer(4), 0, 4)));
  story.push_back(Say(co_await made->client->Send(Text("more"))));
  story.push_back(Say(co_await made->client->ReceiveSome(10)));
  co_await CloseAll(*std::move(made));
  co_return story;
}

TEST_CASE("Network: a stream that ends inside a frame is unavailable, not short") {
  InEveryWorld<Story>(&EndsEarly, {"OK", "UNAVAILABLE", "CANCELLED", "CANCELLED"});
}

Task<void> ReceiveAndSay(Connection* connection, std::string* said) {
  *said = Say(co_await connection->ReceiveSome(10));
}
Task<void> AcceptAndSay(Listener* listener, std::string* said) {
  *said = Say(co_await listener->Accept());
}
Task<void> SendUntilRefused(Connection* connection, std::string* said) {
  absl::Status status;
  while (status.ok()) status = co_await connection->Send(Text(std::string(100'000, 'x')));
  *said = Say(status);
}

Task<Story> ShutdownEnds(ContractWorld* world) {
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  TaskScope scope(world->env().reactor);
  std::string receive;
  std::string send;
  std::string accept;
  scope.Spawn(ReceiveAndSay(made->server.get(), &receive));
  scope.Spawn(SendUntilRefused(made->server.get(), &send));
  scope.Spawn(AcceptAndSay(made->listener.get(), &accept));
  // Long enough for all three to be waiting, the sender with the socket full.
  co_await Sleep(world->env().reactor, milliseconds(50));
  Story story = {receive + send + accept};
  made->server->Shutdown();
  made->listener->Shutdown();
  co_await scope.Join();
  story.push_back(receive);
  story.push_back(send);
  story.push_back(accept);
  co_await CloseAll(*std::move(made));
  co_return story;
}

TEST_CASE("Network: Shutdown ends a pending receive, send and accept") {
  InEveryWorld<Story>(&ShutdownEnds, {"", "CANCELLED", "CANCELLED", "CANCELLED"});
}

Task<Story> PeerGone(ContractWorld* world) {
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  co_await made->client->Close();
  std::string said;
  co_await SendUntilRefused(made->server.get(), &said);
  co_await CloseAll(*std::move(made));
  co_return Story{said};
}

TEST_CASE("Network: sending to a peer that is gone becomes unavailable") {
  InEveryWorld<Story>(&PeerGone, {"UNAVAILABLE"});
}

Task<Story> Refused(ContractWorld* world) {
  Env& env = world->env();
  Story story;
  auto listener = co_await env.network.Listen({.host = world->host(), .port = 0}, {});
  if (!listener.ok()) co_return Story{Say(listener)};
  const SocketAddress address = (*listener)->local();
  story.push_back(Say(co_await env.network.Listen(address, {})));
  (*listener)->Shutdown();
  co_await (*listener)->Close();
  story.push_back(Say(co_await env.network.Connect(address, Soon(env))));
  auto again = co_await env.network.Listen(address, {});
  story.push_back(Say(again));
  if (again.ok()) co_await (*again)->Close();
  co_return story;
}

TEST_CASE("Network: a port has one listener, refuses when it has none, and can be taken again") {
  InEveryWorld<Story>(&Refused, {"FAILED_PRECONDITION", "UNAVAILABLE", "OK"});
}

Task<void> Echo(Connection* connection, int* open) {
  for (;;) {
    absl::StatusOr<Slice> slice = co_await connection->ReceiveSome(100);
    if (!slice.ok() || slice->empty()) break;
    if (!(co_await connection->Send(Chain(*slice))).ok()) break;
  }
  --*open;
}

Task<Story> ManyAtOnce(ContractWorld* world) {
  constexpr int kConnections = 100;  // More than a reactor has shared receive buffers.
  Env& env = world->env();
  auto listener = co_await env.network.Listen({.host = world->host(), .port = 0}, {.backlog = 256});
  if (!listener.ok()) co_return Story{Say(listener)};
  std::vector<std::unique_ptr<Connection>> clients;
  std::vector<std::unique_ptr<Connection>> servers;
  int open = kConnections;
  TaskScope scope(env.reactor);
  for (int i = 0; i < kConnections; ++i) {
    auto client = co_await env.network.Connect((*listener)->local(), Soon(env));
    if (!client.ok()) co_return Story{Say(client)};
    auto server = co_await (*listener)->Accept();
    if (!server.ok()) co_return Story{Say(server)};
    clients.push_back(*std::move(client));
    servers.push_back(*std::move(server));
    scope.Spawn(Echo(servers.back().get(), &open));
  }
  int right = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kConnections; ++i) {
      (void)co_await clients[i]->Send(Text("c" + std::to_string(1000 + i)));
    }
    for (int i = 0; i < kConnections; ++i) {
      auto reply = co_await clients[i]->ReceiveExactly(MutableBuffer(5), 0, 5);
      if (reply.ok() && std::move(*reply).Freeze(5).view() == "c" + std::to_string(1000 + i)) {
        ++right;
      }
    }
  }
  for (auto& client : clients) co_await client->Close();
  co_await scope.Join();
  for (auto& server : servers) co_await server->Close();
  co_await (*listener)->Close();
  co_return Story{std::to_string(right), std::to_string(open)};
}

TEST_CASE("Network: a hundred connections talk at once, and each gets its own bytes") {
  InEveryWorld<Story>(&ManyAtOnce, {"300", "0"});
}

// ---- Time, other threads, helpers ----

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

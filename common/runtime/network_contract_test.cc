#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/network.h"
#include "common/runtime/contract_test_suite.h"
#include "common/runtime/event.h"
#include "common/runtime/patient_listen.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

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
  story.push_back(pair.client->peer().port == pair.listener->local().port ? "same" : "other");
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
  co_await made->server->Close();
  co_await made->listener->Close();
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

Task<void> ListenAndSay(Env* env, SocketAddress address, std::string* said) {
  auto listener = co_await ListenPatiently(*env, address, {});
  *said = Say(listener);
  if (listener.ok()) co_await (*listener)->Close();
}

Task<Story> TakenOver(ContractWorld* world) {
  Env& env = world->env();
  auto listener = co_await env.network.Listen({.host = world->host(), .port = 0}, {});
  if (!listener.ok()) co_return Story{Say(listener)};
  std::string said = "waits";
  TaskScope scope(env.reactor);
  scope.Spawn(ListenAndSay(&env, (*listener)->local(), &said));
  for (int turn = 0; turn < 10; ++turn) co_await Yield(env.reactor);
  Story story{said};
  (*listener)->Shutdown();
  co_await (*listener)->Close();
  co_await scope.Join();
  story.push_back(said);
  co_return story;
}

TEST_CASE("Network: a port that somebody is about to leave is waited for") {
  InEveryWorld<Story>(&TakenOver, {"waits", "OK"});
}

Task<void> AcceptAll(Listener* listener, std::vector<std::unique_ptr<Connection>>* accepted) {
  for (;;) {
    auto connection = co_await listener->Accept();
    if (!connection.ok()) co_return;
    accepted->push_back(*std::move(connection));
  }
}

Task<Story> SharedPort(ContractWorld* world) {
  constexpr size_t kConnections = 64;  // All on one side: once in 2^63 runs.
  Env& env = world->env();
  Story story;
  ListenOptions first;
  first.backlog = 128;
  first.sharing = PortSharing::kFirst;
  ListenOptions join = first;
  join.sharing = PortSharing::kJoin;
  auto one = co_await env.network.Listen({.host = world->host(), .port = 0}, first);
  if (!one.ok()) co_return Story{Say(one)};
  const SocketAddress address = (*one)->local();
  auto two = co_await env.network.Listen(address, join);
  story.push_back(Say(two));
  // A second node on the same port, of one shard or of several.
  story.push_back(Say(co_await env.network.Listen(address, first)));
  story.push_back(Say(co_await env.network.Listen(address, {})));
  if (!two.ok()) co_return story;
  std::vector<std::unique_ptr<Connection>> at_one, at_two, clients;
  TaskScope scope(env.reactor);
  scope.Spawn(AcceptAll(one->get(), &at_one));
  scope.Spawn(AcceptAll(two->get(), &at_two));
  for (size_t i = 0; i < kConnections; ++i) {
    auto client = co_await env.network.Connect(address, Soon(env));
    if (!client.ok()) co_return Story{Say(client)};
    clients.push_back(*std::move(client));
  }
  while (at_one.size() + at_two.size() < kConnections) co_await Yield(env.reactor);
  story.push_back(at_one.empty() || at_two.empty() ? "one side" : "both sides");
  (*one)->Shutdown();
  (*two)->Shutdown();
  co_await scope.Join();
  co_await (*one)->Close();
  co_await (*two)->Close();
  for (auto* side : {&clients, &at_one, &at_two}) {
    for (auto& connection : *side) co_await connection->Close();
  }
  auto alone = co_await env.network.Listen(address, {});
  story.push_back(Say(alone));
  if (alone.ok()) {
    story.push_back(Say(co_await env.network.Listen(address, join)));
    co_await (*alone)->Close();
  }
  co_return story;
}

TEST_CASE(
    "Network: several listeners share a port when the first one lets them, and no other does") {
  InEveryWorld<Story>(&SharedPort, {"OK", "FAILED_PRECONDITION", "FAILED_PRECONDITION",
                                    "both sides", "OK", "FAILED_PRECONDITION"});
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

Task<Story> Moves(ContractWorld* world) {
  Env& env = world->env();
  Story story;
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  // Bytes that were received and bytes that still lie in the socket.
  story.push_back(Say(co_await made->client->Send(Text("before"))));
  story.push_back(Say(co_await made->server->ReceiveSome(3)));
  const SocketAddress peer = made->server->peer();
  std::unique_ptr<DetachedConnection> detached = made->server->Detach();
  story.push_back(Say(co_await made->client->Send(Text("between"))));
  made->server = env.network.Adopt(std::move(detached));
  story.push_back(made->server->peer() == peer ? "same" : "other");
  auto rest = co_await made->server->ReceiveExactly(MutableBuffer(10), 0, 10);
  if (!rest.ok()) co_return Story{Say(rest)};
  story.push_back(std::string(std::move(*rest).Freeze(10).view()));
  story.push_back(Say(co_await made->server->Send(Text("back"))));
  story.push_back(Say(co_await made->client->ReceiveSome(10)));
  co_await CloseAll(*std::move(made));
  co_return story;
}

TEST_CASE("Network: a connection that is detached goes on where it is adopted, at the next byte") {
  InEveryWorld<Story>(&Moves, {"OK", "'bef'", "OK", "same", "orebetween", "OK", "'back'"});
}

Task<Story> DroppedWhileDetached(ContractWorld* world) {
  absl::StatusOr<Pair> made = co_await Connected(world);
  if (!made.ok()) co_return Story{std::string(made.status().message())};
  made->server->Detach().reset();
  made->server.reset();  // It need not be closed any more.
  Story story = {Say(co_await made->client->ReceiveSome(10))};
  co_await made->client->Close();
  co_await made->listener->Close();
  co_return story;
}

TEST_CASE("Network: a connection that nobody adopts is closed") {
  InEveryWorld<Story>(&DroppedWhileDetached, {"''"});
}

}  // namespace
}  // namespace millrace

#include <catch2/catch.hpp>
#include <string>

#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

// Accepts one connection at a time and sends back what it gets, until it is stopped.
class Echo {
 public:
  explicit Echo(Env& env) : env_(env), scope_(env.reactor) {}
  Task<absl::Status> Start(uint16_t port) {
    MR_CO_ASSIGN_OR_RETURN(listener_, co_await env_.network.Listen({"", port}, {}));
    scope_.Spawn(Serve());
    co_return absl::OkStatus();
  }
  Task<void> Stop() {
    if (listener_ != nullptr) listener_->Shutdown();
    if (connection_ != nullptr) connection_->Shutdown();
    co_await scope_.Stop();
    if (listener_ != nullptr) co_await listener_->Close();
    listener_.reset();
  }
  const SocketAddress& address() const { return listener_->local(); }

 private:
  Task<void> Serve() {
    for (;;) {
      absl::StatusOr<std::unique_ptr<Connection>> accepted = co_await listener_->Accept();
      if (!accepted.ok()) co_return;
      connection_ = *std::move(accepted);
      for (;;) {
        absl::StatusOr<Slice> bytes = co_await connection_->ReceiveSome(4096);
        if (!bytes.ok() || bytes->empty()) break;
        absl::Status sent = co_await connection_->Send(Chain(*bytes));
        if (!sent.ok()) break;
      }
      co_await connection_->Close();
      connection_.reset();
    }
  }
  Env& env_;
  TaskScope scope_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
};

class EchoProgram final : public SimProgram {
 public:
  explicit EchoProgram(SimProcess& process) : echo_(process.env()) {}
  Task<absl::Status> Start() override { co_return co_await echo_.Start(7); }
  Task<void> Stop() override { co_await echo_.Stop(); }

 private:
  Echo echo_;
};

std::unique_ptr<SimProgram> MakeEcho(SimProcess& process) {
  return std::make_unique<EchoProgram>(process);
}

Task<std::string> Exchange(Connection* connection, std::string text) {
  absl::Status sent = co_await connection->Send(Chain(Slice::Copy(text)));
  if (!sent.ok()) co_return sent.ToString();
  absl::StatusOr<MutableBuffer> got =
      co_await connection->ReceiveExactly(MutableBuffer(text.size()), 0, text.size());
  if (!got.ok()) co_return std::string(absl::StatusCodeToString(got.status().code()));
  co_return std::string(reinterpret_cast<const char*>(got->data()), got->size());
}

struct TwoNodes {
  explicit TwoNodes(uint64_t seed)
      : world(seed), server(world.AddNode("server")), client(world.AddNode("client")) {
    server.Start(MakeEcho);
    env = &client.Boot();
    REQUIRE(
        world.RunUntil([this] { return server.state() == SimNode::State::kRunning; }, seconds(1)));
  }
  absl::StatusOr<std::unique_ptr<Connection>> Connect(Duration patience = seconds(1)) {
    return world.Run(*env, env->network.Connect({"server", 7}, world.Now() + patience));
  }
  void Close(std::unique_ptr<Connection> connection) { world.Run(*env, connection->Close()); }
  SimWorld world;
  SimNode& server;
  SimNode& client;
  Env* env;
};

}  // namespace

TEST_CASE("SimNetwork: bytes come back in order, whatever the segments") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    TwoNodes two(seed);
    auto connection = two.Connect();
    REQUIRE(connection.ok());
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += static_cast<char>('a' + i % 26);
    REQUIRE(two.world.Run(*two.env, Exchange(connection->get(), text)) == text);
    two.Close(*std::move(connection));
  }
}

TEST_CASE("SimNetwork: a connection moves to another shard of its process, and no further") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    SimWorld world(seed);
    SimNode& server = world.AddNode("server");
    Env& first = server.Boot(2);
    Env& second = server.process().env(1);
    Env& client = world.AddNode("client").Boot();
    auto listener = world.Run(first, first.network.Listen({"", 7}, {}));
    REQUIRE(listener.ok());
    auto from = world.Run(client, client.network.Connect({"server", 7}, world.Now() + seconds(1)));
    auto at = world.Run(first, (*listener)->Accept());
    REQUIRE(from.ok());
    REQUIRE(at.ok());
    REQUIRE(world.Run(client, (*from)->Send(Chain(Slice::Copy("hello")))).ok());
    auto moved = second.network.Adopt((*at)->Detach());
    auto got = world.Run(second, moved->ReceiveExactly(MutableBuffer(5), 0, 5));
    REQUIRE(got.ok());
    CHECK(std::string(std::move(*got).Freeze(5).view()) == "hello");
    world.Run(second, moved->Close());
    world.Run(client, (*from)->Close());
    world.Run(first, (*listener)->Close());
  }
}

TEST_CASE("SimNetwork: nobody listening refuses, nobody there does not answer") {
  TwoNodes two(1);
  const Instant deadline = two.world.Now() + seconds(1);
  auto refused = two.world.Run(*two.env, two.env->network.Connect({"server", 8}, deadline));
  REQUIRE(absl::IsUnavailable(refused.status()));
  auto unknown = two.world.Run(*two.env, two.env->network.Connect({"nobody", 8}, deadline));
  REQUIRE(absl::IsUnavailable(unknown.status()));
  two.server.PowerLoss();
  REQUIRE(absl::IsDeadlineExceeded(two.Connect().status()));
}

TEST_CASE("SimNetwork: a cut holds bytes back and a heal lets them through") {
  TwoNodes two(2);
  auto connection = two.Connect();
  REQUIRE(connection.ok());
  two.world.network().CutOneWay(two.client, two.server);
  two.world.After(seconds(3), [&] { two.world.network().HealAll(); });
  const Instant before = two.world.Now();
  REQUIRE(two.world.Run(*two.env, Exchange(connection->get(), "late")) == "late");
  REQUIRE(two.world.Now() - before >= seconds(3));
  two.Close(*std::move(connection));
}

TEST_CASE("SimNetwork: a cut that lasts breaks the connection at the side that sends") {
  TwoNodes two(3);
  auto connection = two.Connect();
  REQUIRE(connection.ok());
  two.world.network().Cut(two.client, two.server);
  REQUIRE(two.world.Run(*two.env, Exchange(connection->get(), "x")) == "UNAVAILABLE");
  two.Close(*std::move(connection));
  REQUIRE(absl::IsDeadlineExceeded(two.Connect().status()));
}

TEST_CASE("SimNetwork: a killed peer resets, a peer without power is silent until it is back") {
  for (bool power : {false, true}) {
    TwoNodes two(4);
    auto connection = two.Connect();
    REQUIRE(connection.ok());
    if (power) {
      two.server.PowerLoss();
      two.world.After(seconds(5), [&] { two.server.Start(MakeEcho); });
    } else {
      two.server.Kill();
    }
    const Instant before = two.world.Now();
    const std::string answer = two.world.Run(*two.env, Exchange(connection->get(), "x"));
    REQUIRE(answer.find("UNAVAILABLE") != std::string::npos);
    REQUIRE((two.world.Now() - before >= seconds(5)) == power);
    two.Close(*std::move(connection));
  }
}

TEST_CASE("SimNetwork: a sender waits when the receiver does not read") {
  SimOptions options;
  options.network.buffer_bytes = 10'000;
  SimWorld world(5, options);
  Env& env = world.AddNode("n1").Boot();
  auto listener = world.Run(env, env.network.Listen({"", 0}, {}));
  REQUIRE(listener.ok());
  REQUIRE((*listener)->local().port != 0);
  auto client =
      world.Run(env, env.network.Connect({"", (*listener)->local().port}, Instant(1'000'000'000)));
  auto server = world.Run(env, (*listener)->Accept());
  REQUIRE(client.ok());
  REQUIRE(server.ok());

  TaskScope scope(env.reactor);
  absl::Status sent = absl::UnknownError("still sending");
  struct Sender {
    static Task<void> Run(Connection* connection, absl::Status* result) {
      *result = co_await connection->Send(Chain(Slice::Copy(std::string(30'000, 'x'))));
    }
  };
  scope.Spawn(Sender::Run(client->get(), &sent));
  world.RunFor(seconds(1));
  REQUIRE(absl::IsUnknown(sent));
  size_t received = 0;
  while (received < 30'000) {
    auto bytes = world.Run(env, (*server)->ReceiveSome(4096));
    REQUIRE(bytes.ok());
    received += bytes->size();
  }
  world.RunFor(seconds(1));
  REQUIRE(sent.ok());

  (*client)->Shutdown();
  auto end = world.Run(env, (*server)->ReceiveSome(10));
  REQUIRE(end.ok());
  REQUIRE(end->empty());
  REQUIRE(absl::IsCancelled(world.Run(env, (*client)->ReceiveSome(10)).status()));
  world.Run(env, (*client)->Close());
  world.Run(env, (*server)->Close());
  world.Run(env, (*listener)->Close());
  world.Run(env, scope.Stop());
}

}  // namespace millrace

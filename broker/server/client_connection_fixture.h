// What tests of ClientConnection have: a handler that does what requests say, and one served
// connection with the client at its other end, in a simulated world.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/server/client_connection.h"
#include "broker/server/request_budget.h"
#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_contract_world.h"

namespace millrace {

using Story = std::vector<std::string>;

inline Chain Framed(const std::string& payload) {
  std::string bytes(sizeof(int32_t), '\0');
  StoreBig<int32_t>(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<int32_t>(payload.size()));
  return Chain(Slice::Copy(bytes + payload));
}

// Does what a request says: "verb" or "verb:argument".
class Scripted final : public RequestHandler {
 public:
  explicit Scripted(Reactor& reactor) : go(reactor), reactor_(reactor) {}

  Task<ApiReply> Handle(Slice frame, std::shared_ptr<ConnectionContext>,
                        std::shared_ptr<RequestOrder> order, CancellationToken cancel,
                        CancellationToken drain) override {
    const std::string text(frame.view());
    const std::string verb = text.substr(0, text.find(':'));
    story.push_back(text);
    if (verb == "hold") co_await go.Wait(std::nullopt, cancel);  // Keeps its turn.
    if (verb == "close") co_return ApiReply::Close("asked to");
    if (verb == "silent") co_return ApiReply::Silent();
    if (verb == "take") {
      ApiReply reply;
      reply.action = ApiReply::Action::kTake;
      reply.take = &Greet;
      co_return reply;
    }
    order->Release();
    if (verb == "wait") {
      while (!cancel.cancelled() && !go.is_set() && turns_ == 0) {
        co_await go.Wait(std::nullopt, cancel);
      }
      if (turns_ > 0) --turns_;
    }
    if (verb == "poll") co_await Sleep(reactor_, seconds(1000000), drain);
    if (verb == "front") co_await order->Front(cancel);
    story.push_back(text + " ends");
    if (verb == "big") {
      co_return ApiReply{ApiReply::Action::kSend, Framed(Big(text)), {}, std::move(hold)};
    }
    co_return ApiReply{ApiReply::Action::kSend, Framed(text), {}, nullptr};
  }

  // Speaks something else: says what it is, then echoes one piece.
  static Task<void> Greet(std::unique_ptr<Connection> connection) {
    (void)co_await connection->Send(Framed("another protocol"));
    absl::StatusOr<Slice> said = co_await connection->ReceiveSome(100);
    if (said.ok() && !said->empty()) (void)co_await connection->Send(Chain(*said));
    co_await connection->Close();
  }
  static std::string Big(const std::string& text) {
    return std::string(std::stoul(text.substr(text.find(':') + 1)), 'b');
  }

  // One of those that wait goes on.
  void TakeOne() {
    ++turns_;
    go.Pulse();
  }

  Story story;
  Event go;
  std::shared_ptr<ByteHold> hold;  // Of the next big reply.

 private:
  int turns_ = 0;
  Reactor& reactor_;
};

// One served connection and the client at its other end.
struct Bench {
  explicit Bench(Env& world, ClientConnectionOptions connection_options = {})
      : env(world),
        options(connection_options),
        handler(world.reactor),
        budget(world.reactor, size_t{1} << 20, options.frame_bytes_max),
        scope(world.reactor) {}

  static Task<void> Serve(Bench* bench) {
    co_await bench->served->Serve();
    bench->ended = bench->env.reactor.Now();
  }
  Task<void> Open() {
    auto listening = co_await env.network.Listen({"127.0.0.1", 0}, {});
    MR_CHECK(listening.ok());
    auto connected =
        co_await env.network.Connect((*listening)->local(), env.reactor.Now() + seconds(5));
    MR_CHECK(connected.ok());
    client = *std::move(connected);
    auto accepted = co_await (*listening)->Accept();
    MR_CHECK(accepted.ok());
    (*listening)->Shutdown();
    co_await (*listening)->Close();
    served = std::make_unique<ClientConnection>(env, *std::move(accepted), "PLAINTEXT", handler,
                                                budget, options);
    opened = env.reactor.Now();
    scope.Spawn(Serve(this));
  }
  Task<void> Say(std::string payload) { MR_CHECK((co_await client->Send(Framed(payload))).ok()); }
  Task<std::string> Hear() {
    std::string got;
    size_t wanted = sizeof(int32_t);
    while (got.size() < wanted) {
      absl::StatusOr<Slice> more = co_await client->ReceiveSome(wanted - got.size());
      if (!more.ok() || more->empty()) co_return "(closed)";
      got += more->view();
      if (got.size() == sizeof(int32_t)) {
        wanted += LoadBig<uint32_t>(reinterpret_cast<const uint8_t*>(got.data()));
      }
    }
    co_return got.substr(sizeof(int32_t));
  }
  // Until what was sent has arrived and everything that can happen has.
  Task<void> Settle() { co_await Sleep(env.reactor, milliseconds(50)); }
  Task<void> End() {
    client->Shutdown();
    co_await scope.Join();
    co_await client->Close();
  }

  Env& env;
  const ClientConnectionOptions options;
  Scripted handler;
  RequestBudget budget;
  TaskScope scope;
  std::unique_ptr<Connection> client;
  std::unique_ptr<ClientConnection> served;
  Instant opened{0};
  std::optional<Instant> ended;
};

// Runs `scenario` and gives the story it told.
inline Story Tell(Task<void> (*scenario)(Bench* bench, Story* story),
                  ClientConnectionOptions options = {}, uint64_t seed = 1) {
  SimContractWorld world(seed);
  Bench bench(world.env(), options);
  Story story;
  struct Runner {
    static Task<void> Run(Task<void> scenario, Bench* bench) {
      co_await bench->Open();
      co_await scenario;
      co_await bench->End();
    }
  };
  world.RunUntilDone(Runner::Run(scenario(&bench, &story), &bench));
  return story;
}

}  // namespace millrace

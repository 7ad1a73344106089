// One port, two languages: a listener of the Server with a StreamAcceptor.
#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/server/connection_admission.h"
#include "broker/server/server.h"
#include "common/bytes/endian.h"
#include "common/runtime/sim/sim_contract_world.h"
#include "controller/transport/control_frames.h"
#include "controller/transport/framed_streams.h"

namespace millrace {
namespace {

// Answers what it was asked.
class Echo final : public RequestHandler {
 public:
  Task<ApiReply> Handle(Slice frame, std::shared_ptr<ConnectionContext>,
                        std::shared_ptr<RequestOrder> order, CancellationToken,
                        CancellationToken) override {
    order->Release();
    std::string bytes(sizeof(int32_t), '\0');
    StoreBig<int32_t>(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<int32_t>(frame.size()));
    co_return ApiReply{ApiReply::Action::kSend,
                       Chain(Slice::Copy(bytes + std::string(frame.view()))),
                       {},
                       nullptr};
  }
};

ConnectionQuotaOptions QuotaOfTwo() {
  ConnectionQuotaOptions options;
  options.per_address_max = 2;  // Of this machine more are admitted than total_max.
  return options;
}

struct Bench {
  explicit Bench(Env& world)
      : env(world),
        acceptor(world),
        dialer(world),
        admission(QuotaOfTwo()),
        budget(world.reactor, size_t{1} << 20, size_t{1} << 20) {
    acceptor.OnStream(
        StreamKind::kBroker,
        [](const StreamHello&) -> absl::StatusOr<StreamWelcome> {
          return StreamWelcome{.from = BrokerId(2), .from_directory = std::nullopt};
        },
        [this](std::unique_ptr<MessageStream> stream) { streams.push_back(std::move(stream)); });
  }

  Task<void> Start() {
    ServerOptions options;
    options.listeners.push_back(
        {.name = "CONTROLLER", .bind = {"127.0.0.1", 0}, .socket = {}, .streams = &acceptor});
    server = std::make_unique<Server>(env, std::move(options), echo, budget, admission);
    MR_CHECK((co_await server->Listen()).ok());
    server->Accept();
  }
  Task<void> Stop() {
    // As a node does: whoever uses a stream closes it when the server is about to stop.
    while (!streams.empty()) {
      std::unique_ptr<MessageStream> stream = std::move(streams.front());
      streams.pop_front();
      co_await stream->Close();
    }
    co_await server->Stop();
  }
  SocketAddress address() const { return server->BoundAddress("CONTROLLER"); }
  Task<std::unique_ptr<Connection>> Connect() {
    auto made = co_await env.network.Connect(address(), env.reactor.Now() + seconds(5));
    MR_CHECK(made.ok());
    co_return *std::move(made);
  }
  Task<std::unique_ptr<MessageStream>> Dial() {
    StreamHello hello{.kind = StreamKind::kBroker,
                      .cluster_id = "c",
                      .from = BrokerId(1),
                      .from_directory = std::nullopt,
                      .to = BrokerId(2)};
    auto made = co_await dialer.Dial(address(), hello, env.reactor.Now() + seconds(5));
    MR_CHECK(made.ok());
    co_return *std::move(made);
  }
  Task<void> Settle() { co_await Sleep(env.reactor, milliseconds(50)); }

  Env& env;
  Echo echo;
  FramedAcceptor acceptor;
  FramedDialer dialer;
  LocalAdmission admission;
  RequestBudget budget;
  std::unique_ptr<Server> server;
  std::deque<std::unique_ptr<MessageStream>> streams;
};

void Play(Task<void> (*scenario)(Bench* bench), uint64_t seed = 1) {
  SimContractWorld world(seed);
  Bench bench(world.env());
  struct Runner {
    static Task<void> Run(Task<void> scenario, Bench* bench) {
      co_await bench->Start();
      co_await scenario;
      co_await bench->Stop();
    }
  };
  world.RunUntilDone(Runner::Run(scenario(&bench), &bench));
  CHECK(bench.admission.total() == 0);
}

Task<std::string> Ask(Connection* connection, std::string what) {
  std::string bytes(sizeof(int32_t), '\0');
  StoreBig<int32_t>(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<int32_t>(what.size()));
  (void)co_await connection->Send(Chain(Slice::Copy(bytes + what)));
  auto answer =
      co_await connection->ReceiveExactly(MutableBuffer(4 + what.size()), 0, 4 + what.size());
  if (!answer.ok()) co_return "(closed)";
  co_return std::string(reinterpret_cast<const char*>(answer->data()) + 4, what.size());
}

Task<void> End(std::unique_ptr<Connection> connection) {
  connection->Shutdown();
  co_await connection->Close();
}

// How long the server kept it, from now on.
Task<Duration> UntilClosed(Bench* bench, Connection* connection) {
  const Instant began = bench->env.reactor.Now();
  absl::StatusOr<Slice> answer = Slice::OfStatic("?");
  while (answer.ok() && !answer->empty()) answer = co_await connection->ReceiveSome(100);
  co_return bench->env.reactor.Now() - began;
}

}  // namespace

TEST_CASE("Server: one port serves Kafka clients and streams between nodes") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Play(
        [](Bench* bench) -> Task<void> {
          std::unique_ptr<Connection> client = co_await bench->Connect();
          CHECK(co_await Ask(client.get(), "hello") == "hello");
          std::unique_ptr<MessageStream> stream = co_await bench->Dial();
          co_await bench->Settle();
          REQUIRE(bench->streams.size() == 1);
          CHECK((co_await stream->Send("to the controller")).ok());
          absl::StatusOr<std::string> got = co_await bench->streams.front()->Receive();
          CHECK(got.value_or("") == "to the controller");
          CHECK(co_await Ask(client.get(), "still here") == "still here");
          co_await End(std::move(client));
          co_await stream->Close();
        },
        seed);
  }
}

TEST_CASE("Server: first bytes that come one at a time tell as well") {
  Play([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> slow = co_await bench->Connect();
    StreamHello hello{.kind = StreamKind::kBroker,
                      .cluster_id = "c",
                      .from = BrokerId(1),
                      .from_directory = std::nullopt,
                      .to = std::nullopt};
    Chain beginning(Slice::OfStatic(kControlPreface));
    beginning.Append(EncodeControlFrame(ControlFrameType::kHello, EncodeHello(hello)));
    for (const char byte : std::string(beginning.Flatten().view())) {
      (void)co_await slow->Send(Chain(Slice::Copy(std::string(1, byte))));
      co_await Sleep(bench->env.reactor, milliseconds(2));
    }
    co_await bench->Settle();
    CHECK(bench->streams.size() == 1);
    co_await End(std::move(slow));
  });
}

TEST_CASE("Server: a stream counts against the quota of connections until it is closed") {
  Play([](Bench* bench) -> Task<void> {
    std::unique_ptr<MessageStream> one = co_await bench->Dial();
    std::unique_ptr<MessageStream> two = co_await bench->Dial();
    std::unique_ptr<Connection> refused = co_await bench->Connect();
    CHECK(co_await Ask(refused.get(), "hello") == "(closed)");
    co_await End(std::move(refused));
    CHECK(bench->admission.total() == 2);
    co_await one->Close();
    co_await bench->Settle();
    REQUIRE(bench->streams.size() == 2);
    // The other side breaks, and its user has closed it: now it has left.
    CHECK(bench->admission.total() == 2);
    for (std::unique_ptr<MessageStream>& stream : bench->streams) {
      if ((co_await stream->Receive()).ok()) continue;
      co_await stream->Close();
      stream = nullptr;
      break;
    }
    std::erase(bench->streams, nullptr);
    co_await bench->Settle();
    CHECK(bench->admission.total() == 1);
    std::unique_ptr<Connection> client = co_await bench->Connect();
    CHECK(co_await Ask(client.get(), "hello") == "hello");
    co_await End(std::move(client));
    co_await two->Close();
  });
}

TEST_CASE("Server: first bytes that stall or never come have the limits of any connection") {
  const std::string beginnings[] = {"\xff", std::string(kControlPreface.substr(0, 7)), "P",
                                    std::string(1, '\0'), ""};
  for (const std::string& beginning : beginnings) {
    CAPTURE(beginning);
    SimContractWorld world(3);
    Bench bench(world.env());
    struct Runner {
      static Task<void> Run(Bench* bench, std::string beginning) {
        co_await bench->Start();
        std::unique_ptr<Connection> silent = co_await bench->Connect();
        if (!beginning.empty()) {
          (void)co_await silent->Send(Chain(Slice::Copy(beginning)));
        }
        const Duration kept = co_await UntilClosed(bench, silent.get());
        const ClientConnectionOptions limits;
        CHECK(kept >= (beginning.empty() ? *limits.idle_max : limits.frame_max) - seconds(1));
        CHECK(kept <= (beginning.empty() ? *limits.idle_max : limits.frame_max) + 2 * seconds(60));
        co_await End(std::move(silent));
        co_await bench->Stop();
      }
    };
    world.RunUntilDone(Runner::Run(&bench, beginning));
    CHECK(bench.admission.total() == 0);
  }
}

TEST_CASE("Server: a stream is not idle for the listener, and hostile ones go") {
  Play([](Bench* bench) -> Task<void> {
    std::unique_ptr<MessageStream> stream = co_await bench->Dial();
    co_await Sleep(bench->env.reactor, seconds(3000));
    CHECK((co_await stream->Send("after an hour")).ok());
    absl::StatusOr<std::string> got = co_await bench->streams.front()->Receive();
    CHECK(got.value_or("") == "after an hour");
    for (const std::string& bytes :
         {std::string(kControlPreface) + std::string(64, '\x7f'), std::string(4096, '\xff'),
          std::string(kControlPreface), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
      std::unique_ptr<Connection> hostile = co_await bench->Connect();
      (void)co_await hostile->Send(Chain(Slice::Copy(bytes)));
      CHECK(co_await UntilClosed(bench, hostile.get()) <= seconds(60));
      co_await End(std::move(hostile));
    }
    co_await stream->Close();
  });
}

TEST_CASE("Server: Stop ends the streams after its clients, and waits for their users") {
  SimContractWorld world(5);
  Bench bench(world.env());
  struct Runner {
    static Task<void> CloseWhenOver(MessageStream* stream, bool* closed) {
      (void)co_await stream->Receive();
      co_await stream->Close();
      *closed = true;
    }
    static Task<void> Run(Bench* bench) {
      co_await bench->Start();
      std::unique_ptr<MessageStream> stream = co_await bench->Dial();
      co_await bench->Settle();
      TaskScope scope(bench->env.reactor);
      bool closed = false;
      scope.Spawn(CloseWhenOver(bench->streams.front().get(), &closed));
      co_await bench->server->Stop();
      CHECK(closed);
      co_await scope.Join();
      CHECK(absl::IsUnavailable((co_await stream->Receive()).status()));
      co_await stream->Close();
    }
  };
  world.RunUntilDone(Runner::Run(&bench));
  CHECK(bench.admission.total() == 0);
}

}  // namespace millrace

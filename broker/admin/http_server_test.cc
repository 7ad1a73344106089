#include "broker/admin/http_server.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/admin/admin_pages.h"
#include "common/runtime/patient_listen.h"
#include "common/runtime/sim/sim_contract_world.h"

namespace millrace {
namespace {

// Says what it was asked; "/slow" waits for go.
class Echo final : public HttpHandler {
 public:
  explicit Echo(Reactor& reactor) : go(reactor) {}
  Task<HttpResponse> Handle(HttpRequest request) override {
    ++asked;
    if (request.path == "/slow") co_await go.Wait();
    HttpResponse response;
    response.body = request.path;
    co_return response;
  }
  Event go;
  int asked = 0;
};

// A server and who connects to it.
struct Bench {
  Bench(Env& world, HttpServerOptions options)
      : env(world), echo(world.reactor), server(world, echo, options) {}

  Task<std::unique_ptr<Connection>> Connect() {
    auto connected =
        co_await env.network.Connect(server.addresses().front(), env.reactor.Now() + seconds(5));
    MR_CHECK(connected.ok());
    co_return *std::move(connected);
  }
  static Task<void> Say(Connection* client, std::string text) {
    (void)co_await client->Send(Chain(Slice::Copy(text)));
  }
  // Everything until `count` answers have come, or the connection has ended.
  static Task<std::string> Hear(Connection* client, size_t count = 1) {
    std::string got;
    while (Answers(got) < count) {
      absl::StatusOr<Slice> more = co_await client->ReceiveSome(4096);
      if (!more.ok() || more->empty()) co_return got + "(closed)";
      got += more->view();
    }
    co_return got;
  }
  static size_t Answers(std::string_view text) {
    size_t answers = 0;
    for (;;) {
      const size_t head = text.find("\r\n\r\n");
      if (head == std::string_view::npos) return answers;
      constexpr std::string_view kLength = "Content-Length: ";
      const size_t at = text.find(kLength);
      const size_t length = std::stoul(std::string(text.substr(at + kLength.size(), 8)));
      if (text.size() - head - 4 < length) return answers;
      text.remove_prefix(head + 4 + length);
      ++answers;
    }
  }
  static Task<void> End(std::unique_ptr<Connection> client) {
    client->Shutdown();
    co_await client->Close();
  }
  Task<void> Settle() { co_await Sleep(env.reactor, milliseconds(50)); }

  Env& env;
  Echo echo;
  HttpServer server;
};

void Tell(Task<void> (*scenario)(Bench* bench), HttpServerOptions options = {}) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SimContractWorld world(seed);
    Bench bench(world.env(), options);
    struct Runner {
      static Task<void> Run(Task<void> scenario, Bench* bench) {
        MR_CHECK((co_await bench->server.Listen({"127.0.0.1", 0})).ok());
        co_await scenario;
        co_await bench->server.Stop();
      }
    };
    world.RunUntilDone(Runner::Run(scenario(&bench), &bench));
    CHECK(bench.server.connections() == 0);
  }
}

const std::string kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

}  // namespace

TEST_CASE(
    "HttpServer: an address that is in use is listened on when it is left, or the caller told") {
  Tell([](Bench* bench) -> Task<void> {
    auto other = co_await bench->env.network.Listen({"127.0.0.1", 0}, {});
    REQUIRE(other.ok());
    const SocketAddress address = (*other)->local();
    CHECK_FALSE((co_await bench->server.Listen(address, PortInUse::kFail)).ok());
    std::string told;
    const auto tell = [&told](const absl::Status& failed) { told = std::string(failed.message()); };
    bench->server.ListenLater(address, tell);
    co_await Sleep(bench->env.reactor, kListenPatience + seconds(1));
    CHECK(told.find(address.ToString()) != std::string::npos);
    CHECK(bench->server.addresses().size() == 1);

    told.clear();
    bench->server.ListenLater(address, tell);
    co_await bench->Settle();
    CHECK(bench->server.addresses().size() == 1);
    (*other)->Shutdown();
    co_await (*other)->Close();
    co_await bench->Settle();
    CHECK(bench->server.addresses().size() == 2);
    // One that still waits when the server stops.
    auto third = co_await bench->env.network.Listen({"127.0.0.1", 0}, {});
    REQUIRE(third.ok());
    bench->server.ListenLater((*third)->local(), tell);
    co_await bench->Settle();
    co_await bench->server.Stop();
    CHECK(told.empty());
    co_await (*third)->Close();
  });
}

TEST_CASE("HttpServer: a connection serves one request after the other") {
  Tell([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> client = co_await bench->Connect();
    for (int i = 0; i < 3; ++i) {
      co_await Bench::Say(client.get(), kGet);
      const std::string answer = co_await Bench::Hear(client.get());
      CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
      CHECK(answer.ends_with("\r\n\r\n/a"));
    }
    // And those that came at once, in their order.
    co_await Bench::Say(client.get(), kGet + kGet + "HEAD /b HTTP/1.0\r\n\r\n");
    const std::string answers = co_await Bench::Hear(client.get(), 4);
    CHECK(answers.find("/aHTTP/1.1 200") != std::string::npos);
    CHECK(
        answers.ends_with("Connection: close\r\nCache-Control: no-store\r\n"
                          "X-Content-Type-Options: nosniff\r\n\r\n(closed)"));
    co_await Bench::End(std::move(client));
  });
}

TEST_CASE("HttpServer: what is no request is answered with a status, and the connection ends") {
  Tell([](Bench* bench) -> Task<void> {
    const std::string binary("\x00\x00\x00\x10\x00\x12\r\n\r\n", 10);
    const std::vector<std::pair<std::string, std::string>> cases = {
        {binary, "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413 "},
        {"GET / HTTP/1.1\r\nX: " + std::string(100000, 'y'), "HTTP/1.1 431 "},
        {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505 "},
    };
    for (const auto& [bytes, status] : cases) {
      std::unique_ptr<Connection> client = co_await bench->Connect();
      co_await Bench::Say(client.get(), bytes);
      const std::string answer = co_await Bench::Hear(client.get());
      CHECK(answer.starts_with(status));
      CHECK((co_await Bench::Hear(client.get(), 9)).ends_with("(closed)"));
      co_await Bench::End(std::move(client));
    }
    CHECK(bench->echo.asked == 0);
  });
}

TEST_CASE("HttpServer: a request that comes in drops does not get more time for it") {
  Tell([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> client = co_await bench->Connect();
    const Instant start = bench->env.reactor.Now();
    for (int i = 0; i < 100; ++i) {
      co_await Bench::Say(client.get(), i == 0 ? "GET / HTTP/1.1\r\nX: " : "x");
      co_await Sleep(bench->env.reactor, milliseconds(500));
      if (bench->server.connections() == 0) break;
    }
    const Duration lasted = bench->env.reactor.Now() - start;
    CHECK(lasted >= seconds(10));
    CHECK(lasted < seconds(12));
    co_await Bench::End(std::move(client));
  });
}

TEST_CASE("HttpServer: a quiet connection ends in the end, a used one does not") {
  Tell([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> quiet = co_await bench->Connect();
    std::unique_ptr<Connection> used = co_await bench->Connect();
    co_await Bench::Say(quiet.get(), kGet);
    (void)co_await Bench::Hear(quiet.get());
    for (int i = 0; i < 5; ++i) {
      co_await Bench::Say(used.get(), kGet);
      CHECK((co_await Bench::Hear(used.get())).ends_with("/a"));
      co_await Sleep(bench->env.reactor, seconds(15));
    }
    CHECK((co_await Bench::Hear(quiet.get())) == "(closed)");
    CHECK(bench->server.connections() == 1);
    co_await Bench::End(std::move(quiet));
    co_await Bench::End(std::move(used));
  });
}

TEST_CASE("HttpServer: who does not read its answer does not stay") {
  Tell([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> client = co_await bench->Connect();
    std::string many;
    for (int i = 0; i < 20000; ++i) many += kGet;
    co_await Bench::Say(client.get(), many.substr(0, 100000));
    co_await Sleep(bench->env.reactor, seconds(180));
    CHECK(bench->server.connections() == 0);
    co_await Bench::End(std::move(client));
  });
}

TEST_CASE("HttpServer: nobody can keep others out by sitting there") {
  Tell(
      [](Bench* bench) -> Task<void> {
        std::vector<std::unique_ptr<Connection>> sitting;
        for (int i = 0; i < 20; ++i) {
          sitting.push_back(co_await bench->Connect());
          co_await Sleep(bench->env.reactor, milliseconds(5));
          CHECK(bench->server.connections() <= 4);
        }
        std::unique_ptr<Connection> client = co_await bench->Connect();
        co_await Bench::Say(client.get(), kGet);
        CHECK((co_await Bench::Hear(client.get())).ends_with("/a"));
        co_await Bench::End(std::move(client));
        for (auto& one : sitting) co_await Bench::End(std::move(one));
      },
      {.connections_max = 4});
}

TEST_CASE("HttpServer: a stop ends connections of every kind") {
  Tell([](Bench* bench) -> Task<void> {
    std::unique_ptr<Connection> idle = co_await bench->Connect();
    std::unique_ptr<Connection> half = co_await bench->Connect();
    std::unique_ptr<Connection> waiting = co_await bench->Connect();
    co_await Bench::Say(half.get(), "GET /");
    co_await Bench::Say(waiting.get(), "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    co_await bench->Settle();
    CHECK(bench->server.connections() == 3);
    bench->echo.go.Set();
    co_await bench->server.Stop();
    CHECK(bench->server.connections() == 0);
    co_await Bench::End(std::move(idle));
    co_await Bench::End(std::move(half));
    co_await Bench::End(std::move(waiting));
  });
}

namespace {

class FakeSource final : public AdminSource {
 public:
  NodeStatus Status() const override { return status; }
  Task<MetricSnapshot> Metrics() override {
    co_return MetricSnapshot{{{"x_total", "X."}, MetricKind::kCounter, 3.0}};
  }
  NodeStatus status;
};

HttpResponse Ask(FakeSource& source, std::string method, std::string path) {
  SimContractWorld world(1);
  AdminPages pages(source);
  HttpResponse response;
  struct Runner {
    static Task<void> Run(AdminPages* pages, HttpRequest request, HttpResponse* response) {
      *response = co_await pages->Handle(std::move(request));
    }
  };
  world.RunUntilDone(
      Runner::Run(&pages, {std::move(method), std::move(path), "", true}, &response));
  return response;
}

}  // namespace

TEST_CASE("AdminPages: ready only while it serves, alive all the time") {
  FakeSource source;
  for (NodeStage stage : {NodeStage::kStarting, NodeStage::kRecovering, NodeStage::kRegistering,
                          NodeStage::kStopping}) {
    source.status.stage = stage;
    HttpResponse response = Ask(source, "GET", "/readyz");
    CHECK(response.status == 503);
    CHECK(response.body == std::string(NodeStageName(stage)) + "\n");
    CHECK(Ask(source, "GET", "/livez").status == 200);
    CHECK(Ask(source, "GET", "/status").status == 200);
  }
  source.status.stage = NodeStage::kServing;
  source.status.not_ready = "fenced";
  CHECK(Ask(source, "GET", "/readyz").body == "serving, but fenced\n");
  source.status.not_ready.reset();
  CHECK(Ask(source, "GET", "/readyz").status == 200);
}

TEST_CASE("AdminPages: pages, and what is none") {
  FakeSource source;
  CHECK(Ask(source, "GET", "/metrics").body.find("\nx_total 3\n") != std::string::npos);
  CHECK(Ask(source, "GET", "/").status == 200);
  CHECK(Ask(source, "GET", "/livez/").status == 404);
  CHECK(Ask(source, "GET", "/../etc/passwd").status == 404);
  HttpResponse response = Ask(source, "DELETE", "/status");
  CHECK(response.status == 405);
  CHECK(response.headers.front() == std::pair<std::string, std::string>("Allow", "GET, HEAD"));
}

TEST_CASE("NodeStatus: the JSON that scripts read") {
  NodeStatus status;
  status.version = "1.2";
  status.node_id = BrokerId(3);
  status.cluster_id = "c\"1";
  status.roles = {"broker", "controller"};
  status.reactor = "epoll";
  status.shards = 2;
  status.uptime = milliseconds(1500);
  status.stage = NodeStage::kServing;
  status.listeners = {{"PLAINTEXT", "h:9092"}};
  status.directories = {{"/a", std::nullopt, true}, {"/b", "broken", false, true}};
  status.metadata_index = RaftIndex(7);
  status.controller = BrokerId(1);
  status.brokers = {{BrokerId(3), "h:9092", false}};
  status.topics = 1;
  status.partitions = 6;
  status.led = 2;
  status.replicas = 4;
  status.under_replicated = 1;
  status.reassigning = 1;
  CHECK(
      NodeStatusJson(status) ==
      R"({"ready":true,"status":"ready","version":"1.2","node_id":3,"cluster_id":"c\"1",)"
      R"("roles":["broker","controller"],"rack":null,"reactor":"epoll","shards":2,)"
      R"("uptime_ms":1500,"listeners":[{"name":"PLAINTEXT","address":"h:9092"}],)"
      R"("log_directories":[{"path":"/a","online":true,"full":true,"slow":false},)"
      R"({"path":"/b","online":false,"full":false,"slow":true,"failure":"broken"}],"metadata_index":7,)"
      R"("controller_id":1,"brokers":[{"id":3,"address":"h:9092","fenced":false}],"topics":1,)"
      R"("partitions":{"total":6,"led":2,"replicas":4,"leaderless":0,"under_replicated":1,)"
      R"("reassigning":1}})"
      "\n");
}

}  // namespace millrace

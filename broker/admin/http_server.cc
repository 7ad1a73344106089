#include "broker/admin/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/runtime/patient_listen.h"

namespace millrace {
namespace {

constexpr Duration kAcceptPause = milliseconds(100);
// What a client that was told off may still send before its connection is cut: a close with unread
// bytes resets the connection, and the answer would be lost with it.
constexpr size_t kLingerBytesMax = size_t{256} << 10;
constexpr Duration kLingerMax = seconds(1);
constexpr size_t kLingerReceiveBytes = 16 << 10;

}  // namespace

// One connection, from accept to close.
class HttpServer::Client final : private Timer {
 public:
  Client(Env& env, std::unique_ptr<Connection> connection, HttpHandler& handler,
         const HttpServerOptions& options)
      : env_(env),
        options_(options),
        handler_(handler),
        connection_(std::move(connection)),
        quiet_since_(env.reactor.Now()),
        deadline_(quiet_since_ + options.request_max) {}
  ~Client() { MR_CHECK(!armed()); }

  Task<void> Serve() {
    Allow(options_.request_max);
    while (!ended_) {
      std::expected<std::optional<HttpRequest>, HttpProblem> next = reader_.Next();
      if (!next.has_value()) {
        co_await Refuse(std::move(next).error());
        break;
      }
      if (next->has_value()) {
        if (!co_await Answer(**std::move(next))) break;
        continue;
      }
      const bool is_new = reader_.empty();
      absl::StatusOr<Slice> more = co_await connection_->ReceiveSome(reader_.room());
      if (!more.ok() || more->empty()) break;
      reader_.Feed(more->view());
      quiet_since_ = env_.reactor.Now();
      // The rest of a request does not get more time because it comes in drops.
      if (is_new) Allow(options_.request_max);
    }
    Shutdown();
    if (armed()) env_.reactor.Disarm(*this);
    co_await connection_->Close();
  }

  void Shutdown() {
    ended_ = true;
    connection_->Shutdown();
  }
  bool ended() const { return ended_; }
  Instant quiet_since() const { return quiet_since_; }

 private:
  // False when the connection ends with this answer.
  Task<bool> Answer(HttpRequest request) {
    const bool with_body = request.method != "HEAD";
    const bool keep_alive = request.keep_alive;
    HttpResponse response = co_await handler_.Handle(std::move(request));
    if (ended_) co_return false;
    const bool sent = co_await Send(PrintHttpResponse(response, with_body, keep_alive));
    quiet_since_ = env_.reactor.Now();
    Allow(reader_.empty() ? options_.idle_max : options_.request_max);
    // Requests that came together are ready at once: others go first.
    co_await Yield(env_.reactor);
    co_return sent&& keep_alive;
  }

  Task<void> Refuse(HttpProblem problem) {
    HttpResponse response;
    response.status = problem.status;
    response.body = problem.text + "\n";
    if (!co_await Send(PrintHttpResponse(response, /*with_body=*/true, /*keep_alive=*/false))) {
      co_return;
    }
    Allow(kLingerMax);
    for (size_t left = kLingerBytesMax; left > 0 && !ended_;) {
      absl::StatusOr<Slice> more =
          co_await connection_->ReceiveSome(std::min(left, kLingerReceiveBytes));
      if (!more.ok() || more->empty()) co_return;
      left -= more->size();
    }
  }

  Task<bool> Send(std::string text) {
    Allow(options_.request_max);
    absl::Status sent = co_await connection_->Send(Chain(Slice::Copy(text)));
    co_return sent.ok();
  }

  // What goes on now may take so long.
  void Allow(Duration duration) {
    if (ended_) return;
    deadline_ = env_.reactor.Now() + duration;
    // A later deadline is noticed when the timer fires.
    if (!armed() || deadline_ < Timer::deadline()) env_.reactor.Arm(*this, deadline_);
  }

  void Fire() override {
    if (ended_) return;
    if (env_.reactor.Now() >= deadline_) {
      Shutdown();
    } else {
      env_.reactor.Arm(*this, deadline_);
    }
  }

  // Borrowed.
  Env& env_;
  const HttpServerOptions& options_;
  HttpHandler& handler_;
  // Owned.
  std::unique_ptr<Connection> connection_;
  HttpRequestReader reader_;
  // State.
  bool ended_ = false;
  Instant quiet_since_;
  Instant deadline_;
};

HttpServer::HttpServer(Env& env, HttpHandler& handler, HttpServerOptions options)
    : options_(options),
      env_(env),
      handler_(handler),
      client_left_(env.reactor),
      accepting_(env.reactor),
      serving_(env.reactor) {}

HttpServer::~HttpServer() { MR_CHECK(clients_.empty()); }

Task<absl::Status> HttpServer::Listen(SocketAddress address, PortInUse in_use) {
  absl::StatusOr<std::unique_ptr<Listener>> listener =
      in_use == PortInUse::kFail ? co_await env_.network.Listen(address, {})
                                 : co_await ListenPatiently(env_, address, {}, accepting_.token());
  if (!listener.ok()) {
    co_return absl::Status(
        listener.status().code(),
        fmt::format("{}: {}", address.ToString(), std::string(listener.status().message())));
  }
  listeners_.push_back(*std::move(listener));
  accepting_.Spawn(AcceptFrom(listeners_.back().get()), SchedClass::kHousekeeping);
  co_return absl::OkStatus();
}

void HttpServer::ListenLater(SocketAddress address,
                             std::function<void(const absl::Status&)> failed) {
  accepting_.Spawn(ListenAndTell(std::move(address), std::move(failed)), SchedClass::kHousekeeping);
}

Task<void> HttpServer::ListenAndTell(SocketAddress address,
                                     std::function<void(const absl::Status&)> failed) {
  const absl::Status listening = co_await Listen(std::move(address));
  if (!listening.ok() && !accepting_.stopping()) failed(listening);
}

Task<void> HttpServer::AcceptFrom(Listener* listener) {
  while (!accepting_.stopping()) {
    absl::StatusOr<std::unique_ptr<Connection>> accepted = co_await listener->Accept();
    if (!accepted.ok()) {
      if (accepting_.stopping()) co_return;
      co_await Sleep(env_.reactor, kAcceptPause, accepting_.token());
      continue;
    }
    co_await MakeRoom();
    clients_.emplace_front(env_, *std::move(accepted), handler_, options_);
    serving_.Spawn(ServeOne(clients_.begin()), SchedClass::kHousekeeping);
  }
}

Task<void> HttpServer::MakeRoom() {
  while (clients_.size() >= options_.connections_max && !accepting_.stopping()) {
    Client* quietest = nullptr;
    for (Client& client : clients_) {
      if (client.ended()) continue;
      if (quietest == nullptr || client.quiet_since() < quietest->quiet_since()) quietest = &client;
    }
    if (quietest != nullptr) quietest->Shutdown();
    co_await client_left_.Wait(std::nullopt, accepting_.token());
  }
}

Task<void> HttpServer::ServeOne(std::list<Client>::iterator client) {
  co_await client->Serve();
  clients_.erase(client);
  client_left_.Pulse();
}

Task<void> HttpServer::Stop() {
  for (const std::unique_ptr<Listener>& listener : listeners_) listener->Shutdown();
  co_await accepting_.Stop();
  for (const std::unique_ptr<Listener>& listener : listeners_) co_await listener->Close();
  for (Client& client : clients_) client.Shutdown();
  co_await serving_.Join();
  co_await serving_.Stop();
  listeners_.clear();
}

size_t HttpServer::connections() const { return clients_.size(); }

std::vector<SocketAddress> HttpServer::addresses() const {
  std::vector<SocketAddress> addresses;
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    addresses.push_back(listener->local());
  }
  return addresses;
}

}  // namespace millrace

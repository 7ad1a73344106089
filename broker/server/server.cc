#include "broker/server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/runtime/patient_listen.h"

namespace millrace {

// How long accepting pauses when descriptors ran out: closing connections is what helps, not trying
// at once.
constexpr Duration kAcceptPause = milliseconds(100);
// The default of max.connection.creation.rate: no limit.
constexpr int32_t kUnlimitedAccepts = 2147483647;

Server::Server(Env& env, ServerOptions options, RequestHandler& handler,
               RequestBudget& request_budget, ConnectionAdmission& admission)
    : options_(std::move(options)),
      env_(env),
      handler_(handler),
      request_budget_(request_budget),
      admission_(admission),
      accepting_(env.reactor),
      serving_(env.reactor) {}

Server::~Server() { MR_CHECK(connections_.empty()); }

Task<absl::Status> Server::Listen() {
  for (const ListenerOptions& listener : options_.listeners) {
    absl::StatusOr<std::unique_ptr<Listener>> bound =
        co_await ListenPatiently(env_, listener.bind, listener.socket);
    if (!bound.ok()) {
      co_return absl::Status(
          bound.status().code(),
          fmt::format("listener {}://{}: {}", listener.name, listener.bind.ToString(),
                      std::string(bound.status().message())));
    }
    bound_.push_back(std::make_unique<Bound>(
        Bound{listener.name, listener.streams, listener.kind, *std::move(bound)}));
  }
  co_return absl::OkStatus();
}

void Server::Accept() {
  for (const std::unique_ptr<Bound>& bound : bound_) accepting_.Spawn(AcceptLoop(bound.get()));
}

Task<void> Server::AcceptLoop(Bound* bound) {
  bool paused_before = false;
  Instant next_accept = env_.reactor.Now();
  while (!accepting_.stopping()) {
    absl::StatusOr<std::unique_ptr<Connection>> accepted = co_await bound->listener->Accept();
    if (!accepted.ok()) {
      if (accepting_.stopping()) co_return;
      if (!paused_before) {
        env_.logger.Warning("listener {}: cannot accept: {}; trying again every {} ms", bound->name,
                            std::string(accepted.status().message()),
                            kAcceptPause / milliseconds(1));
      }
      paused_before = true;
      co_await Sleep(env_.reactor, kAcceptPause, accepting_.token());
      continue;
    }
    paused_before = false;
    if (options_.accepts_per_second_max < kUnlimitedAccepts) {
      // Evenly spaced, with a burst of one second after a pause.
      const Duration spacing = Duration(seconds(1)) / std::max(1, options_.accepts_per_second_max);
      next_accept = std::max(next_accept + spacing, env_.reactor.Now() + spacing - seconds(1));
      if (next_accept > env_.reactor.Now())
        co_await Sleep(env_.reactor, next_accept, accepting_.token());
    }
    std::unique_ptr<Connection> connection = *std::move(accepted);
    const std::string host = connection->peer().host;
    ConnectionQuota::Verdict verdict =
        co_await admission_.Admit({host, IsOwnMachine(host, connection->local().host)});
    if (verdict != ConnectionQuota::Verdict::kAdmitted) {
      env_.logger.Debug("listener {}: refused {}: {}", bound->name, host,
                        verdict == ConnectionQuota::Verdict::kTooManyInTotal
                            ? "max.connections is reached"
                            : "max.connections.per.ip is reached");
      connection->Shutdown();
      co_await connection->Close();
      continue;
    }
    ++accepted_;
    connections_.emplace_front(env_, std::move(connection), bound->name, handler_, request_budget_,
                               options_.connection, bound->streams, bound->kind);
    serving_.Spawn(ServeOne(connections_.begin()), SchedClass::kProduce);
  }
}

Task<void> Server::ServeOne(std::list<ClientConnection>::iterator connection) {
  co_await connection->Serve();
  std::string host = connection->peer_host();
  connections_.erase(connection);
  co_await admission_.Leave(std::move(host));
}

Task<void> Server::Stop() {
  for (const std::unique_ptr<Bound>& bound : bound_) bound->listener->Shutdown();
  co_await accepting_.Stop();
  for (const std::unique_ptr<Bound>& bound : bound_) co_await bound->listener->Close();
  for (ClientConnection& connection : connections_) connection.Drain();
  const Instant deadline = env_.reactor.Now() + options_.drain_max;
  while (HasClients() && env_.reactor.Now() < deadline) {
    co_await Sleep(env_.reactor, milliseconds(5));
  }
  for (ClientConnection& connection : connections_) connection.Shutdown("the broker is stopping");
  // Last: a request in flight may need what the streams carry.
  for (const std::unique_ptr<Bound>& bound : bound_) {
    if (bound->streams != nullptr) co_await bound->streams->Stop();
  }
  co_await serving_.Stop();
}

bool Server::HasClients() const {
  return std::ranges::any_of(
      connections_, [](const ClientConnection& connection) { return !connection.handed_over(); });
}

SocketAddress Server::BoundAddress(const std::string& name) const {
  for (const std::unique_ptr<Bound>& bound : bound_) {
    if (bound->name == name) return bound->listener->local();
  }
  return {};
}

}  // namespace millrace

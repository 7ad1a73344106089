// HttpServer: serves HTTP/1.1 to whoever connects, one request of a connection at a time, and holds
// little of each: a head of a request (common/http/http_request.h) and one answer.
//
// Strangers: at most `connections_max` at once; a newcomer beyond that ends the connection that has
// been quiet for longest, so that nobody can keep a health check out by sitting there. A request must
// be complete within `request_max`, an answer be read within the same; a quiet connection ends after
// `idle_max`. Everything runs in the class of housekeeping, whose share is bounded.
//
// Shard:    one.
// Lifetime: `env` and `handler` outlive it. Stop() must have ended before destruction (CHECKed).
// Errors:   Listen(): those of Network::Listen(), with the address.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "common/env.h"
#include "common/http/http_request.h"
#include "common/http/http_response.h"
#include "common/network.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"

namespace millrace {

// Answers requests of any method and path.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual Task<HttpResponse> Handle(HttpRequest request) = 0;
};

struct HttpServerOptions {
  size_t connections_max = 64;  // Higher: more tools at once, more memory for strangers.
  Duration request_max = seconds(10);
  Duration idle_max = seconds(60);  // Above the interval of a usual scraper, 15 to 30 s.
};

// What to do where the address is in use: another process may be about to leave it.
enum class PortInUse : uint8_t { kWait, kFail };

class HttpServer {
 public:
  HttpServer(Env& env, HttpHandler& handler, HttpServerOptions options = {});
  ~HttpServer();

  // Listens there too, and accepts from then on.
  Task<absl::Status> Listen(SocketAddress address, PortInUse in_use = PortInUse::kWait);
  // The same, and does not wait for it; `failed` is called when it came to nothing.
  void ListenLater(SocketAddress address, std::function<void(const absl::Status&)> failed);
  // Ends every connection at once, and listens no more.
  Task<void> Stop();

  // Where it listens, with real ports, in the order of Listen().
  std::vector<SocketAddress> addresses() const;
  size_t connections() const;

 private:
  class Client;

  Task<void> AcceptFrom(Listener* listener);
  Task<void> ListenAndTell(SocketAddress address, std::function<void(const absl::Status&)> failed);
  Task<void> MakeRoom();
  Task<void> ServeOne(std::list<Client>::iterator client);

  // Constant after construction.
  const HttpServerOptions options_;
  // Borrowed.
  Env& env_;
  HttpHandler& handler_;
  // Owned.
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::list<Client> clients_;
  Event client_left_;
  TaskScope accepting_;
  TaskScope serving_;
};

}  // namespace millrace

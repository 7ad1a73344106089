// Server: the listeners of one shard and the connections accepted on them.
//
// Shard:    one Server per shard, all listening on the same addresses (SO_REUSEPORT).
// Lifetime: Stop() must have finished before destruction (CHECKed). Env, handler, budget and
// admission outlive it. Errors:   Start(): kFailedPrecondition and others of Network::Listen,
// naming listener and address.
#pragma once

#include <absl/status/status.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "broker/server/client_connection.h"
#include "broker/server/connection_admission.h"
#include "broker/server/request_budget.h"
#include "common/env.h"
#include "common/network.h"
#include "common/runtime/task_scope.h"

namespace millrace {

struct ListenerOptions {
  std::string name;
  SocketAddress bind;
  ListenOptions socket;
  // Who gets the connections whose first bytes say that they are streams between nodes; null: the
  // listener speaks Kafka's protocol only. Of this shard; outlives the Server.
  StreamAcceptor* streams = nullptr;
  ListenerKind kind = ListenerKind::kBroker;
};

struct ServerOptions {
  std::vector<ListenerOptions> listeners;
  ClientConnectionOptions connection;
  // max.connection.creation.rate: of each listener of this shard. A connection over it waits in the
  // backlog (KIP-612).
  int32_t accepts_per_second_max = 2147483647;
  Duration drain_max = seconds(10);  // How long Stop() waits for requests in flight.
};

class Server {
 public:
  Server(Env& env, ServerOptions options, RequestHandler& handler, RequestBudget& request_budget,
         ConnectionAdmission& admission);
  ~Server();

  // Listens on every listener; nothing is accepted until Accept().
  Task<absl::Status> Listen();
  // Begins to accept.
  void Accept();
  // Stops accepting, answers what is in flight, closes; then stops the listeners' acceptors, which
  // waits for the users of their streams to close them.
  Task<void> Stop();

  // Where listener `name` really listens (its port may have been chosen by the kernel).
  SocketAddress BoundAddress(const std::string& name) const;
  size_t connections() const { return connections_.size(); }
  uint64_t accepted() const { return accepted_; }  // Those that were served.

 private:
  struct Bound {
    std::string name;
    StreamAcceptor* streams;
    ListenerKind kind;
    std::unique_ptr<Listener> listener;
  };
  Task<void> AcceptLoop(Bound* bound);
  // Some connection is a Kafka client's.
  bool HasClients() const;
  Task<void> ServeOne(std::list<ClientConnection>::iterator connection);

  const ServerOptions options_;
  Env& env_;
  RequestHandler& handler_;
  RequestBudget& request_budget_;
  ConnectionAdmission& admission_;
  std::vector<std::unique_ptr<Bound>> bound_;
  std::list<ClientConnection> connections_;
  uint64_t accepted_ = 0;
  TaskScope accepting_;
  TaskScope serving_;
};

}  // namespace millrace

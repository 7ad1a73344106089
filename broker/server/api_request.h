// ApiRequest and ApiReply: one Kafka request as a handler sees it, and what it answers.
//
// Shard:    the connection's. Values; the body keeps its receive buffer (and that buffer's budget)
// alive.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "broker/server/byte_hold.h"
#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/event.h"
#include "common/time.h"

namespace millrace {

// Where requests of one connection wait for their turn. Their ordered effects (appends above all)
// happen in the order of arrival; what follows may overlap.
class RequestOrder {
 public:
  explicit RequestOrder(Reactor& reactor) : released_(reactor), front_(reactor) {}
  // The handler's ordered effects are done: the next request of the connection may start.
  // Idempotent; happens by itself when the handler ends.
  void Release() { released_.Set(); }
  Task<void> Released() { co_await released_.Wait(); }

  // The replies of all requests before this one are with the kernel.
  void ReachFront() { front_.Set(); }
  bool at_front() const { return front_.is_set(); }
  // co_await order->Front(cancel): until then, or `deadline`. A reply that takes memory others wait
  // for is made only now: one that was made earlier would hold it for as long as the replies before
  // it take, and for ever if one of those waits for the same memory.
  Event::Waiter Front(CancellationToken cancel, std::optional<Instant> deadline = std::nullopt) {
    return front_.Wait(deadline, cancel);
  }

 private:
  Event released_;
  Event front_;
};

// What a listener is for. Each kind serves the APIs that Kafka's serve there (api_table.h).
enum class ListenerKind : uint8_t { kBroker, kController };

// What is known of the connection a request came over. Constant but for the client's software,
// which the client tells in ApiVersions.
struct ConnectionContext {
  ListenerKind kind = ListenerKind::kBroker;
  std::string listener;  // The listener's name, e.g. "PLAINTEXT".
  SocketAddress local;   // Of our end.
  SocketAddress peer;
  std::string principal = "User:ANONYMOUS";
  std::string software_name;  // For logs and metrics only.
  std::string software_version;
};

struct ApiRequest {
  int16_t api_key = 0;
  int16_t version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string> client_id;
  Slice body;  // After the header.
  Instant received{0};
  std::shared_ptr<ConnectionContext> connection;
  std::shared_ptr<RequestOrder> order;
  CancellationToken cancel;  // The connection is going away: end waits, nobody reads the answer.
  CancellationToken drain;   // The broker is stopping: answer soon with what there is.
};

struct ApiReply {
  enum class Action {
    kSend,    // `body` after a response header.
    kSilent,  // Nothing is sent (acks=0).
    kClose,   // The connection is closed after the replies before this one; `reason` is logged.
    kTake,  // `take` gets the connection after those replies: it speaks something else from now on.
  };
  Action action = Action::kSend;
  Chain body;
  std::string reason;
  // What the answer keeps taken of a budget until it has been sent.
  std::shared_ptr<ByteHold> hold;
  // Of kTake: what has arrived behind the request closes the connection instead.
  std::move_only_function<Task<void>(std::unique_ptr<Connection>)> take = {};

  static ApiReply Close(std::string why) { return {Action::kClose, {}, std::move(why), nullptr}; }
  static ApiReply Silent() { return {Action::kSilent, {}, {}, nullptr}; }
};

}  // namespace millrace

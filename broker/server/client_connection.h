// ClientConnection: serves one client from accept to close: frames in, replies out, in order.
//
// Requests are started in the order they came; the next one starts once the one before has done its
// ordered effects (RequestOrder), so waits overlap and appends do not. Replies leave in request
// order. Reading stops while `requests_in_flight_max` requests or `reply_bytes_max` bytes of
// replies wait, and TCP slows the client.
//
// On a listener that also has a StreamAcceptor the first bytes tell whose connection it is: a
// Kafka client's, or one for streams between nodes, which the acceptor gets with what was read.
// Until they have told, the limits are those of a frame that was begun.
//
// Shard:    the one that accepted it.
// Lifetime: owned by its Server; Serve() runs until the connection ends, Shutdown() makes that
// soon. Errors:   none reach the caller; why a connection was closed is logged.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/server/api_request.h"
#include "broker/server/frame_reader.h"
#include "broker/server/request_budget.h"
#include "common/env.h"
#include "common/network.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task_scope.h"
#include "controller/transport/message_stream.h"

namespace millrace {

// Answers requests; the seam between the network side and the APIs.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // Decodes the header and runs the API. Unknown keys, unsupported versions and undecodable bodies
  // give kClose.
  virtual Task<ApiReply> Handle(Slice frame, std::shared_ptr<ConnectionContext> connection,
                                std::shared_ptr<RequestOrder> order, CancellationToken cancel,
                                CancellationToken drain) = 0;
};

struct ClientConnectionOptions {
  size_t frame_bytes_max = 104857600;  // socket.request.max.bytes.
  // connections.max.idle.ms: no request and nothing in flight for so long. Nothing: never.
  std::optional<Duration> idle_max = milliseconds(600000);
  // A frame or a reply that has begun must make progress: who stalls must not hold budget for the
  // idle time.
  Duration frame_max = milliseconds(60000);
  // While others wait in vain for the memory of a frame or a reply (MemoryLine::held_up): a piece of
  // it (32 KiB; a larger one of who was fast until then in twice the time) must have passed in this
  // time. Lower: senders that stall hold up others for less
  // long, and lines with gaps lose more connections.
  Duration contended_piece_max = seconds(5);
  // And all of it in this time, with a second more for every contended_bytes_per_second that have
  // passed: a request of 1 MB at 40 KB/s gets through, however much others wait, and 100 MB that
  // trickle do not. Lower: less time for slow clients, and less that others wait for them.
  Duration contended_whole_max = seconds(30);
  size_t contended_bytes_per_second = size_t{1} << 20;
  int64_t requests_in_flight_max = 128;  // Higher: deeper pipelining, more memory for one client.
  size_t reply_bytes_max = size_t{4} << 20;  // Replies waiting for a client that does not read.
};

class ClientConnection final : private Timer {
 public:
  // `acceptor`: null on a listener that speaks Kafka's protocol only.
  ClientConnection(Env& env, std::unique_ptr<Connection> connection, std::string listener,
                   RequestHandler& handler, RequestBudget& request_budget,
                   ClientConnectionOptions options, StreamAcceptor* acceptor = nullptr,
                   ListenerKind kind = ListenerKind::kBroker);
  ~ClientConnection();

  // Until the client leaves, breaks a rule, is idle for too long, or Shutdown().
  Task<void> Serve();

  // Graceful: no further request is read; those in flight are answered, long polls at once, then
  // Serve() ends.
  void Drain();
  // At once.
  void Shutdown(std::string why);

  const std::string& peer_host() const { return context_->peer.host; }
  // The acceptor has the connection: Drain() and Shutdown() do nothing, Serve() ends when the
  // acceptor is done with it.
  bool handed_over() const { return connection_ == nullptr; }

 private:
  struct Pending {
    std::shared_ptr<RequestOrder> order;
    std::optional<ApiReply>
        reply;  // Set when the handler has ended; a reply without body bytes is kSilent.
  };
  // Of replies that have not been sent.
  struct ReplyBytes {
    size_t all = 0;
    size_t counted = 0;  // In no budget, and therefore in the shard's account.

    void Add(const ApiReply& reply) {
      const size_t held = reply.hold == nullptr ? 0 : reply.hold->covers();
      all += reply.body.size();
      counted += reply.body.size() - std::min(reply.body.size(), held);
    }
  };

  // Whether the first bytes are for the acceptor.
  Task<bool> IsForAcceptor();
  Task<void> HandOver();
  Task<void> ReadRequests();
  Task<void> RunRequest(Slice frame, std::shared_ptr<RequestOrder> order,
                        std::shared_ptr<Pending> pending);
  Task<void> WriteReplies();
  // The replies being sent pass too slowly, and others wait too long for the memory they hold.
  bool SendingIsTooSlow() const;
  // No further request is read: too much waits already.
  bool IsMuted() const;
  void Forget(ReplyBytes sent);
  // contended_piece_max, and contended_whole_max.
  bool Stalls(const PieceProgress& progress) const;
  bool IsLate(const PieceProgress& progress) const;
  void MakeRoom(const char* why);
  Task<absl::Status> SendAll(Chain out);
  // Tells the first request that its reply is the next to leave.
  void TellFront();
  void Fire() override;  // Idle and slow-frame check.
  void ArmIdleTimer();

  // Constant after construction.
  const ClientConnectionOptions options_;
  // Borrowed.
  Env& env_;
  RequestHandler& handler_;
  RequestBudget& budget_;
  ReplyAccount& replies_;
  StreamAcceptor* const acceptor_;
  // Owned.
  std::unique_ptr<Connection> connection_;
  std::shared_ptr<ConnectionContext> context_;
  FrameReader frames_;
  CancellationSource cancel_;
  CancellationSource drain_;
  TaskScope requests_;
  // State.
  std::deque<std::shared_ptr<Pending>> pending_;  // In request order.
  ReplyBytes reply_bytes_;                        // Of those in pending_ and the one being sent.
  Event changed_;                                 // pending_, reply_bytes_ or closing_ changed.
  bool reading_ended_ = false;
  bool draining_ = false;  // No further request is started.
  bool sending_ = false;
  PieceProgress sent_;                            // While sending_.
  std::vector<std::shared_ptr<ByteHold>> holds_;  // Of the replies being sent.
  Instant last_progress_;
  uint64_t progress_before_ = 0;  // FrameReader::progress() at the last check.
  Instant frame_progress_;        // When that had changed.
  std::string close_reason_;
  // Set once the connection is to become something else than a client's.
  std::move_only_function<Task<void>(std::unique_ptr<Connection>)> take_;
};

}  // namespace millrace

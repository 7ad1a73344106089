// Network: stream sockets as the broker sees them; the transport below the framing (TLS will be
// another implementation of Connection, wrapped around one of these).
//
// Shard:    a connection belongs to one shard. At most one receive and one send may be in flight at
// a time. Lifetime: Shutdown() makes pending and later calls end (kCancelled or kUnavailable);
// every pending call must
//           have ended, then Close(), before destruction (CHECKed).
// Errors:   kUnavailable (reset, refused, unreachable), kCancelled (Shutdown), kResourceExhausted
// (descriptors),
//           kFailedPrecondition (address in use, not ours), kDeadlineExceeded.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/bytes/slice.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

struct SocketAddress {
  std::string host;  // A name, an IPv4 or IPv6 address; empty: all interfaces.
  uint16_t port = 0;
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
  std::string ToString() const;  // host:port, with [] around IPv6.
};

// A connection on its way from one shard to another of the process; belongs to none. Destroyed, it is
// closed.
class DetachedConnection {
 public:
  virtual ~DetachedConnection() = default;
};

class Connection {
 public:
  virtual ~Connection() = default;

  // Whatever has arrived, at least one byte and at most `bytes_max`, in memory that is taken only
  // once there is something to receive: an idle connection holds none. Empty at the peer's end of
  // stream.
  virtual Task<absl::StatusOr<Slice>> ReceiveSome(size_t bytes_max) = 0;

  // Exactly [begin, end) of `into` is filled, without a copy; gives the buffer back. kUnavailable
  // when the stream ends before.
  virtual Task<absl::StatusOr<MutableBuffer>> ReceiveExactly(MutableBuffer into, size_t begin,
                                                             size_t end) = 0;

  // All of `data`, in order. The slices are kept until the kernel has them.
  virtual Task<absl::Status> Send(Chain data) = 0;

  // Ends pending and later calls soon; the peer sees the end of the stream. Idempotent.
  virtual void Shutdown() = 0;
  virtual Task<void> Close() = 0;

  // Takes the stream out of this object, which is as after Close() then: Network::Adopt() of any
  // shard goes on with it, at the next byte. REQUIRES: no call is pending, none has been shut down
  // or closed.
  virtual std::unique_ptr<DetachedConnection> Detach() = 0;

  virtual const SocketAddress& peer() const = 0;
  virtual const SocketAddress& local() const = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // kResourceExhausted when out of descriptors: the caller pauses and tries again.
  virtual Task<absl::StatusOr<std::unique_ptr<Connection>>> Accept() = 0;
  virtual void Shutdown() = 0;
  virtual Task<void> Close() = 0;
  // With the port that was chosen when 0 was asked for.
  virtual const SocketAddress& local() const = 0;
};

// Several shards listen on one address, and the kernel spreads connections over them. One is the
// first; the others join it, and must be of the same user. An address that somebody else listens on
// is refused to the first as to one that is alone; who joins cannot tell.
enum class PortSharing {
  kAlone,  // Nobody else may listen there.
  kFirst,  // Refused when somebody listens there; then others may join.
  kJoin,   // After kFirst, to the port that it got.
};

struct ListenOptions {
  int backlog = 50;
  PortSharing sharing = PortSharing::kAlone;
  std::optional<int> send_buffer_bytes{};     // SO_SNDBUF; the kernel's choice when absent.
  std::optional<int> receive_buffer_bytes{};  // SO_RCVBUF.
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Task<absl::StatusOr<std::unique_ptr<Listener>>> Listen(SocketAddress address,
                                                                 ListenOptions options) = 0;
  virtual Task<absl::StatusOr<std::unique_ptr<Connection>>> Connect(SocketAddress address,
                                                                    Instant deadline) = 0;
  // Goes on with a connection of this process that was detached on this shard or another.
  virtual std::unique_ptr<Connection> Adopt(std::unique_ptr<DetachedConnection> connection) = 0;
};

}  // namespace millrace

// MessageStream: an ordered, two-way stream of whole messages between two nodes of a cluster: what
// Raft peers, and brokers and their controller, talk over. In production a gRPC stream
// (controller/grpc), in the simulator frames on a simulated connection (framed_streams.h); one
// contract suite runs on both. What is in a message is the users' business.
//
//   broken  the stream ended without Close(): the peer's process died, the connection was reset.
//           Receive() says kUnavailable at once, without waiting for a time-out: that is the
//           evidence on which elections and fencing are quick (docs/architecture.md,
//           Control plane).
//   silent  nothing comes and nothing breaks: the users' timers find that out.
//
// Shard:    one, where it was dialed or accepted. At most one Receive() at a time; Send() may be
//           called while others wait, and sends in the order of the calls.
// Lifetime: every pending call must have ended, then Close(), before destruction (CHECKed).
// Errors:   kUnavailable: broken, or never was (refused, unreachable). kFailedPrecondition: the
//           peer refused the hello and said why. kCancelled: Shutdown(). kInvalidArgument: a
//           message that is too large. kDeadlineExceeded: Dial().
// Bound:    a message is at most kControlMessageBytesMax; Send() waits while more than
//           kControlSendBytesMax lie unsent.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/network.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

inline constexpr size_t kControlMessageBytesMax = size_t{8} << 20;
inline constexpr size_t kControlSendBytesMax = size_t{16} << 20;

// Which of the controller's doors a stream is for.
enum class StreamKind : uint8_t {
  kRaft = 1,    // Between replicas of the metadata log: proto/control/raft.proto.
  kBroker = 2,  // A broker's session with its controller: proto/control/session.proto.
};

// The first thing the dialing side says. A stream with another cluster's id, or for another node
// than the one that was dialed, is refused with a sentence that names both.
struct StreamHello {
  StreamKind kind;
  std::string cluster_id;  // As text: Kafka lets it be any.
  BrokerId from;
  std::optional<DirectoryId> from_directory;  // Of the metadata log, where there is one.
  // Whom the dialer means; nothing while it only knows an address (bootstrap servers).
  std::optional<BrokerId> to;
  uint32_t protocol = 1;  // Version of what is spoken; both sides speak the lower one.
  uint64_t features = 0;  // Bits; unknown ones are ignored.
};

// What the accepting side answers.
struct StreamWelcome {
  BrokerId from;
  std::optional<DirectoryId> from_directory;
  uint32_t protocol = 1;
  uint64_t features = 0;
};

class MessageStream {
 public:
  virtual ~MessageStream() = default;

  // The next message, whole.
  virtual Task<absl::StatusOr<std::string>> Receive() = 0;
  // Returns when the message was taken over, in order; not when it has arrived.
  virtual Task<absl::Status> Send(std::string message) = 0;
  // Ends pending and later calls soon; the peer's stream breaks, without what lies unsent.
  // Idempotent.
  virtual void Shutdown() = 0;
  // Shutdown(), and what belongs to the stream is gone. Once.
  virtual Task<void> Close() = 0;

  // What the other side said of itself.
  virtual const StreamHello& hello() const = 0;      // The dialer's, on both sides.
  virtual const StreamWelcome& welcome() const = 0;  // The accepting side's, on both sides.
};

class StreamDialer {
 public:
  virtual ~StreamDialer() = default;
  // `deadline` is for everything from the look-up of the name to the welcome. Beside the errors of
  // the stream: kFailedPrecondition also when another node than `hello.to` answers.
  // REQUIRES: runs on the dialer's shard.
  virtual Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(SocketAddress address,
                                                                    StreamHello hello,
                                                                    Instant deadline) = 0;
};

// Decides about a hello; OK with what to answer, or why not (told to the peer as
// kFailedPrecondition). Whether the cluster and the node are meant at all: CheckHello()
// (stream_hello.h).
using HelloCheck = std::function<absl::StatusOr<StreamWelcome>(const StreamHello&)>;
// Takes over a stream that was welcomed.
using StreamHandler = std::function<void(std::unique_ptr<MessageStream>)>;

// The accepting side: it is given connections whose first bytes say that they are for it (the
// controller listener also speaks Kafka's protocol: docs/architecture.md, Network).
//
// Shard:    one; check and handler run on it, outside of calls to the acceptor.
// Lifetime: Stop() must have finished before destruction (CHECKed); it outlives its streams.
class StreamAcceptor {
 public:
  virtual ~StreamAcceptor() = default;
  // Opens the door for streams of `kind`; a hello of a kind without a door is refused. Before the
  // first Serve(), once per kind.
  virtual void OnStream(StreamKind kind, HelloCheck check, StreamHandler handler) = 0;
  // Whether a connection that begins with these bytes is one of ours; nothing: too few to tell.
  virtual std::optional<bool> IsOurs(std::string_view first_bytes) const = 0;
  // Serves the connection until it ends and its streams are closed; `received` is what was read of
  // it already.
  virtual Task<void> Serve(std::unique_ptr<Connection> connection, Slice received) = 0;
  // Ends every connection and stream; returns when each Serve() has. Whoever has a stream closes
  // it: Stop() waits for that.
  virtual Task<void> Stop() = 0;
};

}  // namespace millrace

// StreamReader: the frames of one replication stream as they arrive. A quiet stream holds no memory.
//
// Shard:    the connection's.
// Lifetime: `connection` and `reactor` outlive it.
// Errors:   kInvalidArgument: a frame that cannot be. Those of Connection; kUnavailable also at the
//           end of the stream.
// Bounds:   a frame's body is received only after its head has been checked: at most
//           kStreamControlBodyMax, or `data_bytes_max` once the caller has asked for the batches.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>

#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "replication/stream_frames.h"

namespace millrace {

class StreamReader {
 public:
  // `peer`: whose frames these are.
  StreamReader(Reactor& reactor, Connection& connection, StreamSide peer, size_t data_bytes_max);

  struct Frame {
    StreamHead head;
    Slice bytes;  // Head, and the part of the body that is checked.
    std::span<const uint8_t> body() const { return bytes.span().subspan(kStreamHeadBytes); }
  };
  // REQUIRES: the batches of a Data frame before it were taken.
  Task<absl::StatusOr<Frame>> Next();
  // The batches behind the last frame's body, which was a Data frame's. May lie in a piece of what
  // was received together with other frames; large ones have memory of their own.
  Task<absl::StatusOr<Slice>> TakeBatches(size_t bytes);

  // An answer of the hello: a Kafka frame, without its size.
  Task<absl::StatusOr<Slice>> NextKafkaFrame(size_t bytes_max);

  // How long the peer has been awaited in vain; nothing while we are the slower one.
  std::optional<Duration> Silence() const;

 private:
  // Makes `ahead_` hold at least `wanted` bytes.
  Task<absl::Status> Fill(size_t wanted);
  Slice Take(size_t bytes);

  Reactor& reactor_;
  Connection& connection_;
  const StreamSide peer_;
  const size_t data_bytes_max_;
  Slice ahead_;  // Received, not yet handed out.
  std::optional<Instant> waiting_since_;
};

}  // namespace millrace

// GrpcStreams: MessageStreams as gRPC calls, what nodes talk over in production.
//
//   dialer:   Env.network.Connect ── tunnel ── socket pair ── gRPC's channel ── call
//   acceptor: accepted connection ── tunnel ── socket pair ── gRPC's server  ── call
// One connection per stream. gRPC is not touched before the first stream: no threads, no memory.
//
// Shard:    one, that of `env` and `port`.
// Lifetime: `env` and `port` outlive them; the acceptor outlives its streams and is stopped before
//           it goes (CHECKed).
// Errors:   as message_stream.h. Bytes that are not gRPC's break the stream: kUnavailable.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string_view>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task_scope.h"
#include "common/sys/io_operation.h"
#include "controller/grpc/grpc_library.h"
#include "controller/transport/message_stream.h"
#include "controller/transport/stream_hello.h"

namespace millrace {

class GrpcDialer final : public StreamDialer {
 public:
  GrpcDialer(Env& env, IoPort& port) : env_(env), port_(port) {}
  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(SocketAddress address,
                                                            StreamHello hello,
                                                            Instant deadline) override;

 private:
  Env& env_;
  IoPort& port_;
};

struct GrpcAcceptorOptions {
  // How long a connection may take from Serve() to a stream that is welcomed.
  Duration hello_max = seconds(10);
};

class GrpcAcceptor final : public StreamAcceptor {
 public:
  GrpcAcceptor(Env& env, IoPort& port, GrpcAcceptorOptions options = {});
  ~GrpcAcceptor() override;

  void OnStream(StreamKind kind, HelloCheck check, StreamHandler handler) override;
  std::optional<bool> IsOurs(std::string_view first_bytes) const override;
  Task<void> Serve(std::unique_ptr<Connection> connection, Slice received) override;
  Task<void> Stop() override;

 private:
  // One connection, from Serve() to its end; lives in the frame of Serve().
  struct Served;

  // Hands the connection to gRPC; false when that cannot be done.
  Task<bool> Begin(Served* served, std::unique_ptr<Connection> connection, Slice received);
  // Returns when gRPC's server is there, or cannot be.
  Task<bool> Started();
  void OnCall(std::unique_ptr<GrpcServerCall> call);
  Task<void> EndRefused(std::unique_ptr<GrpcServerCall> call);

  const GrpcAcceptorOptions options_;
  // Borrowed.
  Env& env_;
  IoPort& port_;
  // Owned.
  StreamDoors doors_;
  std::unique_ptr<GrpcServer> server_;
  // State.
  enum class Starting { kNotYet, kUnderWay, kDone } starting_ = Starting::kNotYet;
  Event started_;
  std::list<Served*> served_;
  size_t calls_seen_ = 0;
  Event call_seen_;
  Gate serving_;
  TaskScope refusing_;
};

}  // namespace millrace

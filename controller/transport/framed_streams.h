// FramedStreams: MessageStreams as frames on connections of Env.network (control_frames.h). The
// simulator and tests run on them; they pass the same suite as the gRPC adapter.
//
// Shard:    one, that of `env`.
// Lifetime: `env` outlives them; the acceptor outlives its streams and is stopped before it goes
//           (CHECKed).
// Errors:   as message_stream.h. Bytes that are no frames break the stream: kUnavailable.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string_view>

#include "common/env.h"
#include "common/runtime/gate.h"
#include "controller/transport/message_stream.h"
#include "controller/transport/stream_hello.h"

namespace millrace {

class FramedStream;

class FramedDialer final : public StreamDialer {
 public:
  explicit FramedDialer(Env& env) : env_(env) {}
  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(SocketAddress address,
                                                            StreamHello hello,
                                                            Instant deadline) override;

 private:
  Env& env_;
};

struct FramedAcceptorOptions {
  // How long a connection may take from Serve() to its whole hello, and a refused peer to leave.
  Duration hello_max = seconds(10);
};

class FramedAcceptor final : public StreamAcceptor {
 public:
  explicit FramedAcceptor(Env& env, FramedAcceptorOptions options = {});
  ~FramedAcceptor() override;

  void OnStream(StreamKind kind, HelloCheck check, StreamHandler handler) override;
  std::optional<bool> IsOurs(std::string_view first_bytes) const override;
  Task<void> Serve(std::unique_ptr<Connection> connection, Slice received) override;
  Task<void> Stop() override;

 private:
  // One connection, from Serve() to its end; lives in the frame of Serve().
  struct Served;

  Task<absl::StatusOr<StreamHello>> Welcome(Served* served);
  Task<void> Refuse(Served* served, std::string why);

  const FramedAcceptorOptions options_;
  Env& env_;
  StreamDoors doors_;
  std::list<Served*> served_;
  Gate serving_;
};

}  // namespace millrace

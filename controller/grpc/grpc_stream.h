// GrpcStream: one MessageStream on a gRPC call, after its hello and welcome.
//
// Shard:    the call's.
// Lifetime: as message_stream.h.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <string>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "controller/grpc/grpc_call.h"
#include "controller/grpc/grpc_tunnel.h"
#include "controller/transport/message_stream.h"
#include "controller/transport/send_room.h"

namespace millrace {

// Returns when `call` has ended and is gone. Whoever listened to it does not any more.
Task<void> EndGrpcCall(Env* env, std::unique_ptr<GrpcCall> call);

class GrpcStream final : public MessageStream {
 public:
  // `tunnel`: the dialer's; null where the acceptor keeps it. `closed` is called once, by Close().
  GrpcStream(Env& env, std::unique_ptr<GrpcCall> call, std::unique_ptr<GrpcTunnel> tunnel,
             StreamHello hello, StreamWelcome welcome, std::function<void()> closed);
  ~GrpcStream() override;

  Task<absl::StatusOr<std::string>> Receive() override;
  Task<absl::Status> Send(std::string message) override;
  void Shutdown() override;
  Task<void> Close() override;
  const StreamHello& hello() const override { return hello_; }
  const StreamWelcome& welcome() const override { return welcome_; }

 private:
  void OnProgress();

  // Constant after construction.
  const StreamHello hello_;
  const StreamWelcome welcome_;
  // Borrowed.
  Env& env_;
  // Owned.
  std::unique_ptr<GrpcCall> call_;
  std::unique_ptr<GrpcTunnel> tunnel_;
  std::function<void()> closed_;
  SendRoom room_;
  Gate calls_;
  Event progress_;
  // State.
  bool receiving_ = false;
  absl::Status end_;  // Not ok: nothing is sent any more, and after what arrived nothing received.
};

}  // namespace millrace

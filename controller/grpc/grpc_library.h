// What we use of gRPC, in std types: a call from a descriptor, and a server that is given
// descriptors. grpc_library.cc is the only file that includes gRPC's headers.
//
// Both sides speak raw bytes: the messages of one bidirectional call, /millrace.control.Streams/Open.
// The dialer's hello is the metadata `millrace-hello-bin`, the welcome is `millrace-welcome-bin` of
// the server's initial metadata; a refusal is the status FAILED_PRECONDITION with its sentence
// (stream_hello.h has the bytes).
//
// Threads:  everything may block (gRPC's initialisation, threads that end): helper threads only,
//           but for what grpc_call.h and GrpcServerCall say.
// Lifetime: `home` outlives them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "controller/grpc/grpc_call.h"

namespace millrace {

// What a stream may send before its reader has read. gRPC would measure the line instead, with a ping
// in between; on ours, which says little, it comes to windows of some dozen bytes.
inline constexpr int kGrpcWindowBytes = 1 << 20;

// Begins a call over the connected, non-blocking socket `fd`, which is gRPC's from here on.
// `progress` as GrpcCall::OnProgress().
std::unique_ptr<GrpcCall> StartGrpcCall(LoopReactor& home, int fd, std::string hello,
                                        size_t message_bytes_max, std::function<void()> progress);

// A call that a client began. Not read and not answered before Welcome() or Refuse().
class GrpcServerCall : public GrpcCall {
 public:
  // --- The shard's side.
  // What the client said first; empty when it said nothing.
  virtual const std::string& hello() const = 0;
  // The descriptor of the connection that it came on; -1 when gRPC does not say.
  virtual int fd() const = 0;
  virtual void Welcome(std::string welcome) = 0;
  virtual void Refuse(std::string why) = 0;

 protected:
  using GrpcCall::GrpcCall;
};

class GrpcServer {
 public:
  struct Options {
    size_t message_bytes_max;
    // Runs on the shard for every call, once; takes it over.
    std::function<void(std::unique_ptr<GrpcServerCall>)> on_call;
  };
  // Nothing when gRPC cannot start.
  static std::unique_ptr<GrpcServer> Start(LoopReactor& home, Options options);
  virtual ~GrpcServer() = default;

  // Serves the connected, non-blocking socket `fd`, which is gRPC's from here on.
  virtual void Serve(int fd) = 0;
  // Cancels every call and returns when each has ended. How many there have been.
  virtual size_t Stop() = 0;
};

}  // namespace millrace

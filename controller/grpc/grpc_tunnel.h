// GrpcTunnel: moves bytes between a connection of Env.network and the socket whose other end gRPC
// has. So dialing, its errors, TLS and the evidence of a broken connection stay ours, and gRPC sees
// nothing but a descriptor.
//
// When one side ends, both do. Window updates wait for company (window_updates.h).
//
// Shard:    one, that of both connections.
// Lifetime: Close() before destruction (CHECKed).
// Bound:    one receive's worth each way; who is not read stops the other.
#pragma once

#include <memory>
#include <string>

#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/network.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"

namespace millrace {

class GrpcTunnel {
 public:
  GrpcTunnel(Env& env, std::unique_ptr<Connection> outside, std::unique_ptr<Connection> inside);
  ~GrpcTunnel();

  // `received`: what was read of the outside already.
  void Start(Slice received);
  void Shutdown();
  // One side has ended, or Shutdown() was called.
  Event& ended() { return ended_; }
  Task<void> Close();

 private:
  // What the peer says, to gRPC; `received` first.
  Task<void> PumpIn(Slice received);
  // What gRPC says, to the peer.
  Task<void> PumpOut();

  std::unique_ptr<Connection> outside_;
  std::unique_ptr<Connection> inside_;
  TaskScope pumps_;
  Event ended_;
};

}  // namespace millrace

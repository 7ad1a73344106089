// FramedStream: one MessageStream after its hello and welcome, as frames on a connection.
//
// Sending: messages are taken over into a queue, and a task that lives while there is something in
// it sends them, many small ones in one go.
//
// Shard:    the connection's.
// Lifetime: as message_stream.h.
#pragma once

#include <absl/status/status.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/gate.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task_scope.h"
#include "controller/transport/control_frames.h"
#include "controller/transport/message_stream.h"
#include "controller/transport/send_room.h"

namespace millrace {

class FramedStream final : public MessageStream {
 public:
  // `frames` reads from `connection`. `closed` is called once, by Close().
  FramedStream(Reactor& reactor, std::unique_ptr<Connection> connection, ControlFrameReader frames,
               StreamHello hello, StreamWelcome welcome, std::function<void()> closed);
  ~FramedStream() override;

  Task<absl::StatusOr<std::string>> Receive() override;
  Task<absl::Status> Send(std::string message) override;
  void Shutdown() override;
  Task<void> Close() override;
  const StreamHello& hello() const override { return hello_; }
  const StreamWelcome& welcome() const override { return welcome_; }

 private:
  Task<void> SendQueued();
  // The stream is over, and why; the first reason stays.
  absl::Status End(absl::Status why);

  // Constant after construction.
  const StreamHello hello_;
  const StreamWelcome welcome_;
  // Owned.
  std::unique_ptr<Connection> connection_;
  ControlFrameReader frames_;
  std::function<void()> closed_;
  SendRoom room_;
  Gate calls_;
  TaskScope sending_;
  // State.
  std::deque<Slice> queue_;
  bool sender_runs_ = false;
  bool receiving_ = false;
  absl::Status end_;  // Not ok: the stream is over.
};

}  // namespace millrace

// LoopbackStream: a MessageStream within one process, without a network: what a broker and the
// active controller of the same node talk over, and what tests take for a stream. Nothing is
// encoded but the users' messages; a send is one move.
//
//   auto [here, there] = MakeLoopbackStreams(reactor, hello, welcome);
//
// Shard:    one, that of `reactor`.
// Lifetime: as MessageStream: every pending call must have ended, then Close(). The two ends may go
//           in any order.
// Errors:   as MessageStream. What was sent before an end was shut down is still received.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/runtime/event.h"
#include "controller/transport/message_stream.h"

namespace millrace {

namespace internal {

// Both directions of one stream. Direction i carries what end i sends.
struct LoopbackPipe {
  LoopbackPipe(Reactor& reactor, StreamHello its_hello, StreamWelcome its_welcome)
      : hello(std::move(its_hello)), welcome(its_welcome), changed(reactor) {}
  const StreamHello hello;
  const StreamWelcome welcome;
  std::deque<std::string> queues[2];
  size_t bytes[2] = {0, 0};
  bool shut[2] = {false, false};  // By end i.
  Event changed;
};

}  // namespace internal

class LoopbackStream final : public MessageStream {
 public:
  LoopbackStream(std::shared_ptr<internal::LoopbackPipe> pipe, size_t end)
      : pipe_(std::move(pipe)), end_(end) {}
  ~LoopbackStream() override { MR_CHECK(closed_); }

  Task<absl::StatusOr<std::string>> Receive() override {
    internal::LoopbackPipe& pipe = *pipe_;
    std::deque<std::string>& queue = pipe.queues[1 - end_];
    while (queue.empty() && !pipe.shut[0] && !pipe.shut[1]) co_await pipe.changed.Wait();
    if (pipe.shut[end_]) co_return absl::CancelledError("the stream was shut down");
    if (queue.empty()) co_return absl::UnavailableError("the other end is gone");
    std::string message = std::move(queue.front());
    queue.pop_front();
    pipe.bytes[1 - end_] -= message.size();
    pipe.changed.Pulse();
    co_return message;
  }

  Task<absl::Status> Send(std::string message) override {
    internal::LoopbackPipe& pipe = *pipe_;
    if (message.size() > kControlMessageBytesMax) {
      co_return absl::InvalidArgumentError("a message that is too large");
    }
    const uint64_t ticket = next_ticket_++;
    while ((ticket != serving_ || pipe.bytes[end_] > kControlSendBytesMax) && !pipe.shut[0] &&
           !pipe.shut[1]) {
      co_await pipe.changed.Wait();
    }
    if (pipe.shut[end_]) co_return absl::CancelledError("the stream was shut down");
    if (pipe.shut[1 - end_]) co_return absl::UnavailableError("the other end is gone");
    ++serving_;
    pipe.bytes[end_] += message.size();
    pipe.queues[end_].push_back(std::move(message));
    pipe.changed.Pulse();
    co_return absl::OkStatus();
  }

  void Shutdown() override {
    pipe_->shut[end_] = true;
    pipe_->changed.Pulse();
  }

  Task<void> Close() override {
    Shutdown();
    closed_ = true;
    co_return;
  }

  const StreamHello& hello() const override { return pipe_->hello; }
  const StreamWelcome& welcome() const override { return pipe_->welcome; }

 private:
  const std::shared_ptr<internal::LoopbackPipe> pipe_;
  const size_t end_;
  uint64_t next_ticket_ = 0;  // Sends that wait keep the order of the calls.
  uint64_t serving_ = 0;
  bool closed_ = false;
};

struct LoopbackStreams {
  std::unique_ptr<MessageStream> dialer;
  std::unique_ptr<MessageStream> acceptor;
};

inline LoopbackStreams MakeLoopbackStreams(Reactor& reactor, StreamHello hello,
                                           StreamWelcome welcome) {
  auto pipe = std::make_shared<internal::LoopbackPipe>(reactor, std::move(hello), welcome);
  return {std::make_unique<LoopbackStream>(pipe, 0), std::make_unique<LoopbackStream>(pipe, 1)};
}

}  // namespace millrace

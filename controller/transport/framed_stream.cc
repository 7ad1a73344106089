#include "controller/transport/framed_stream.h"

#include <fmt/format.h>

#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

// What one send gathers at most, so that room comes free while much is being sent.
constexpr size_t kSendBytes = size_t{256} << 10;

}  // namespace

FramedStream::FramedStream(Reactor& reactor, std::unique_ptr<Connection> connection,
                           ControlFrameReader frames, StreamHello hello, StreamWelcome welcome,
                           std::function<void()> closed)
    : hello_(std::move(hello)),
      welcome_(std::move(welcome)),
      connection_(std::move(connection)),
      frames_(std::move(frames)),
      closed_(std::move(closed)),
      room_(reactor, kControlSendBytesMax),
      calls_(reactor),
      sending_(reactor) {}

FramedStream::~FramedStream() { MR_CHECK(connection_ == nullptr); }

absl::Status FramedStream::End(absl::Status why) {
  if (end_.ok()) {
    // Bytes that are no frames: of no more use than a broken connection.
    if (!absl::IsCancelled(why)) why = absl::UnavailableError(std::string(why.message()));
    end_ = std::move(why);
    room_.Close();
    connection_->Shutdown();
  }
  return end_;
}

Task<absl::StatusOr<std::string>> FramedStream::Receive() {
  MR_CHECK(!receiving_);
  Gate::Holder hold = calls_.TryEnter();
  if (!end_.ok()) co_return end_;
  receiving_ = true;
  absl::StatusOr<std::string> message =
      co_await frames_.Next(ControlFrameType::kMessage, kControlMessageBytesMax);
  receiving_ = false;
  if (!end_.ok()) co_return end_;
  if (!message.ok()) co_return End(message.status());
  co_return message;
}

Task<absl::Status> FramedStream::Send(std::string message) {
  if (message.size() > kControlMessageBytesMax) {
    co_return absl::InvalidArgumentError(fmt::format("a message of {} bytes; {} are the most",
                                                     message.size(), kControlMessageBytesMax));
  }
  Gate::Holder hold = calls_.TryEnter();
  if (!end_.ok()) co_return end_;
  if (!co_await room_.Enter(kControlFrameHeaderBytes + message.size())) co_return end_;
  queue_.push_back(EncodeControlFrame(ControlFrameType::kMessage, message));
  if (!sender_runs_) {
    sender_runs_ = true;
    sending_.Spawn(SendQueued(), SchedClass::kReplication);
  }
  co_return absl::OkStatus();
}

Task<void> FramedStream::SendQueued() {
  while (end_.ok() && !queue_.empty()) {
    Chain out;
    while (!queue_.empty() && out.size() < kSendBytes) {
      out.Append(std::move(queue_.front()));
      queue_.pop_front();
    }
    const size_t bytes = out.size();
    absl::Status sent = co_await connection_->Send(std::move(out));
    room_.Leave(bytes);
    if (!sent.ok()) (void)End(std::move(sent));
  }
  sender_runs_ = false;
}

void FramedStream::Shutdown() {
  if (connection_ != nullptr) (void)End(absl::CancelledError("the stream was shut down"));
}

Task<void> FramedStream::Close() {
  MR_CHECK(connection_ != nullptr);
  Shutdown();
  co_await calls_.Close();
  co_await sending_.Stop();
  co_await connection_->Close();
  connection_ = nullptr;
  if (closed_) closed_();
}

}  // namespace millrace

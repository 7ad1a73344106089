#include "controller/grpc/grpc_stream.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "common/check.h"

namespace millrace {

Task<void> EndGrpcCall(Env* env, std::unique_ptr<GrpcCall> call) {
  Event progress(env->reactor);
  call->OnProgress([&progress] { progress.Pulse(); });
  call->Cancel();
  while (!call->end().has_value()) co_await progress.Wait();
  co_await env->helpers.Run([call = std::move(call)]() mutable { call.reset(); });
}

GrpcStream::GrpcStream(Env& env, std::unique_ptr<GrpcCall> call, std::unique_ptr<GrpcTunnel> tunnel,
                       StreamHello hello, StreamWelcome welcome, std::function<void()> closed)
    : hello_(std::move(hello)),
      welcome_(std::move(welcome)),
      env_(env),
      call_(std::move(call)),
      tunnel_(std::move(tunnel)),
      closed_(std::move(closed)),
      room_(env.reactor, kControlSendBytesMax),
      calls_(env.reactor),
      progress_(env.reactor) {
  call_->OnProgress([this] { OnProgress(); });
}

GrpcStream::~GrpcStream() { MR_CHECK(call_ == nullptr); }

void GrpcStream::OnProgress() {
  if (end_.ok() && call_->broken()) {
    end_ = absl::UnavailableError(
        fmt::format("the stream with node {} broke",
                    tunnel_ != nullptr ? welcome_.from.value() : hello_.from.value()));
  }
  if (end_.ok()) {
    room_.Leave(call_->TakeWritten());
    if (room_.has_waiters()) call_->WantRoom();
  } else {
    room_.Close();
  }
  if (progress_.has_waiters()) progress_.Pulse();
}

Task<absl::StatusOr<std::string>> GrpcStream::Receive() {
  MR_CHECK(!receiving_);
  Gate::Holder hold = calls_.TryEnter();
  for (;;) {
    if (absl::IsCancelled(end_) || !hold) co_return end_;
    // What had arrived before the stream broke comes first.
    if (std::optional<std::string> message = call_->TakeMessage(); message.has_value()) {
      co_return *std::move(message);
    }
    if (!end_.ok()) co_return end_;
    receiving_ = true;
    co_await progress_.Wait();
    receiving_ = false;
  }
}

Task<absl::Status> GrpcStream::Send(std::string message) {
  if (message.size() > kControlMessageBytesMax) {
    co_return absl::InvalidArgumentError(fmt::format("a message of {} bytes; {} are the most",
                                                     message.size(), kControlMessageBytesMax));
  }
  Gate::Holder hold = calls_.TryEnter();
  if (!end_.ok()) co_return end_;
  room_.Leave(call_->TakeWritten());
  const size_t bytes = message.size() + kGrpcMessageOverheadBytes;
  if (!room_.Fits(bytes)) call_->WantRoom();
  if (!co_await room_.Enter(bytes)) co_return end_;
  call_->Write(std::move(message));
  co_return absl::OkStatus();
}

void GrpcStream::Shutdown() {
  if (call_ == nullptr || absl::IsCancelled(end_)) return;
  end_ = absl::CancelledError("the stream was shut down");
  call_->Cancel();
  room_.Close();
  if (progress_.has_waiters()) progress_.Pulse();
}

Task<void> GrpcStream::Close() {
  MR_CHECK(call_ != nullptr);
  Shutdown();
  co_await calls_.Close();
  // The peer's stream breaks now, however long gRPC takes.
  if (tunnel_ != nullptr) tunnel_->Shutdown();
  co_await EndGrpcCall(&env_, std::move(call_));
  if (tunnel_ != nullptr) {
    co_await tunnel_->Close();
    tunnel_ = nullptr;
  }
  if (closed_) closed_();
}

}  // namespace millrace

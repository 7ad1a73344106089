#include "controller/grpc/grpc_call.h"

#include <utility>

#if __has_feature(thread_sanitizer)
// gRPC and Abseil are built without TSan, which does not see how their threads hand memory over:
// what gRPC's templates and libraries touch, and a call's way from its birth to its first callback.
// What is ours of it, this file and the shard's side, stays watched.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the runtime's hook.
extern "C" const char* __tsan_default_suppressions() {
  return "race:grpcpp/\n"
         "race:CreateReactor\n"
         "race:StartGrpcCall\n"
         "race:libgrpc\n"
         "race:libgpr\n"
         "race:libabsl_\n";
}
#endif

namespace millrace {

bool GrpcCall::MustPost() { return !std::exchange(posted_, true); }

template <typename Change>
void GrpcCall::Tell(Change change) {
  bool post = false;
  {
    std::lock_guard lock(mutex_);
    if (change()) post = MustPost();
  }
  // Once the shard has heard of the end, the call may go at any time: nothing of it is touched
  // after this, and nothing after the unlocking when somebody else has posted.
  if (post) home_.PostItem(*this);
}

void GrpcCall::Run() {
  {
    std::lock_guard lock(mutex_);
    posted_ = false;
  }
  // A copy: it may replace itself.
  if (const std::function<void()> progress = progress_; progress) progress();
}

void GrpcCall::Announce() {
  Tell([] { return true; });
}

std::optional<std::string> GrpcCall::introduction() {
  std::lock_guard lock(mutex_);
  return introduction_;
}

std::optional<std::string> GrpcCall::TakeMessage() {
  std::lock_guard lock(mutex_);
  if (received_.empty()) return std::nullopt;
  std::string message = std::move(received_.front());
  received_.pop_front();
  received_bytes_ -= message.size() + kGrpcMessageOverheadBytes;
  if (!reading_ && !broken_ && !finished_ && received_bytes_ < kGrpcReceiveAheadBytes) {
    reading_ = true;
    StartReading();
  }
  return message;
}

bool GrpcCall::broken() {
  std::lock_guard lock(mutex_);
  return broken_;
}

std::optional<GrpcEnd> GrpcCall::end() {
  std::lock_guard lock(mutex_);
  // While it lies in the inbox it may not go.
  return posted_ ? std::nullopt : end_;
}

void GrpcCall::Write(std::string message) {
  std::lock_guard lock(mutex_);
  if (broken_ || finished_) return;
  if (writing_bytes_ > 0) {
    unsent_.push_back(std::move(message));
    return;
  }
  writing_bytes_ = message.size() + kGrpcMessageOverheadBytes;
  StartWriting(std::move(message));
}

size_t GrpcCall::TakeWritten() {
  std::lock_guard lock(mutex_);
  return std::exchange(written_bytes_, 0);
}

void GrpcCall::WantRoom() {
  Tell([this] {
    room_wanted_ = written_bytes_ == 0;
    return !room_wanted_;
  });
}

void GrpcCall::Introduced(std::string introduction) {
  Tell([this, &introduction] {
    introduction_ = std::move(introduction);
    return true;
  });
}

void GrpcCall::ReadDone(std::optional<std::string> message) {
  Tell([this, &message] {
    reading_ = false;
    if (!message.has_value()) {
      BreakLocked();
      return true;
    }
    received_bytes_ += message->size() + kGrpcMessageOverheadBytes;
    received_.push_back(*std::move(message));
    if (!broken_ && !finished_ && received_bytes_ < kGrpcReceiveAheadBytes) {
      reading_ = true;
      StartReading();
    }
    return true;
  });
}

void GrpcCall::WriteDone(bool ok) {
  Tell([this, ok] {
    written_bytes_ += std::exchange(writing_bytes_, 0);
    // What breaks is told by the read or the end of the call, behind what arrived before it.
    if (ok && !finished_ && !unsent_.empty()) {
      std::string message = std::move(unsent_.front());
      unsent_.pop_front();
      writing_bytes_ = message.size() + kGrpcMessageOverheadBytes;
      StartWriting(std::move(message));
    }
    return std::exchange(room_wanted_, false);
  });
}

void GrpcCall::BreakLocked() {
  broken_ = true;
  unsent_.clear();
  WhenBroken();
}

void GrpcCall::Broken() {
  Tell([this] {
    BreakLocked();
    return true;
  });
}

void GrpcCall::Ended(GrpcEnd end) {
  Tell([this, &end] {
    broken_ = true;
    finished_ = true;
    end_ = std::move(end);
    return true;
  });
}

}  // namespace millrace

// GrpcCall: one bidirectional gRPC call, between its shard and gRPC's threads. Only std types show:
// code built with ASan must not share Abseil's containers with the library.
//
//   shard ── Write(), Cancel() ──► call ──► gRPC       called under the call's mutex; gRPC runs its
//   shard ◄── inbox ◄── call ◄── gRPC's threads        callbacks on threads of its own, never inside
//                                                      of a call to it
//
// gRPC's threads only put values down here and post the call into the shard's inbox, at most once
// at a time; there OnProgress() looks what is new.
//
// Shard:    what is said to be of the shard; the rest on gRPC's threads, under the mutex.
// Lifetime: owned by its shard. Destroyed after end() has said something, and on a helper thread:
//           the last channel that goes waits for gRPC's threads to end.
// Bound:    reading stops while kGrpcReceiveAheadBytes lie received; what is written is bounded by
//           the stream (SendRoom).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/runtime/inbox.h"
#include "common/runtime/loop_reactor.h"

namespace millrace {

inline constexpr size_t kGrpcReceiveAheadBytes = size_t{1} << 20;

// How a call ended: gRPC's status code, by number, and its text.
struct GrpcEnd {
  int code;
  std::string message;
  static constexpr int kFailedPrecondition = 9;
};

class GrpcCall : private InboxItem {
 public:
  GrpcCall(const GrpcCall&) = delete;
  GrpcCall& operator=(const GrpcCall&) = delete;
  virtual ~GrpcCall() = default;

  // --- The shard's side.
  // Runs on the shard, in a turn of its own, whenever something below may have changed.
  void OnProgress(std::function<void()> progress) { progress_ = std::move(progress); }

  // What the other side said first: the server's welcome to a client; nothing before it came.
  std::optional<std::string> introduction();
  std::optional<std::string> TakeMessage();
  // No message will come any more but those that TakeMessage() still gives; nothing can be sent.
  bool broken();
  // Nothing: the call goes on, and gRPC or the inbox may call us.
  std::optional<GrpcEnd> end();
  void Write(std::string message);
  // Bytes (counted with kGrpcMessageOverheadBytes) that gRPC has taken since the last call.
  size_t TakeWritten();
  // OnProgress() when TakeWritten() has more to say; without it that is no news worth waking for.
  void WantRoom();
  // The call ends soon. Idempotent.
  virtual void Cancel() = 0;

 protected:
  explicit GrpcCall(LoopReactor& home) : home_(home) {}

  // --- gRPC's side. Each takes the mutex.
  void Introduced(std::string introduction);
  void ReadDone(std::optional<std::string> message);
  void WriteDone(bool ok);
  void Broken();
  // The last thing that gRPC says; the call may be gone when it returns.
  void Ended(GrpcEnd end);
  // There is news for the shard.
  void Announce();

  // Called with the mutex held.
  virtual void StartReading() = 0;
  virtual void StartWriting(std::string message) = 0;
  virtual void WhenBroken() {}

  std::mutex mutex_;       // Guards everything below but progress_.
  bool finished_ = false;  // Nothing may be started any more.
  bool reading_ = false;

 private:
  // Locks, runs `change`, unlocks, and posts when there is news.
  template <typename Change>
  void Tell(Change change);
  bool MustPost();
  void BreakLocked();
  void Run() override;

  LoopReactor& home_;
  std::function<void()> progress_;  // The shard's.
  std::optional<std::string> introduction_;
  std::deque<std::string> received_;
  size_t received_bytes_ = 0;
  std::deque<std::string> unsent_;
  size_t writing_bytes_ = 0;  // Of the message that gRPC has; 0: none.
  size_t written_bytes_ = 0;
  bool room_wanted_ = false;
  bool broken_ = false;
  std::optional<GrpcEnd> end_;
  bool posted_ = false;
};

// What an empty message counts for.
inline constexpr size_t kGrpcMessageOverheadBytes = 64;

}  // namespace millrace

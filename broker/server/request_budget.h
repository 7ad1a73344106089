// RequestBudget: memory for the frames that one shard is receiving and working on. Three lines:
// frames of ordinary size share one budget; large ones wait for each other in a budget of their
// own, so that a frame which needs most of the memory, or more than there is, never makes the
// others wait; and small ones have a reserve that only they may use once the rest is taken, so that
// a few senders which begin frames of ordinary size and do not go on stop neither the heartbeats nor
// the small requests of everybody else. (Such senders are closed while others wait: ClientConnection.)
//
// A frame is charged from its announcement until its request has been decoded and appended; what a
// log keeps of it is charged there (Slice::Uncharge), because it may be kept for ever.
//
// Shard:    one; blocks may be released from any thread.
// Lifetime: outlives every frame charged to it.
// Bound:    `bytes_max`, of which the reserve is a part, and once the largest frame allowed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "broker/server/memory_line.h"
#include "common/check.h"

namespace millrace {

// Counts the bytes of replies that wait to be sent and are in no budget (the records of Fetch are). Nobody
// waits for room: a reply is there before its size is known. While it is full a connection whose
// replies have not all been sent is asked for no further requests, and one that does not read them is
// closed soon.
class ReplyAccount {
 public:
  explicit ReplyAccount(size_t bytes_max) : bytes_max_(bytes_max) {}
  ReplyAccount(const ReplyAccount&) = delete;
  ReplyAccount& operator=(const ReplyAccount&) = delete;

  void Add(size_t bytes) { used_ += bytes; }
  void Remove(size_t bytes) {
    MR_CHECK(bytes <= used_);
    used_ -= bytes;
  }
  size_t used() const { return used_; }
  bool full() const { return used_ > bytes_max_; }

 private:
  const size_t bytes_max_;
  size_t used_ = 0;
};

class RequestBudget {
 public:
  RequestBudget(Reactor& reactor, size_t bytes_max, size_t frame_bytes_max)
      : small_(reactor, bytes_max / kReservePart),
        ordinary_(reactor, bytes_max - bytes_max / kReservePart),
        large_(reactor, std::max(frame_bytes_max, size_t{1})),
        replies_(bytes_max / kRepliesPart) {}

  // Where a frame of `bytes` is charged, and waits if it must: to be asked anew for each.
  MemoryLine& For(size_t bytes) {
    if (bytes > ordinary_.bytes_max() / kOrdinaryFrames) return large_;
    const bool small = bytes <= std::min(kSmallFrameBytes, small_.bytes_max() / kOrdinaryFrames);
    return small && !ordinary_.Fits(bytes) ? small_ : ordinary_;
  }

  // Whether somebody waits too long who could have the memory of a frame that `charged` was charged
  // for.
  bool HoldsUpOthers(const MemoryLine& charged) const {
    return charged.held_up() || (&charged == &ordinary_ && small_.held_up());
  }

  ReplyAccount& replies() { return replies_; }

  // Connections that were closed because others waited for memory they kept: ClientConnection.
  void CountClosed() { ++closed_; }
  uint64_t closed() const { return closed_; }

  size_t used() const { return small_.used() + ordinary_.used() + large_.used(); }

 private:
  // At least so many ordinary frames are under way at a time.
  static constexpr size_t kOrdinaryFrames = 8;
  static constexpr size_t kReservePart = 8;
  static constexpr size_t kRepliesPart = 4;
  // Most requests, and batches of producers that do not gather much.
  static constexpr size_t kSmallFrameBytes = size_t{64} << 10;

  MemoryLine small_;
  MemoryLine ordinary_;
  MemoryLine large_;
  ReplyAccount replies_;
  uint64_t closed_ = 0;
};

}  // namespace millrace

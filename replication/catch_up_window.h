// CatchUpWindow: how much of what was read from disk for a follower that is behind may be on its way,
// not yet reported as stored. What is appended now goes over the same stream and into the same journal
// there, behind whatever was sent before it: without a bound that is all the credit, and a producer
// waits for a replica that takes a second to come to its record.
//
// A piece takes a while at least (the way, the follower's work, its disk); what it takes longer than that
// it has waited behind others. While that is less than the target the window grows, by at most a piece
// for each window; beyond it it shrinks. So a long way is filled, too, and a slow disk is not flooded.
//
//   OnSent ──► on its way ── OnStored: the follower has it (durably, on a `disk` topic)
//                         ── Forget: its subscription has ended
//
// Pure. Times are given.
// Source: RFC 6817 (LEDBAT).
#pragma once

#include <cstddef>
#include <deque>

#include "common/ids.h"
#include "common/time.h"
#include "replication/stream_frames.h"

namespace millrace {

struct CatchUpLimits {
  // Raise: a follower that is behind is back sooner; what is appended meanwhile waits longer.
  Duration queueing = milliseconds(5);
  size_t window_min = size_t{512} << 10;  // One piece is always allowed.
  size_t window_max = size_t{64} << 20;
};

class CatchUpWindow {
 public:
  explicit CatchUpWindow(CatchUpLimits limits = {}) : limits_(limits), window_(limits.window_min) {}

  bool has_room() const { return on_its_way_ < window_; }
  size_t window() const { return window_; }

  // A piece of `bytes` that ends before `next`.
  void OnSent(StreamHandle handle, Offset next, size_t bytes, Instant now);
  // True: there may be room now.
  bool OnStored(StreamHandle handle, Offset log_end, Instant now);
  bool Forget(StreamHandle handle);

 private:
  struct Piece {
    StreamHandle handle;
    Offset next;
    size_t bytes;
    Instant sent;
  };
  void Learn(const Piece& piece, Instant now);

  const CatchUpLimits limits_;
  std::deque<Piece> pieces_;  // As they were sent.
  size_t on_its_way_ = 0;
  size_t window_;
  // The least that a piece took lately: in this period, and in the one before.
  Duration least_ = Duration::max();
  Duration least_before_ = Duration::max();
  Instant period_ends_{0};
};

}  // namespace millrace

// CatchUpWindow: how much of what was read from disk for a follower that is behind may be on its way over
// one stream, not yet durable there. What is appended now goes over the same stream and into the same
// journal, behind whatever was sent before it: without a bound that is all the credit, and a producer
// waits for a replica that takes a second to come to its record.
//
// A piece takes a while at least (the way, the follower's work, its disk); what it takes longer than that
// it has waited behind others. While that is less than the target, and the window was what held the
// sender back, it grows, by at most a piece for each window; beyond the target it shrinks. So a long way
// is filled, too, and a slow disk is not flooded. Now and then it begins anew, so that the least that a
// piece takes is not one that has waited.
//
//   OnSent ──► on its way ── OnDurable: the follower has it (appended is enough on a `page-cache` topic)
//                         ── Forget: its subscription has ended
//                         ── Expire: it takes too long; what lies on other disks does not wait for it
//
// Pure. Times are given.
// Bounds:  the target holds for one stream, above window_min: a follower's shard has a stream for each
//          leader's shard.
// Source:  RFC 6817 (LEDBAT).
#pragma once

#include <cstddef>
#include <deque>
#include <optional>

#include "common/ids.h"
#include "common/time.h"
#include "replication/stream_frames.h"

namespace millrace {

struct CatchUpLimits {
  // Raise: a follower that is behind is back sooner; what is appended meanwhile waits longer.
  Duration queueing = milliseconds(5);
  size_t piece_bytes = size_t{512} << 10;  // Smaller ones teach nothing: their way is shorter.
  size_t window_min = size_t{512} << 10;   // One piece is always allowed.
  size_t window_max = size_t{8} << 20;     // The credit: more cannot be on its way.
  Duration patience = seconds(1);
};

class CatchUpWindow {
 public:
  explicit CatchUpWindow(CatchUpLimits limits = {}) : limits_(limits), window_(limits.window_min) {}

  bool has_room() const { return on_its_way_ < window_; }
  size_t window() const { return window_; }
  // When Expire() may make room, if anything is on its way.
  std::optional<Instant> expires() const;

  // A piece of `bytes` that ends before `next`.
  void OnSent(StreamHandle handle, Offset next, size_t bytes, Instant now);
  // True: there may be room now.
  bool OnDurable(StreamHandle handle, Offset durable_end, Instant now);
  bool Forget(StreamHandle handle);
  void Expire(Instant now);

 private:
  struct Piece {
    StreamHandle handle;
    Offset next;
    size_t bytes;
    Instant sent;
    bool was_full;  // The window was the bound when it was sent.
  };
  void Learn(const Piece& piece, Instant now);

  const CatchUpLimits limits_;
  std::deque<Piece> pieces_;  // As they were sent.
  size_t on_its_way_ = 0;
  size_t window_;
  Duration least_ = Duration::max();  // That a piece took in this period.
  Instant period_ends_{0};
};

}  // namespace millrace

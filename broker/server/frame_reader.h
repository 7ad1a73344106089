// FrameReader: turns the byte stream of one connection into Kafka frames.
//
// A frame is a 4-byte size and that many bytes. An idle connection holds no receive memory; one
// that has announced a big frame but sent little of it holds what it sent (16 KiB at most) and no
// budget. Only then are the frame's bytes taken from the shard's request budget, all at once and
// before any more is read: without budget we stop reading and TCP slows the sender.
//
// Shard:    the connection's.
// Lifetime: connection and budget outlive it.
// Errors:   kInvalidArgument: a size that is negative, zero or above the limit. kUnavailable: the
// stream ended or broke.
//           kOutOfRange: clean end of stream between frames. kCancelled.
// Source:   docs/architecture.md, Network; RELIABILITY D 1-3, 52.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "broker/server/request_budget.h"
#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

// Reads at most this much before the size of a frame is known and charged.
inline constexpr size_t kReadAheadBytes = 16 * 1024;
// Bodies from this size on get a page-aligned buffer of their own, received into without a copy.
inline constexpr size_t kLargeFrameBytes = 8 * 1024;
// A large body is received in pieces, so that progress shows: of the first size, and of the second
// from a sender that is fast enough.
inline constexpr size_t kReceivePieceBytes = size_t{32} << 10;
inline constexpr size_t kReceiveFastPieceBytes = size_t{128} << 10;

// What comes in or goes out of one connection in pieces: since when, and how far it is.
struct PieceProgress {
  Instant begun{0};
  Instant latest{0};  // The last piece's end.
  size_t bytes = 0;
  size_t piece = 0;  // The one under way.

  // The piece has ended. Whether the next one of `larger` bytes would not take long.
  bool Add(size_t larger, Instant now) {
    const bool fast = (now - latest) * static_cast<int64_t>(larger / piece + 1) <= seconds(1);
    bytes += piece;
    latest = now;
    return fast;
  }
};

class FrameReader {
 public:
  FrameReader(Reactor& reactor, Connection& connection, RequestBudget& budget,
              size_t frame_bytes_max)
      : reactor_(reactor),
        connection_(connection),
        budget_(budget),
        frame_bytes_max_(frame_bytes_max) {}

  // The next frame without its size prefix. The slice (or what keeps it alive) stays charged to the
  // budget.
  Task<absl::StatusOr<Slice>> Next(CancellationToken cancel);

  // What has arrived and was not taken, at least `wanted` bytes (at most kReadAheadBytes) of it; it
  // stays for Next().
  Task<absl::StatusOr<Slice>> Peek(size_t wanted);
  // Gives up what has arrived and was not taken: another reads on.
  Slice TakeAhead() { return std::move(ahead_); }
  // Nothing has arrived that was not taken.
  bool empty() const { return ahead_.empty(); }

  // A frame has begun and is not complete, and we do not wait for memory: the peer owes us bytes.
  bool mid_frame() const { return mid_frame_; }

  // The frame that is coming in has memory that others wait too long for.
  bool holds_up_others() const { return charged_ != nullptr && budget_.HoldsUpOthers(*charged_); }

  // Changes whenever the frame comes on: by bytes, or by the memory it waited for. A sender that is
  // slow but moves is told from one that stalls.
  uint64_t progress() const { return progress_; }
  // Of the frame that is coming in, since it has its memory.
  const PieceProgress& body_progress() const { return body_progress_; }

 private:
  // The rest of a frame of `size` bytes, which `line` was charged.
  Task<absl::StatusOr<Slice>> ReceiveBody(size_t size, MemoryLine* line);
  // Makes `ahead_` hold at least `wanted` bytes (<= kReadAheadBytes), copying pieces together where
  // needed.
  Task<absl::Status> Fill(size_t wanted);

  Reactor& reactor_;
  Connection& connection_;
  RequestBudget& budget_;
  const size_t frame_bytes_max_;
  Slice ahead_;  // Received, not yet handed out.
  bool mid_frame_ = false;
  MemoryLine* charged_ = nullptr;  // Of the frame that is coming in.
  PieceProgress body_progress_;
  uint64_t progress_ = 0;
};

}  // namespace millrace

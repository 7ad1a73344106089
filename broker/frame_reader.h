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

#include "broker/request_budget.h"
#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/task.h"

namespace millrace {

// Reads at most this much before the size of a frame is known and charged.
inline constexpr size_t kReadAheadBytes = 16 * 1024;
// Bodies from this size on get a page-aligned buffer of their own, received into without a copy.
inline constexpr size_t kLargeFrameBytes = 8 * 1024;
// A large body is received in pieces of this size, so that progress shows.
inline constexpr size_t kReceivePieceBytes = size_t{128} << 10;

class FrameReader {
 public:
  FrameReader(Connection& connection, RequestBudget& budget, size_t frame_bytes_max)
      : connection_(connection), budget_(budget), frame_bytes_max_(frame_bytes_max) {}

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

  // The frame that is coming in has memory that others wait for.
  bool holds_up_others() const { return charged_ != nullptr && budget_.HoldsUpOthers(*charged_); }

  // Changes whenever the frame comes on: by bytes, or by the memory it waited for. A sender that is
  // slow but moves is told from one that stalls.
  uint64_t progress() const { return progress_; }

 private:
  // The rest of a frame of `size` bytes, which `budget` was charged.
  Task<absl::StatusOr<Slice>> ReceiveBody(size_t size, ByteBudget* budget);
  // Makes `ahead_` hold at least `wanted` bytes (<= kReadAheadBytes), copying pieces together where
  // needed.
  Task<absl::Status> Fill(size_t wanted);

  Connection& connection_;
  RequestBudget& budget_;
  const size_t frame_bytes_max_;
  Slice ahead_;  // Received, not yet handed out.
  bool mid_frame_ = false;
  ByteBudget* charged_ = nullptr;  // Of the frame that is coming in.
  uint64_t progress_ = 0;
};

}  // namespace millrace

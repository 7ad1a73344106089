// The frames of a replication stream as bytes: what a follower's shard and a leader's shard say to
// each other once the hello (replication_hello.h) has made the stream theirs. Pure.
//
//   frame := head (12 bytes) body
//   head  := body bytes u32, type u8, three zero bytes, CRC-32C u32
//
// All numbers are big-endian. The checksum covers the head's first 8 bytes and the body, but not the
// batches of a Data frame, which carry their own: a flipped bit in a Progress frame would count as
// stored what is not.
//
// A handle stands for one subscription: one (topic id, partition, leader epoch) between the two
// broker epochs of the hello. The follower chooses it and never uses it again on that stream, so a
// frame that arrives under a handle that has ended is late, and is dropped. What truncates ends its
// subscription first and subscribes anew, under another handle.
//
//   follower -> leader                            leader -> follower
//   Subscribe    this is what I have of it        Accepted   it agrees; data follows
//   Unsubscribe  no more of it                    Diverged   cut your log, subscribe anew
//   Progress     so far have I come (many)        Outside    your end is not in my log: begin anew
//   Credit       so many more bytes may come      Refused    not from here, or not now
//                                                 Data       batches, and what State says
//                                                 State      high watermark and log start (many)
//                                                 Ended      no more of it comes from here
//   Allow        so much of one may come          KeepAlive  I am still here (both ways)
//   Echo         say this number again            Echo       as it was asked for
//
// Errors:  parsing takes hostile bytes: kInvalidArgument, and the stream is of no more use. Nothing
//          is allocated before a count was checked against the bytes that are there.
// Source:  docs/replication.md.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "replication/log_match.h"

namespace millrace {

using StreamHandle = StrongId<struct StreamHandleTag, uint32_t>;

inline constexpr size_t kStreamHeadBytes = 12;
// Any frame but Data.
inline constexpr size_t kStreamControlBodyMax = size_t{64} << 10;
// Handle, high watermark, log start: in front of a Data frame's batches, and one entry of a State.
inline constexpr size_t kStreamStateBytes = 4 + 8 + 8;
// Handle and ends: one entry of a Progress.
inline constexpr size_t kStreamProgressBytes = 4 + 3 * 8;
// Entries of one Progress or State frame.
inline constexpr size_t kStreamEntriesMax = kStreamControlBodyMax / kStreamProgressBytes;

enum class StreamFrameType : uint8_t {
  kKeepAlive = 1,
  kEcho = 2,
  // Of a follower.
  kSubscribe = 16,
  kUnsubscribe = 17,
  kProgress = 18,
  kCredit = 19,
  kAllow = 20,
  // Of a leader.
  kAccepted = 32,
  kDiverged = 33,
  kOutside = 34,
  kRefused = 35,
  kData = 36,
  kState = 37,
  kEnded = 38,
};

struct StreamKeepAlive {
  friend bool operator==(const StreamKeepAlive&, const StreamKeepAlive&) = default;
};

// A leader's answer was sent after the question: it was alive then. Questions that come before an
// answer has left are answered with the last one's number. Only where both sides have
// kReplicationEcho.
struct StreamEcho {
  uint64_t number;
  friend bool operator==(const StreamEcho&, const StreamEcho&) = default;
};

// What the follower has, so that the leader finds where the two logs part (KIP-279, KIP-595).
struct StreamSubscribe {
  StreamHandle handle;
  TopicPartitionId id;
  FollowerHello hello;
  friend bool operator==(const StreamSubscribe&, const StreamSubscribe&) = default;
};

struct StreamUnsubscribe {
  StreamHandle handle;
  friend bool operator==(const StreamUnsubscribe&, const StreamUnsubscribe&) = default;
};

struct StreamProgress {
  struct Entry {
    StreamHandle handle;
    ReplicaEnds ends;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries;
  friend bool operator==(const StreamProgress&, const StreamProgress&) = default;
};

// Bytes of batches that may come beyond those allowed before.
struct StreamCredit {
  uint32_t bytes;
  friend bool operator==(const StreamCredit&, const StreamCredit&) = default;
};

// So many bytes under this handle may come beyond those allowed before. From the first on it is
// bounded; what is on its way by then counts for nothing. Only where both sides have
// kReplicationAllow.
struct StreamAllow {
  static constexpr uint32_t kUnbounded = UINT32_MAX;  // As it was without an Allow.
  StreamHandle handle;
  uint32_t bytes;
  friend bool operator==(const StreamAllow&, const StreamAllow&) = default;
};

struct StreamState {
  struct Entry {
    StreamHandle handle;
    Offset high_watermark;
    Offset log_start;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries;
  friend bool operator==(const StreamState&, const StreamState&) = default;
};

struct StreamAccepted {
  StreamState::Entry state;
  friend bool operator==(const StreamAccepted&, const StreamAccepted&) = default;
};

struct StreamDiverged {
  StreamHandle handle;
  LogsDiverge answer;
  friend bool operator==(const StreamDiverged&, const StreamDiverged&) = default;
};

struct StreamOutside {
  StreamHandle handle;
  OutsideLog answer;
  friend bool operator==(const StreamOutside&, const StreamOutside&) = default;
};

// Why a subscription is refused, or has ended.
enum class StreamEnd : uint8_t {
  kNotLeader = 1,        // The leadership is another's: the metadata will say whose.
  kFencedEpoch = 2,      // The follower's epoch is old: the metadata will say.
  kUnknownEpoch = 3,     // The leader has not heard of it, or of this replica, yet: ask again soon.
  kNoSuchPartition = 4,  // Or not yet: ask again soon.
  kStorage = 5,          // The leader's log cannot be read, or its directory is offline.
  kMoved = 6,            // The leader's log starts later than what comes next: subscribe anew.
  kStaleBroker = 7,      // The follower's broker has registered anew since.
  kInvalid = 8,          // The follower says what cannot be.
};

struct StreamRefused {
  StreamHandle handle;
  StreamEnd why;
  friend bool operator==(const StreamRefused&, const StreamRefused&) = default;
};

struct StreamEnded {
  StreamHandle handle;
  StreamEnd why;
  friend bool operator==(const StreamEnded&, const StreamEnded&) = default;
};

// What stands in front of a Data frame's batches.
struct StreamDataHead {
  StreamState::Entry state;
  size_t batches_bytes;
  friend bool operator==(const StreamDataHead&, const StreamDataHead&) = default;
};

using FollowerFrame = std::variant<StreamKeepAlive, StreamEcho, StreamSubscribe, StreamUnsubscribe,
                                   StreamProgress, StreamCredit, StreamAllow>;
using LeaderFrame =
    std::variant<StreamKeepAlive, StreamEcho, StreamAccepted, StreamDiverged, StreamOutside,
                 StreamRefused, StreamDataHead, StreamState, StreamEnded>;

struct StreamHead {
  StreamFrameType type;
  size_t body_bytes;
  uint32_t crc;
  // How much of the body the checksum covers, and parsing needs.
  size_t control_bytes() const {
    return type == StreamFrameType::kData ? kStreamStateBytes : body_bytes;
  }
};

// Which end of the stream wrote a frame.
enum class StreamSide : uint8_t { kFollower, kLeader };

// The head of a frame that `from` wrote. Checks type and size, so that the caller may take memory
// for the body: at most kStreamControlBodyMax, or `data_bytes_max` for a Data frame's.
// REQUIRES: kStreamHeadBytes are there.
absl::StatusOr<StreamHead> ParseStreamHead(std::span<const uint8_t> bytes, StreamSide from,
                                           size_t data_bytes_max);

// The frame itself; `body` is what head.control_bytes() says.
absl::StatusOr<FollowerFrame> ParseFollowerFrame(const StreamHead& head,
                                                 std::span<const uint8_t> head_bytes,
                                                 std::span<const uint8_t> body);
absl::StatusOr<LeaderFrame> ParseLeaderFrame(const StreamHead& head,
                                             std::span<const uint8_t> head_bytes,
                                             std::span<const uint8_t> body);

// Frames on their way into one send. Small ones are written next to each other; batches leave as
// they lie. Progress and State are cut into several frames where they are long.
class StreamFrameWriter {
 public:
  void Add(const StreamKeepAlive&);
  void Add(const StreamEcho& frame);
  void Add(const StreamSubscribe& frame);
  void Add(const StreamUnsubscribe& frame);
  void Add(std::span<const StreamProgress::Entry> entries);
  void Add(const StreamCredit& frame);
  void Add(const StreamAllow& frame);
  void Add(const StreamAccepted& frame);
  void Add(const StreamDiverged& frame);
  void Add(const StreamOutside& frame);
  void Add(const StreamRefused& frame);
  void Add(const StreamEnded& frame);
  void Add(std::span<const StreamState::Entry> entries);
  void AddData(const StreamState::Entry& state, Chain batches);

  bool empty() const { return sealed_.empty() && open_.empty(); }
  size_t size() const { return sealed_.size() + open_.size(); }
  // Everything so far; the writer is empty then.
  Chain Take();

 private:
  // Room for a frame whose checksummed body has `control` bytes and which has `batches` behind it.
  uint8_t* Begin(StreamFrameType type, size_t control, size_t batches = 0);
  // Writes the checksum of the frame that Begin() began last.
  void Finish(size_t control);
  void AddEnd(StreamFrameType type, StreamHandle handle, StreamEnd why);
  void Seal();

  Chain sealed_;
  std::vector<uint8_t> open_;
  size_t frame_at_ = 0;
};

}  // namespace millrace

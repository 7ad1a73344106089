// WindowUpdates: what gRPC says of its windows alone, on its way to the peer, waits for something to
// go with.
//
// gRPC answers every message that somebody was waiting for with what its reader may be sent anew: 26
// bytes, two frames of WINDOW_UPDATE, for a message of 60 as for one of 60,000. Each wakes the peer's
// shard and gRPC's threads there, as often as a message does, while both sides are busy with what the
// message was about. A window is a megabyte (grpc_library.h): the peer does not need to hear of the
// last kilobytes.
//
// Follows the frames of one direction of a connection from its first byte on, so that nothing within
// a message is taken for a frame. Pure.
//
// Bound:  kept are at most kKeptBytesMax, of updates of at most kKeptWindowMax: what the peer may
//         send is at most that less than gRPC has granted. Behind that they go by themselves.
// Source: RFC 9113, §3.4, §4.1, §6.9.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace millrace {

class WindowUpdates {
 public:
  static constexpr size_t kKeptBytesMax = 1024;
  static constexpr uint64_t kKeptWindowMax = uint64_t{64} << 10;

  // The next bytes. True: they are kept; otherwise they go now, behind Take().
  bool Keep(std::span<const uint8_t> bytes);
  // What was kept before; the owner sends it first.
  std::string Take();

 private:
  // Whether they are whole updates and nothing else.
  bool Follow(std::span<const uint8_t> bytes);

  static constexpr size_t kHeaderBytes = 9;
  static constexpr size_t kUpdateBytes = kHeaderBytes + 4;

  bool begun_ = false;
  // Of the frame under way: its header, and an update's payload.
  std::array<uint8_t, kUpdateBytes> frame_{};
  size_t have_ = 0;
  size_t skip_ = 0;  // So much of another frame is to come.
  std::string kept_;
  uint64_t kept_window_ = 0;
};

}  // namespace millrace

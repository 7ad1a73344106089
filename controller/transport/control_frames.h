// Messages as frames on a connection: what FramedStreams puts on the wire.
//
//   dialer:   preface hello message*          preface := ff "MRSTRM" version(1)
//   acceptor: (welcome message*) | refusal    frame   := size u32, type u8, payload of `size` bytes
//
// A Kafka frame never begins with ff: its size would be negative. A size is checked before memory
// is taken, and memory grows with what has arrived, not with what was announced.
//
// Shard:    the connection's.
// Lifetime: the connection outlives the reader.
// Errors:   kInvalidArgument: bytes that are no frame, or a larger one than accepted. kUnavailable:
//           the stream ended or broke. kCancelled: the connection was shut down on this side.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/task.h"

namespace millrace {

inline constexpr std::string_view kControlPreface("\xffMRSTRM\x01", 8);
inline constexpr size_t kControlFrameHeaderBytes = 5;

enum class ControlFrameType : uint8_t { kHello = 1, kWelcome = 2, kRefusal = 3, kMessage = 4 };

Slice EncodeControlFrame(ControlFrameType type, std::string_view payload);

class ControlFrameReader {
 public:
  // `received`: what was read of the connection already.
  ControlFrameReader(Connection& connection, Slice received)
      : connection_(connection), ahead_(std::move(received)) {}

  Task<absl::Status> TakePreface();
  // The payload of the next frame, which must be of `type` and at most `bytes_max` long.
  Task<absl::StatusOr<std::string>> Next(ControlFrameType type, size_t bytes_max);
  // The same where a refusal may come instead: kFailedPrecondition, with its sentence.
  Task<absl::StatusOr<std::string>> NextOrRefusal(ControlFrameType type, size_t bytes_max);

 private:
  Task<absl::StatusOr<std::string>> Take(size_t bytes);

  Connection& connection_;
  Slice ahead_;
};

}  // namespace millrace

// What both sides of a MessageStream say first: its bytes, the same under every transport, and the
// rules that every door has.
//
//   hello   := kind u8, protocol u32, features u64, from i32, present u8 (1: directory, 2: to),
//              [directory 16 bytes], [to i32], cluster id (u16 length, bytes)
//   welcome := protocol u32, features u64, from i32, present u8 (1: directory), [directory]
// Big-endian. What follows is of a later version, and ignored.
//
// Shard:  any.
// Errors: Decode...(): kInvalidArgument. Check...(): kFailedPrecondition, with a sentence for a
//         person.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "controller/transport/message_stream.h"

namespace millrace {

inline constexpr size_t kStreamClusterIdBytesMax = 1024;
// Of a hello, a welcome or the sentence of a refusal.
inline constexpr size_t kStreamHelloBytesMax = 4096;

// REQUIRES: the cluster id is at most kStreamClusterIdBytesMax long (CheckDialable()).
std::string EncodeHello(const StreamHello& hello);
absl::StatusOr<StreamHello> DecodeHello(std::string_view bytes);
std::string EncodeWelcome(const StreamWelcome& welcome);
absl::StatusOr<StreamWelcome> DecodeWelcome(std::string_view bytes);

// kInvalidArgument: nothing that can be said.
absl::Status CheckDialable(const StreamHello& hello);
// Whether `hello` means this cluster and this node. Every HelloCheck begins with it.
absl::Status CheckHello(const StreamHello& hello, std::string_view cluster_id, BrokerId id);
// Whether it is the node that was dialed which answers.
absl::Status CheckWelcome(const StreamHello& hello, const StreamWelcome& welcome);

// The doors of a StreamAcceptor, one per kind.
class StreamDoors {
 public:
  void Open(StreamKind kind, HelloCheck check, StreamHandler handler);
  // What the door of `hello` says; kFailedPrecondition whatever it is that it says no with.
  absl::StatusOr<StreamWelcome> Check(const StreamHello& hello) const;
  // REQUIRES: Check() has let it in.
  void Enter(std::unique_ptr<MessageStream> stream) const;

 private:
  struct Door {
    HelloCheck check;
    StreamHandler handler;
  };
  std::map<StreamKind, Door> doors_;
};

}  // namespace millrace

// The messages of a broker's session as C++ values: what proto/control/session.proto says, with
// strong types. Protobuf's own headers stay in session_message.cc.
//
// Shard:  any; values.
// Errors: Decode*(): kInvalidArgument: not a message of this version. The bytes are a peer's: the
//         stream is given up.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/network.h"
#include "controller/image/metadata_image.h"
#include "controller/transport/message_stream.h"

namespace millrace::session {

// A request's body, or the frame of an answer, is at most so large: a message of a stream carries it
// with the rest, which are a few texts of at most 32 KiB.
inline constexpr size_t kForwardedBytesMax = kControlMessageBytesMax - (size_t{256} << 10);

// So many requests of one session are under way at once: a broker keeps to it, and a controller runs
// none that goes beyond it. Higher: more of what a broker's clients ask is decided together, and a
// controller holds that many bodies for each session.
inline constexpr size_t kRequestsMax = 256;

// --- To the controller.

struct Register {
  BrokerImage broker;  // Epoch and fenced state are the controller's to decide.
  std::optional<BrokerEpoch> previous_epoch{};  // Of the last registration, after a clean stop.
  bool wants_metadata = false;
  std::optional<RaftIndex> applied{};  // Entries that the broker has already.
  // Serves from the start: the broker in the controller's process, where there is no other.
  bool caught_up = false;
  uint64_t logs = 0;  // Replicas in its log directories.
};

struct Heartbeat {
  BrokerEpoch epoch{0};
  uint64_t sequence = 0;
  std::optional<RaftIndex> applied{};  // By every shard.
  bool wants_fence = false;
  bool wants_shutdown = false;
  std::vector<DirectoryId> offline_directories{};
  std::vector<BrokerId> lost_peers{};   // Since the last one.
  std::vector<BrokerId> found_peers{};  // Likewise: of those that were lost, these are there again.
  std::vector<DirectoryId> full_directories{};
  std::vector<DirectoryId> slow_directories{};
};

struct Request {
  uint64_t id = 0;
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string> client_id{};
  std::string body{};  // After the header.
  std::string principal{};
  std::string listener{};
  bool controller_listener = false;
  SocketAddress client{};
  SocketAddress local{};
};

// --- To the broker.

struct Redirect {
  std::optional<BrokerId> leader{};
  std::vector<BrokerEndpoint> endpoints{};
};

struct Refused {
  std::string why;
  bool for_good = false;
};

struct Registered {
  BrokerEpoch epoch{0};
  RaftTerm term{0};
};

struct HeartbeatReply {
  uint64_t sequence = 0;
  bool fenced = false;
  bool may_shut_down = false;
};

struct Entries {
  struct Item {
    RaftIndex index;
    std::string entry;  // Encoded: controller/image/metadata_record.h.
  };
  std::vector<Item> items;
};

struct SnapshotPiece {
  RaftIndex index{0};
  bool first = false;
  bool last = false;
  std::string piece;
};

enum class Result : uint8_t { kAnswered, kNotController, kClose };

struct Response {
  uint64_t id = 0;
  Result result = Result::kAnswered;
  std::string frame{};  // Size, header, body.
  std::optional<RaftIndex> index{};
  std::string why{};
};

using ToController = std::variant<Register, Heartbeat, Request>;
using ToBroker =
    std::variant<Redirect, Refused, Registered, HeartbeatReply, Entries, SnapshotPiece, Response>;

std::string Encode(const ToController& message);
std::string Encode(const ToBroker& message);
absl::StatusOr<ToController> DecodeToController(std::string_view bytes);
absl::StatusOr<ToBroker> DecodeToBroker(std::string_view bytes);

}  // namespace millrace::session

// What replicas of the metadata log say to each other and keep, as bytes: proto/control/raft.proto
// with strong types. Protobuf's own headers stay in raft_codec.cc.
//
// A stored value is format u8 (1), CRC-32C u32 (of the key and the message), message: a flipped bit
// is found, and so is a value under another value's key.
//
// Errors: kInvalidArgument: a frame that is not one of ours. kDataLoss: a stored value that is
//         damaged, or of a later version.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/raft/raft_message.h"
#include "controller/raft/raft_types.h"

namespace millrace {

// A snapshot travels as pieces: the message's own data stays empty.
struct SnapshotPiece {
  std::optional<raft::Message> install;  // With the first piece.
  uint32_t number;
  uint32_t count;
  std::string data;
};

struct VotersHint {
  raft::VoterSet voters;
};

// What makes a controller a voter (auto_join.h), and what became of it.
struct JoinRequest {
  raft::ReplicaKey replica;  // Who asks.
  std::optional<DirectoryId> former;
  std::vector<raft::VoterEndpoint> endpoints;
};
struct JoinAnswer {
  raft::ReplicaKey replica;  // Who asked.
  std::optional<DirectoryId> former;
  std::string refusal;  // Empty: it is committed.
};

using RaftFrame = std::variant<raft::Message, SnapshotPiece, VotersHint, JoinRequest, JoinAnswer>;

std::string EncodeRaftFrame(const RaftFrame& frame);
absl::StatusOr<RaftFrame> DecodeRaftFrame(std::string_view bytes);

// --- Stored values ---

struct StoredState {
  raft::HardState hard_state;
  RaftIndex log_end{0};
};
struct StoredSnapshot {
  raft::SnapshotMeta meta;
  uint32_t pieces = 0;
};

std::string StoreState(std::string_view key, const StoredState& state);
absl::StatusOr<StoredState> ReadState(std::string_view key, std::string_view value);
std::string StoreIdentity(std::string_view key, const DirectoryId& directory);
absl::StatusOr<DirectoryId> ReadIdentity(std::string_view key, std::string_view value);
std::string StoreSnapshot(std::string_view key, const StoredSnapshot& snapshot);
absl::StatusOr<StoredSnapshot> ReadSnapshot(std::string_view key, std::string_view value);
std::string StoreLogEntry(std::string_view key, const raft::LogEntry& entry);
absl::StatusOr<raft::LogEntry> ReadLogEntry(std::string_view key, std::string_view value);
// Bytes of the state machine.
std::string StorePiece(std::string_view key, std::string_view piece);
absl::StatusOr<std::string> ReadStatePiece(std::string_view key, std::string_view value);

}  // namespace millrace

// How a replication stream begins: a Kafka request with a private key, on the inter-broker listener,
// and its answer. After that both sides speak frames (stream_frames.h). Pure.
//
//   hello   := Kafka frame: size i32, key i16 (kReplicationStreamKey), version i16 (0),
//              correlation id i32, client id (i16 and text), body
//   body    := cluster id (u16 and text), broker i32, broker epoch i64, shard u32, leader broker i32,
//              leader shard u32, protocol u16, features u64
//   welcome := size i32, correlation id i32, verdict u8, reason (u16 and text), broker i32,
//              broker epoch i64, shards u32, protocol u16, features u64
//
// What a later protocol adds stands behind that and is passed over.
//
// Errors: parsing takes hostile bytes: kInvalidArgument.
// Source: docs/replication.md.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/bytes/slice.h"
#include "common/ids.h"

namespace millrace {

// Far from the keys that Kafka gives out, which count up from 0 (and from 1000 within).
inline constexpr int16_t kReplicationStreamKey = 31001;
inline constexpr int16_t kReplicationStreamVersion = 0;
inline constexpr uint16_t kReplicationProtocol = 1;
// Bits that both sides must set for a feature to be used.
inline constexpr uint64_t kReplicationAllow = 1;  // The frame Allow (stream_frames.h).
inline constexpr uint64_t kReplicationEcho = 2;   // The frame Echo.
inline constexpr uint64_t kReplicationFeatures = kReplicationAllow | kReplicationEcho;
// Neither is longer.
inline constexpr size_t kHelloBytesMax = 4096;

// What the follower says of itself, and whom it means.
struct ReplicationHello {
  std::string cluster_id;  // As text: Kafka lets it be any.
  BrokerId broker;
  BrokerEpoch broker_epoch;
  ShardId shard;
  BrokerId leader;
  ShardId leader_shard;
  uint16_t protocol = kReplicationProtocol;  // Both speak the lower one.
  uint64_t features = kReplicationFeatures;
  friend bool operator==(const ReplicationHello&, const ReplicationHello&) = default;
};

enum class ReplicationVerdict : uint8_t {
  kWelcome = 0,
  kWrongCluster = 1,
  kWrongBroker = 2,    // Another broker listens here than the one that is meant.
  kUnknownBroker = 3,  // The leader does not know the follower, or not this epoch of it, yet.
  kStaleBroker = 4,    // The follower has been registered anew, or fenced out, since.
  kNoSuchShard = 5,    // The leader has fewer; the answer says how many.
  kStopping = 6,
};

struct ReplicationWelcome {
  ReplicationVerdict verdict;
  std::string reason;  // For the log; empty in a welcome.
  BrokerId broker;
  BrokerEpoch broker_epoch;
  uint32_t shards;  // Of the leader: ShardOf(id, shards) says which stream is for a partition.
  uint16_t protocol = kReplicationProtocol;
  uint64_t features = kReplicationFeatures;
  friend bool operator==(const ReplicationWelcome&, const ReplicationWelcome&) = default;
};

// Whether a Kafka request (without its size) is a hello.
bool IsReplicationHello(std::span<const uint8_t> request);

// The whole frame, size included. REQUIRES: the cluster id has at most 1000 bytes.
Slice EncodeReplicationHello(const ReplicationHello& hello);
struct ParsedReplicationHello {
  int32_t correlation_id;
  ReplicationHello hello;
};
// `request` without its size. REQUIRES: IsReplicationHello().
absl::StatusOr<ParsedReplicationHello> ParseReplicationHello(std::span<const uint8_t> request);

// The whole frame, size included; a longer reason is cut.
Slice EncodeReplicationWelcome(const ReplicationWelcome& welcome, int32_t correlation_id);
// `answer` without its size.
absl::StatusOr<ReplicationWelcome> ParseReplicationWelcome(std::span<const uint8_t> answer);

}  // namespace millrace

// What members of classic groups ask, and what they are answered: values, without the wire.
//
// Shard: any; they may cross shards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/strong.h"
#include "common/time.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

// Stands for a request that waits for its answer.
using Ticket = StrongId<struct TicketTag, uint64_t>;
// Rises with every rebalance of a classic group.
using GenerationId = StrongId<struct GenerationIdTag, int32_t>;

// Who speaks. A static member (KIP-345) has an instance id, which stays the same when it restarts.
struct MemberIdentity {
  std::string member_id;  // Empty: none was given to it yet.
  std::optional<std::string> instance_id;
};

// A way to share out partitions that a member knows, with what it says about itself for it.
struct MemberProtocol {
  std::string name;
  std::string metadata;  // Opaque.
  bool operator==(const MemberProtocol&) const = default;
};

struct JoinGroup {
  MemberIdentity member;
  std::string client_id;
  std::string client_host;  // As Kafka shows it: "/127.0.0.1".
  Duration session_timeout;
  Duration rebalance_timeout;
  std::string protocol_type;
  std::vector<MemberProtocol> protocols;  // The preferred one first.
  bool must_know_its_id = false;          // v4+: KIP-394.
  bool may_skip_assignment = false;       // v9+: KIP-814.
};

struct JoinedGroup {
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string metadata;
  };
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::optional<GenerationId> generation = {};  // Nothing: -1.
  std::optional<std::string> protocol_type = {};
  std::optional<std::string> protocol_name = {};
  std::string leader = {};
  bool skip_assignment = false;
  std::string member_id = {};
  std::vector<Member> members = {};  // The leader's answer alone has them.
};

struct SyncGroup {
  struct Assignment {
    std::string member_id;
    std::string assignment;  // Opaque.
  };
  MemberIdentity member;
  GenerationId generation;
  std::optional<std::string> protocol_type;  // Checked where given (KIP-559).
  std::optional<std::string> protocol_name;
  std::vector<Assignment> assignments;  // The leader's alone counts.
};

struct SyncedGroup {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::optional<std::string> protocol_type = {};
  std::optional<std::string> protocol_name = {};
  std::string assignment = {};
};

}  // namespace millrace

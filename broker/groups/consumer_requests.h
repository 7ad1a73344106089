// What members of consumer groups (KIP-848) ask, and what they are answered: values, without the
// wire.
//
// Shard: any; they may cross shards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/group_record.h"
#include "broker/groups/partition_list.h"
#include "common/strong.h"
#include "common/time.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

// Rises with every change of a group's members, subscriptions or topics; a member's epoch is the
// group's for which it has taken what it shall have. In requests there are three that are not
// epochs of a group but say what the member wants.
using MemberEpoch = StrongId<struct MemberEpochTag, int32_t>;
inline constexpr MemberEpoch kJoinEpoch{0};
inline constexpr MemberEpoch kLeaveEpoch{-1};
// A static member goes, and means to come back before its session is over (KIP-345).
inline constexpr MemberEpoch kStaticLeaveEpoch{-2};

struct ConsumerHeartbeat {
  std::string group_id;
  std::string member_id;  // Empty only in v0, when joining: the coordinator makes one up.
  MemberEpoch epoch;
  std::optional<std::string> instance_id = {};
  std::optional<std::string> rack = {};
  std::optional<Duration> rebalance_timeout = {};  // Nothing: -1, unchanged.
  std::optional<std::vector<std::string>> topic_names = {};
  std::optional<std::string> topic_regex = {};  // "": no longer any.
  std::optional<std::string> server_assignor = {};
  std::optional<PartitionList> owned = {};  // In any order; null on the wire is nothing here.
  std::string client_id = {};
  std::string client_host = {};   // As Kafka shows it: "/127.0.0.1".
  bool must_bring_its_id = true;  // v1+: KIP-1082.
};

struct ConsumerHeartbeatReply {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::optional<std::string> message = {};    // For people, with an error.
  std::optional<std::string> member_id = {};  // Nothing on an error.
  MemberEpoch epoch{0};
  Duration heartbeat_interval{0};
  // What the member owns from now on; nothing: unchanged.
  std::optional<PartitionList> assignment = {};
};

// The answer, which holds once the records are committed. An error comes without records.
struct ConsumerHeartbeatDecision {
  ConsumerHeartbeatReply reply;
  std::vector<GroupRecord> records;
};

// Who commits or fetches offsets.
struct OffsetClient {
  std::string_view member_id;  // Borrowed for the call. Empty: not a member.
  std::optional<std::string_view> instance_id = {};
  MemberEpoch epoch{-1};       // The request's generation; -1: none.
  bool transactional = false;  // TxnOffsetCommit.
  bool knows_epochs = true;    // OffsetCommit v9+; older ones are not for members of this protocol.
};

}  // namespace millrace

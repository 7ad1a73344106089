// What is asked about a group's committed offsets, and what is answered: values, without the wire.
//
// Shard: any; they may cross shards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/groups/join_requests.h"
#include "common/ids.h"
#include "common/time.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

// Where a group has come to in one partition.
struct CommittedOffset {
  Offset offset;  // Of the next record to be read. Clients may say anything (rule 9.3).
  std::optional<LeaderEpoch> leader_epoch;
  std::string metadata;
  Timestamp committed_at;
  std::optional<Timestamp> expires_at;  // Said by the client (v2 to v4); else retention decides.
  TopicId topic_id{0, 0};               // Zero where it was not known.
  bool operator==(const CommittedOffset&) const = default;
};

// Who commits or asks: nothing of it for clients that only keep offsets. `epoch` is a classic
// member's generation, or the epoch of a member of a consumer group.
struct OffsetOwner {
  MemberIdentity member;
  std::optional<GenerationId> epoch;
};

struct OffsetsToCommit {
  struct Partition {
    PartitionId partition;
    Offset offset;
    std::optional<LeaderEpoch> leader_epoch;
    std::string metadata;
  };
  struct Topic {
    std::string name;
    TopicId topic_id{0, 0};
    std::vector<Partition> partitions;
  };
  std::string group_id;
  OffsetOwner owner;
  std::optional<Duration> retention;  // Nothing: the broker's.
  bool of_consumer_groups = false;    // v9+: members of consumer groups may commit.
  std::vector<Topic> topics;
};

// Answers stand where their questions did: by topic, by partition.
using PartitionErrors = std::vector<std::vector<kafka::KafkaError>>;

struct OffsetsToFetch {
  struct Topic {
    std::string name;
    std::vector<PartitionId> partitions;
  };
  std::string group_id;
  OffsetOwner owner;
  std::optional<std::vector<Topic>> topics;  // Nothing: all there are.
  bool require_stable = false;
};

struct FetchedOffsets {
  struct Partition {
    PartitionId partition;
    std::optional<CommittedOffset> committed;  // Nothing: none was.
  };
  struct Topic {
    std::string name;
    std::vector<Partition> partitions;
  };
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::vector<Topic> topics = {};
};

struct OffsetsToDelete {
  struct Topic {
    std::string name;
    std::vector<PartitionId> partitions;
  };
  std::string group_id;
  std::vector<Topic> topics;
};

struct DeletedOffsets {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  PartitionErrors partitions = {};
};

}  // namespace millrace

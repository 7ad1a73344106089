// Assignor: who of a consumer group shall have which partitions. The broker computes that (KIP-848).
//
// Whatever is asked: every partition of a topic somebody subscribes to is given to exactly one of
// its subscribers, and the same question has the same answer in every process.
//
// Shard: any; pure, without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/partition_list.h"

namespace millrace {

struct AssignorTopic {
  TopicId id;
  int32_t partition_count = 0;
};

struct AssignorMember {
  std::string_view member_id;  // Borrowed from the caller, like the instance id.
  std::optional<std::string_view> instance_id;
  // Which of the topics it subscribes to: index into AssignorRequest::subscriptions.
  size_t subscription = 0;
  PartitionList held;  // Its target up to now; may be of topics that are gone or not its own.
};

struct AssignorRequest {
  std::vector<AssignorTopic> topics;  // By id.
  // Indexes of topics, rising. Different from each other: members that subscribe to the same share
  // one.
  std::vector<std::vector<uint32_t>> subscriptions;
  std::vector<AssignorMember> members;  // By member id.
};

class Assignor {
 public:
  virtual ~Assignor() = default;
  virtual std::string_view name() const = 0;
  // Parallel to request.members.
  virtual std::vector<PartitionList> Assign(const AssignorRequest& request) const = 0;
};

// Topics that have the same subscribers, and these: indexes into the request, rising. Never empty.
struct TopicPool {
  std::vector<uint32_t> topics;
  std::vector<uint32_t> members;
};
// Those with fewer members first. Each topic that has subscribers is in one.
std::vector<TopicPool> PoolsOf(const AssignorRequest& request);

// The one of that name; null: there is none.
const Assignor* FindAssignor(std::string_view name);

}  // namespace millrace

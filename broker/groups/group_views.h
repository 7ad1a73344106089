// What operators are shown of groups: values, without the wire.
//
// Shard: any; they may cross shards.
#pragma once

#include <string>
#include <vector>

#include "broker/groups/classic_group.h"
#include "broker/groups/consumer_group.h"

namespace millrace {

// One group for ListGroups.
struct GroupListing {
  std::string group_id;
  std::string protocol_type;
  std::string state;
  std::string type;  // "classic", "consumer".
};

// One group for DescribeGroups.
struct GroupView {
  std::string group_id;
  std::string state;
  std::string protocol_type;
  std::string protocol;
  std::vector<ClassicGroup::MemberView> members;
};

// One group for ConsumerGroupDescribe.
struct ConsumerGroupView {
  std::string group_id;
  std::string state;
  int32_t group_epoch;
  int32_t assignment_epoch;
  std::string assignor;
  std::vector<ConsumerGroup::MemberView> members;
};

}  // namespace millrace

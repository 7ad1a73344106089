// What operators are shown of groups: values, without the wire.
//
// Shard: any; they may cross shards.
#pragma once

#include <string>
#include <vector>

#include "broker/groups/classic_group.h"

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

}  // namespace millrace

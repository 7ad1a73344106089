#include "broker/groups/range_assignor.h"

#include <algorithm>
#include <tuple>

namespace millrace {

std::vector<PartitionList> RangeAssignor::Assign(const AssignorRequest& request) const {
  const auto rank = [&](uint32_t m) {
    const AssignorMember& member = request.members[m];
    return std::tuple(member.instance_id.value_or(member.member_id), member.member_id);
  };
  std::vector<PartitionList> result(request.members.size());
  for (TopicPool& pool : PoolsOf(request)) {
    std::ranges::sort(pool.members, {}, rank);
    const auto member_count = static_cast<int32_t>(pool.members.size());
    for (uint32_t topic : pool.topics) {
      const AssignorTopic& facts = request.topics[topic];
      const int32_t length = facts.partition_count / member_count;
      const int32_t longer = facts.partition_count % member_count;
      int32_t partition = 0;
      for (int32_t place = 0; place < member_count; ++place) {
        const int32_t end = partition + length + (place < longer ? 1 : 0);
        PartitionList& given = result[pool.members[static_cast<size_t>(place)]];
        for (; partition < end; ++partition) given.push_back({facts.id, PartitionId(partition)});
      }
    }
  }
  for (PartitionList& given : result) std::ranges::sort(given);
  return result;
}

}  // namespace millrace

#include "cli/client/range_assignor.h"

#include <algorithm>
#include <tuple>

namespace millrace {

Assignments AssignRanges(std::vector<AssignableMember> members,
                         const std::map<std::string, int32_t>& partitions) {
  std::ranges::sort(members, {}, [](const AssignableMember& member) {
    return std::tuple(!member.instance_id.has_value(), member.instance_id.value_or(""), member.id);
  });
  Assignments assignments;
  for (const AssignableMember& member : members) assignments[member.id];
  for (const auto& [topic, count] : partitions) {
    std::vector<const AssignableMember*> readers;
    for (const AssignableMember& member : members) {
      if (std::ranges::find(member.topics, topic) != member.topics.end()) {
        readers.push_back(&member);
      }
    }
    if (readers.empty()) continue;
    const int32_t each = count / static_cast<int32_t>(readers.size());
    const int32_t with_more = count % static_cast<int32_t>(readers.size());
    int32_t next = 0;
    for (int32_t i = 0; i < static_cast<int32_t>(readers.size()); ++i) {
      const int32_t end = next + each + (i < with_more ? 1 : 0);
      ConsumerAssignment& assignment = assignments[readers[static_cast<size_t>(i)]->id];
      for (; next < end; ++next) assignment.push_back({topic, PartitionId(next)});
    }
  }
  return assignments;
}

}  // namespace millrace

#include "broker/groups/assignor.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "broker/groups/range_assignor.h"
#include "broker/groups/uniform_assignor.h"

namespace millrace {

const Assignor* FindAssignor(std::string_view name) {
  static const UniformAssignor uniform;
  static const RangeAssignor range;
  for (const Assignor* assignor : std::array<const Assignor*, 2>{&uniform, &range}) {
    if (assignor->name() == name) return assignor;
  }
  return nullptr;
}

std::vector<TopicPool> PoolsOf(const AssignorRequest& request) {
  std::vector<std::vector<uint32_t>> subscribed_by(request.topics.size());
  for (size_t s = 0; s < request.subscriptions.size(); ++s) {
    for (uint32_t topic : request.subscriptions[s]) {
      subscribed_by[topic].push_back(static_cast<uint32_t>(s));
    }
  }
  std::map<std::vector<uint32_t>, TopicPool> pools;  // By subscriptions.
  for (size_t topic = 0; topic < request.topics.size(); ++topic) {
    if (subscribed_by[topic].empty()) continue;
    pools[subscribed_by[topic]].topics.push_back(static_cast<uint32_t>(topic));
  }
  std::vector<std::vector<uint32_t>> members_of(request.subscriptions.size());
  for (size_t m = 0; m < request.members.size(); ++m) {
    members_of[request.members[m].subscription].push_back(static_cast<uint32_t>(m));
  }
  std::vector<TopicPool> result;
  for (auto& [subscriptions, pool] : pools) {
    for (uint32_t s : subscriptions) {
      pool.members.insert(pool.members.end(), members_of[s].begin(), members_of[s].end());
    }
    std::ranges::sort(pool.members);
    if (!pool.members.empty()) result.push_back(std::move(pool));
  }
  std::ranges::sort(result, {}, [](const TopicPool& pool) {
    return std::pair(pool.members.size(), pool.topics.front());
  });
  return result;
}

}  // namespace millrace

// AssignorCase: a question to an assignor, for tests, and what is wrong with an answer. Topic n has
// the id (1, n + 1).
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "broker/groups/assignor.h"

namespace millrace {

class AssignorCase {
 public:
  explicit AssignorCase(const std::vector<int32_t>& partition_counts) {
    for (int32_t count : partition_counts) {
      request_.topics.push_back({TopicId(1, request_.topics.size() + 1), count});
    }
  }
  static TopicPartitionId At(uint32_t topic, int32_t partition) {
    return {TopicId(1, topic + 1), PartitionId(partition)};
  }

  void Member(const std::string& id, const std::vector<uint32_t>& topics, PartitionList held = {},
              std::optional<std::string> instance = {}) {
    AssignorMember member;
    member.member_id = names_.emplace_back(id);
    if (instance.has_value()) member.instance_id = names_.emplace_back(*instance);
    const auto known = std::ranges::find(request_.subscriptions, topics);
    member.subscription = static_cast<size_t>(known - request_.subscriptions.begin());
    if (known == request_.subscriptions.end()) request_.subscriptions.push_back(topics);
    member.held = SortedPartitions(std::move(held));
    request_.members.push_back(std::move(member));
  }
  void Leave(size_t index) {
    request_.members.erase(request_.members.begin() + static_cast<ptrdiff_t>(index));
  }
  void Hold(const std::vector<PartitionList>& given) {
    for (size_t i = 0; i < given.size(); ++i) request_.members[i].held = given[i];
  }
  std::vector<uint32_t> AllTopics() const {
    std::vector<uint32_t> all(request_.topics.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  const AssignorRequest& request() const { return request_; }

  // "" where each partition of a topic with subscribers is given once, to one of them.
  std::string Wrong(const std::vector<PartitionList>& given) const {
    if (given.size() != request_.members.size()) return "not one share per member";
    std::map<TopicPartitionId, size_t> owner;
    for (size_t m = 0; m < given.size(); ++m) {
      if (!std::ranges::is_sorted(given[m])) return "a share is not sorted";
      for (const TopicPartitionId& one : given[m]) {
        if (!owner.emplace(one, m).second) return fmt::format("{} is given twice", Text(one));
        if (!Wants(m, TopicOf(one))) return fmt::format("{} was not subscribed to", Text(one));
      }
    }
    size_t expected = 0;
    for (uint32_t topic = 0; topic < request_.topics.size(); ++topic) {
      bool wanted = false;
      for (size_t m = 0; m < given.size(); ++m) wanted |= Wants(m, topic);
      if (wanted) expected += static_cast<size_t>(request_.topics[topic].partition_count);
    }
    return owner.size() == expected ? "" : fmt::format("{} of {}", owner.size(), expected);
  }

  // "" where nobody has a partition that a subscriber with two less might have.
  std::string Uneven(const std::vector<PartitionList>& given) const {
    for (size_t m = 0; m < given.size(); ++m) {
      for (const TopicPartitionId& one : given[m]) {
        for (size_t other = 0; other < given.size(); ++other) {
          if (Wants(other, TopicOf(one)) && given[m].size() >= given[other].size() + 2) {
            return fmt::format("{} should be with {}", Text(one), other);
          }
        }
      }
    }
    return "";
  }

 private:
  static uint32_t TopicOf(const TopicPartitionId& one) {
    return static_cast<uint32_t>(one.topic_id.low() - 1);
  }
  static std::string Text(const TopicPartitionId& one) {
    return fmt::format("{}-{}", TopicOf(one), one.partition);
  }
  bool Wants(size_t member, uint32_t topic) const {
    return std::ranges::binary_search(request_.subscriptions[request_.members[member].subscription],
                                      topic);
  }

  AssignorRequest request_;
  std::list<std::string> names_;  // What the request borrows.
};

}  // namespace millrace

#include "broker/groups/uniform_assignor.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace millrace {
namespace {

struct Share {
  uint32_t topic;
  int32_t partition;
};

// One pool while it is shared out.
struct Hand {
  TopicPool pool;
  // Parallel to pool.members: what each has of the pool. The last is given up first.
  std::vector<std::vector<Share>> shares;

  size_t PlaceOf(uint32_t member) const {
    return static_cast<size_t>(std::ranges::lower_bound(pool.members, member) -
                               pool.members.begin());
  }
  bool HasMember(uint32_t member) const { return std::ranges::binary_search(pool.members, member); }
};

class Distribution {
 public:
  explicit Distribution(const AssignorRequest& request)
      : request_(request), load_(request.members.size(), 0), taken_(request.topics.size()) {
    hand_of_.resize(request.topics.size());
    for (TopicPool& pool : PoolsOf(request)) {
      for (uint32_t topic : pool.topics) hand_of_[topic] = hands_.size();
      const size_t member_count = pool.members.size();
      hands_.push_back({std::move(pool), std::vector<std::vector<Share>>(member_count)});
    }
    for (size_t topic = 0; topic < taken_.size(); ++topic) {
      taken_[topic].resize(static_cast<size_t>(std::max(request.topics[topic].partition_count, 0)));
    }
  }

  std::vector<PartitionList> Run() {
    for (uint32_t member = 0; member < request_.members.size(); ++member) Keep(member);
    for (Hand& hand : hands_) Deal(hand);
    for (int pass = 0; pass < UniformAssignor::kPassesMax; ++pass) {
      bool moved = false;
      for (Hand& hand : hands_) moved |= Level(hand);
      if (!moved || hands_.size() == 1) break;
    }
    return Result();
  }

 private:
  // A member keeps what it has and may have.
  void Keep(uint32_t member) {
    // The how-many-th of its topic, topic: the order in which it would give them up, from the back.
    std::map<size_t, std::vector<std::tuple<int32_t, uint32_t, int32_t>>> kept;  // By hand.
    std::optional<uint32_t> previous;
    int32_t rank = 0;
    for (const TopicPartitionId& held : request_.members[member].held) {
      const auto it =
          std::ranges::lower_bound(request_.topics, held.topic_id, {}, &AssignorTopic::id);
      if (it == request_.topics.end() || it->id != held.topic_id) continue;
      const auto topic = static_cast<uint32_t>(it - request_.topics.begin());
      if (!hand_of_[topic].has_value()) continue;
      if (!hands_[*hand_of_[topic]].HasMember(member)) continue;
      const int32_t partition = held.partition.value();
      if (partition < 0 || partition >= it->partition_count) continue;
      if (taken_[topic][static_cast<size_t>(partition)]) continue;
      taken_[topic][static_cast<size_t>(partition)] = true;
      rank = topic == previous ? rank + 1 : 0;
      previous = topic;
      kept[*hand_of_[topic]].emplace_back(rank, topic, partition);
    }
    for (auto& [index, shares] : kept) {
      std::ranges::sort(shares);
      Hand& hand = hands_[index];
      std::vector<Share>& mine = hand.shares[hand.PlaceOf(member)];
      for (const auto& [_, topic, partition] : shares) mine.push_back({topic, partition});
      load_[member] += shares.size();
    }
  }

  // What nobody has goes to whoever has least.
  void Deal(Hand& hand) {
    std::set<std::pair<size_t, size_t>> by_load;  // Load, place.
    for (size_t place = 0; place < hand.pool.members.size(); ++place) {
      by_load.emplace(load_[hand.pool.members[place]], place);
    }
    for (uint32_t topic : hand.pool.topics) {
      for (size_t partition = 0; partition < taken_[topic].size(); ++partition) {
        if (taken_[topic][partition]) continue;
        auto least = by_load.extract(by_load.begin());
        const size_t place = least.value().second;
        hand.shares[place].push_back({topic, static_cast<int32_t>(partition)});
        least.value().first = ++load_[hand.pool.members[place]];
        by_load.insert(std::move(least));
      }
    }
  }

  // From who has most to who has least, until they are one apart at most. Returns whether anything
  // moved.
  bool Level(Hand& hand) {
    std::set<std::pair<size_t, size_t>> by_load;  // Load, place.
    std::set<std::pair<size_t, size_t>> givers;   // Those that have something of this pool.
    for (size_t place = 0; place < hand.pool.members.size(); ++place) {
      const std::pair entry(load_[hand.pool.members[place]], place);
      by_load.insert(entry);
      if (!hand.shares[place].empty()) givers.insert(entry);
    }
    bool moved = false;
    while (!givers.empty() && givers.rbegin()->first >= by_load.begin()->first + 2) {
      const auto [most, from] = *givers.rbegin();
      const auto [least, to] = *by_load.begin();
      hand.shares[to].push_back(hand.shares[from].back());
      hand.shares[from].pop_back();
      load_[hand.pool.members[from]] = most - 1;
      load_[hand.pool.members[to]] = least + 1;
      for (const auto& [load, place] : {std::pair(most, from), std::pair(least, to)}) {
        by_load.erase({load, place});
        givers.erase({load, place});
        const std::pair entry(load_[hand.pool.members[place]], place);
        by_load.insert(entry);
        if (!hand.shares[place].empty()) givers.insert(entry);
      }
      moved = true;
    }
    return moved;
  }

  std::vector<PartitionList> Result() const {
    std::vector<PartitionList> result(request_.members.size());
    for (const Hand& hand : hands_) {
      for (size_t place = 0; place < hand.shares.size(); ++place) {
        for (const Share& share : hand.shares[place]) {
          result[hand.pool.members[place]].push_back(
              {request_.topics[share.topic].id, PartitionId(share.partition)});
        }
      }
    }
    for (PartitionList& given : result) std::ranges::sort(given);
    return result;
  }

  const AssignorRequest& request_;
  std::vector<Hand> hands_;
  std::vector<std::optional<size_t>> hand_of_;  // By topic; nothing: nobody subscribes to it.
  std::vector<size_t> load_;                    // By member, over all pools.
  std::vector<std::vector<bool>> taken_;        // By topic and partition.
};

}  // namespace

std::vector<PartitionList> UniformAssignor::Assign(const AssignorRequest& request) const {
  return Distribution(request).Run();
}

}  // namespace millrace

// UniformAssignor: everyone gets as much as everyone else, and keeps what it has as far as that goes
// ("uniform").
//
// Where all subscribe to the same, members differ by one partition at most, and no more partitions
// move than it takes. Where subscriptions differ, no partition stays with a member that has two more
// than another subscriber of its topic, unless kPassesMax is reached before.
//
// It works on pools: the topics that have the same subscribers. Within one pool everything goes from
// the member with the most to the one with the least; a change of one pool may make another uneven,
// therefore several passes. Where all subscribe to the same there is one pool and one pass. A member
// gives up partitions topic by topic in turns, so that each topic stays spread.
//
// Cost: O(P log M) per pass, where P counts partitions and M members, and the subscriptions' size.
#pragma once

#include "broker/groups/assignor.h"

namespace millrace {

class UniformAssignor : public Assignor {
 public:
  static constexpr int kPassesMax = 16;
  std::string_view name() const override { return "uniform"; }
  std::vector<PartitionList> Assign(const AssignorRequest& request) const override;
};

}  // namespace millrace

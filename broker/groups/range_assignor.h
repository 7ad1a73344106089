// RangeAssignor: each topic's partitions are cut into ranges, one per subscriber, in the order of
// the members ("range"). Topics with the same subscribers and as many partitions are cut alike, so
// that partition n of one and of the other come to the same member: what joins need.
//
// The order is by instance id, else member id: a static member that comes back has its range again.
// The first ranges are longer by one where it does not come out even. Who has what already does not
// count, or topics would no longer be cut alike.
#pragma once

#include "broker/groups/assignor.h"

namespace millrace {

class RangeAssignor : public Assignor {
 public:
  std::string_view name() const override { return "range"; }
  std::vector<PartitionList> Assign(const AssignorRequest& request) const override;
};

}  // namespace millrace

// The range assignor: which member of a classic group reads which partitions. Of each topic every
// member gets a run of partitions, in the order of the members; when they do not divide evenly, the
// first members get one more.
//
// Shard:  any; pure. All members may lead a group in turn, so all must decide alike: this is the
//         algorithm of Kafka's RangeAssignor, without racks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/consumer_protocol.h"

namespace millrace {

struct AssignableMember {
  std::string id;
  std::optional<std::string> instance_id;  // Static members come before others, by this.
  std::vector<std::string> topics;         // What it subscribes to.
};

// By member id; each member has an entry. Topics that are not in `partitions` are left out.
using Assignments = std::map<std::string, ConsumerAssignment>;
Assignments AssignRanges(std::vector<AssignableMember> members,
                         const std::map<std::string, int32_t>& partitions);

}  // namespace millrace

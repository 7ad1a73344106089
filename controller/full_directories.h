// What full log directories mean for partitions. A replica in one takes no appends until there is
// room: as a leader it refuses every produce, as a follower in the ISR it holds up every acks=all.
//
//   it leads, and another ISR member has room    -> that one leads: the first in replica order whose
//                                                   directory is not slow, or the first
//   it is in the ISR, and min.insync.replicas of the others there have room
//                                                -> it leaves the ISR, and may not come back
//   nobody else in the ISR has room              -> nothing: no leader is better than this one
//
// So never uncleanly, and never to a replica of which it is not known that it has room. What it has
// remains; when there is room again it catches up and joins as any other, and leads again when
// leaders are balanced.
//
// Pure. What is full: directory_grades.h.
#pragma once

#include <span>

#include "controller/broker_changes.h"
#include "controller/directory_grades.h"

namespace millrace {

// Of the replicas of `broker`, which is registered, that are in full directories. Nothing where all
// has been done already.
MetadataRecords RecordsOfFullDirectories(const MetadataImage& image, const TopicSettings& defaults,
                                         const DirectoryGrades& grades, BrokerId broker);

// Whether `replica` would be waited for in vain in an ISR of `members`, who are enough without it.
bool IsBetterOutside(const MetadataImage& image, const TopicSettings& settings,
                     const DirectoryGrades& grades, const PartitionImage& partition,
                     std::span<const BrokerId> members, BrokerId replica);

}  // namespace millrace

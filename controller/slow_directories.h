// What slow log directories mean for partitions. A leader in one keeps everybody waiting who writes;
// a follower only those who wait for it, and it stays in the ISR as long as it keeps up.
//
//   it leads, and another ISR member's directory is good  -> that one leads: the first in replica
//                                                            order
//   nobody else in the ISR is in a good directory          -> nothing: no leader is better
//
// So never uncleanly, and never to a replica of which it is not known that its directory is neither
// full nor slow. It leads again when the directory is slow no longer, and leaders are balanced.
//
// Pure. What is slow: directory_grades.h.
#pragma once

#include <cstddef>

#include "controller/broker_changes.h"
#include "controller/directory_grades.h"

namespace millrace {

// Each of a slow broker's heartbeats moves so many at most; the next ones the others.
inline constexpr size_t kMovesOffSlowMax = 1000;

// Of the partitions that `broker`, which is registered, leads from slow directories. Nothing where
// all has been done already.
MetadataRecords RecordsOfSlowDirectories(const MetadataImage& image, const TopicSettings& defaults,
                                         const DirectoryGrades& grades, BrokerId broker);

}  // namespace millrace

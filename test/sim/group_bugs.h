// Planted bugs of group coordinators: a service and a log that do not keep their promises, around the
// groups as they are.
#pragma once

#include "broker/coordinator/group_service.h"

namespace millrace::simtest {

enum class GroupBug {
  kNone,
  kAcknowledgesEarly,    // Before what was decided is committed.
  kAcceptsStaleMembers,  // A commit counts whoever sends it, in whatever generation.
  kKeepsSilentMembers,   // Beyond their session time-out.
  kLoadsUncommitted,     // What the log had beyond the high watermark is told at once.
  kIgnoresItsSuccessor,  // Two coordinators: one that was cut off goes on beside the next.
};
inline constexpr GroupBug kGroupBugs[] = {
    GroupBug::kAcknowledgesEarly, GroupBug::kAcceptsStaleMembers, GroupBug::kKeepsSilentMembers,
    GroupBug::kLoadsUncommitted, GroupBug::kIgnoresItsSuccessor};

const char* GroupBugName(GroupBug bug);

GroupServiceFactory GroupsWith(GroupBug bug);

}  // namespace millrace::simtest

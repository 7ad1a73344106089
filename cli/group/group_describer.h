// Asks a cluster what `group describe` shows.
//
// Shard:  one. Lifetime: `groups` outlives the task.
// Errors: GroupClient's: of the whole request, or of one group. An end of a partition that nobody
//         tells is left out, and nothing more; so are ages, whatever the error is.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/client/group_client.h"
#include "cli/group/group_description.h"
#include "common/runtime/task.h"

namespace millrace {

using DescribedGroups = std::map<std::string, absl::StatusOr<GroupDescription>>;

// What is asked, each with what stands before it: who is in a group, where it is and where partitions
// end, since when its oldest unread records wait (a Fetch per partition that is behind).
enum class GroupDetail : uint8_t { kMembers, kPositions, kAges };

Task<absl::StatusOr<DescribedGroups>> AskGroups(GroupClient& groups, std::vector<std::string> ids,
                                                GroupDetail detail,
                                                Instant deadline);  // Borrowed: awaited in place.

}  // namespace millrace

// Plans and makes a change of a group's positions: what `group reset-offsets` and `group
// delete-offsets` do.
//
// Shard:  one. Lifetime: `groups` outlives the tasks.
// Errors: of a whole group: kFailedPrecondition: it has members, which would commit over what is
//         set here; GroupClient's. Of single partitions: a Status beside the others' results.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/group_client.h"
#include "cli/group/reset_plan.h"
#include "common/runtime/task.h"

namespace millrace {

struct ResetRequest {
  std::vector<TopicScope>
      scopes;  // Empty: the partitions that have a position, or are in the file.
  ResetTarget target;
  bool execute = false;
};

struct ResetResult {
  std::optional<Offset> before;
  absl::StatusOr<NewPosition> after;  // A failure: why it is not, or was not, changed.
  bool committed = false;
};
using ResetResults = std::map<TopicPartition, ResetResult>;

// With `execute` the positions are committed, unless one of them cannot be planned: then none is.
Task<absl::StatusOr<ResetResults>> ResetGroup(GroupClient& groups, std::string group,
                                              ResetRequest request,
                                              Instant deadline);  // Borrowed: awaited in place.

// The partitions that scopes name; kNotFound names the first topic that does not exist.
Task<absl::StatusOr<std::vector<TopicPartition>>> PartitionsOfScopes(
    KafkaClient& client, std::vector<TopicScope> scopes,
    Instant deadline);  // Borrowed: awaited in place.

}  // namespace millrace

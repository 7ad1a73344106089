// Decides a heartbeat of a member that joins or stays, or the JoinGroup of one of the classic protocol:
// the longest decision of a consumer group, in the order in which its records are to be replayed:
//
//   1. who it is (rules 8.2, 8.5, 8.13), and what it subscribes to now    -> member record
//   2. regular expressions, where it is time (8.14)                       -> regex records
//   3. whether subscribed topics changed (8.11)                           -> epoch record
//   4. a new target, where the group's epoch is newer (8.4, 8.10, 8.12)   -> target records
//   5. the member's next step towards its target (8.6)                    -> current record
//   6. the answer (8.8)
//
// Shard: any; pure: state is looked at and not changed, but for HeartbeatMemory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/groups/consumer_group_options.h"
#include "broker/groups/consumer_group_state.h"
#include "broker/groups/consumer_requests.h"
#include "broker/groups/group_time.h"
#include "broker/groups/join_requests.h"
#include "common/ids.h"
#include "common/time.h"
#include "common/uuid.h"
#include "controller/image/metadata_image.h"

namespace millrace {

// What a group remembers from heartbeat to heartbeat and need not know: all of it may be forgotten
// at any time, and is when the group is loaded.
struct HeartbeatMemory {
  // The metadata the subscribed topics, and the regular expressions, were last compared with.
  std::optional<RaftIndex> topics_seen;
  std::optional<RaftIndex> regexes_seen;
  std::optional<Instant> regexes_matched;    // Some.
  std::optional<Instant> regexes_refreshed;  // Those that had been matched before.
  std::string regex_last;                    // Matched last; the next one's turn is next.
  std::optional<Instant> target_computed;
};

// What a request lacks or has too much of, whatever the group is like; nothing: it is well-formed.
std::optional<ConsumerHeartbeatReply> RefuseMalformed(const ConsumerHeartbeat& request,
                                                      const ConsumerGroupOptions& options);

// REQUIRES: RefuseMalformed() has nothing against it, and it does not leave.
ConsumerHeartbeatDecision DecideHeartbeat(const ConsumerGroupState& state,
                                          const ConsumerGroupOptions& options,
                                          const ConsumerHeartbeat& request,
                                          const MetadataImage& image, Uuid drawn, GroupTime time,
                                          HeartbeatMemory& memory);

// The answer to the JoinGroup of a member of the classic protocol. An error comes without records.
struct ClassicJoinDecision {
  JoinedGroup answer;
  std::vector<GroupRecord> records;
};

// Rule 8.18: such a member takes the same steps as others, with each JoinGroup one; its epoch is what
// it knows as its generation. It says what it owns in its subscription, and keeps no more than that.
// Errors: GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; INCONSISTENT_GROUP_PROTOCOL
// for what is no subscription.
// REQUIRES: it names a protocol.
ClassicJoinDecision DecideClassicJoin(const ConsumerGroupState& state,
                                      const ConsumerGroupOptions& options, const JoinGroup& request,
                                      const MetadataImage& image, Uuid drawn, GroupTime time,
                                      HeartbeatMemory& memory);

}  // namespace millrace

// Where a follower's log and its leader's meet: the exchange that precedes all replication. The
// follower says the epoch of its last record and where its log ends; the leader compares this with
// its own epochs. Where they differ, the follower truncates to the last offset at which they can
// agree, and asks again, until they do.
//
//   follower                         leader
//     hello(last epoch, log end)  ─►   MatchLogs()
//     TruncationPoint()           ◄─   LogsDiverge(epoch, end offset)      truncate, hello again
//                                 ◄─   OutsideLog(start, end)              begin anew, hello again
//                                 ◄─   LogsMeet(from)                      batches follow
//
// Never by high watermark: a follower's is behind, and what lies above it may be committed (the
// loss that KIP-101 tells of); and one epoch at a time, since an epoch that the other side never
// saw says nothing about where the logs part (KIP-279).
//
// Pure. Source: KIP-101, KIP-279, KIP-595 (diverging epoch); rules 2.13, 4.2, 4.4, 4.8.
#pragma once

#include <optional>
#include <variant>

#include "common/ids.h"
#include "storage/leader_epoch_cache.h"

namespace millrace {

// What a replica has. start <= durable_end <= log_end. `durable_end` is what the topic's durability
// calls so: on a `page-cache` topic it is the log end.
struct ReplicaEnds {
  Offset log_start;
  Offset log_end;
  Offset durable_end;
  friend bool operator==(const ReplicaEnds&, const ReplicaEnds&) = default;
};

// What a follower says first.
struct FollowerHello {
  LeaderEpoch leader_epoch;               // In which it follows.
  std::optional<LeaderEpoch> last_epoch;  // LastRecordEpoch().
  ReplicaEnds ends;
  friend bool operator==(const FollowerHello&, const FollowerHello&) = default;
};

// The logs are equal below `from`; what follows begins there.
struct LogsMeet {
  Offset from;
  friend bool operator==(const LogsMeet&, const LogsMeet&) = default;
};

// In the leader's log `epoch` is the largest that is not above the follower's last, and ends here.
struct LogsDiverge {
  LeaderEpoch epoch;
  Offset end_offset;
  friend bool operator==(const LogsDiverge&, const LogsDiverge&) = default;
};

// The follower's end is not in the leader's log, [start, end).
struct OutsideLog {
  Offset start;
  Offset end;
  friend bool operator==(const OutsideLog&, const OutsideLog&) = default;
};

using LogMatch = std::variant<LogsMeet, LogsDiverge, OutsideLog>;

// The epoch of the last record; nothing for an empty log. Not LeaderEpochCache::latest_epoch(): a
// leader that appended nothing has an epoch there that nobody else may know of.
std::optional<LeaderEpoch> LastRecordEpoch(const LeaderEpochCache& epochs, Offset log_start,
                                           Offset log_end);

// The leader's answer. `last_epoch` and `follower_end` are the follower's. Nothing when the last
// epoch is above all known ones: whoever follows has seen a later leader than we are.
std::optional<LogMatch> MatchLogs(const LeaderEpochCache& epochs, Offset log_start, Offset log_end,
                                  std::optional<LeaderEpoch> last_epoch, Offset follower_end);

// What the follower does then: the offset to truncate to, at most `log_end`. With it as the new
// end, the next hello names a lower epoch or a lower end, or the logs meet.
Offset TruncationPoint(const LeaderEpochCache& epochs, Offset log_end, const LogsDiverge& diverge);

}  // namespace millrace

// Where `group reset-offsets` puts a group's positions: decided here, from what was asked for and
// what is known of each partition.
//
// Shard:  any; pure.
// Errors: kInvalidArgument, kFailedPrecondition, kNotFound: sentences for people.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/client/topic_partition.h"
#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// Positions of groups, as a file lists them.
using GroupPositions = std::map<std::string, std::map<TopicPartition, Offset>>;

struct ResetToEarliest {};
struct ResetToLatest {};
struct ResetToCurrent {};  // Where it is; where there is no position, to the end.
struct ResetToOffset {
  int64_t offset;  // Negative: before the first, so it becomes that.
};
struct ResetShiftBy {
  int64_t count;
};
struct ResetToTime {
  Timestamp time;
};
struct ResetFromFile {
  GroupPositions positions;
};
using ResetTarget = std::variant<ResetToEarliest, ResetToLatest, ResetToCurrent, ResetToOffset,
                                 ResetShiftBy, ResetToTime, ResetFromFile>;

struct PartitionFacts {
  std::optional<Offset> committed;
  Offset begin{0};
  Offset end{0};
  std::optional<Offset> at_time;  // For ResetToTime; nothing: no record is as young.
};

struct NewPosition {
  Offset offset{0};
  // Why it is not what was asked for; empty if it is.
  std::string note;
  bool no_record_as_young = false;  // The end stands in for the time.
};

// A position outside [begin, end] becomes the nearer of the two.
absl::StatusOr<NewPosition> PlanReset(const ResetTarget& target, const std::string& group,
                                      const TopicPartition& place, const PartitionFacts& facts);

// What --topic names: "t" all partitions of it, "t:0,2" these.
struct TopicScope {
  std::string topic;
  std::vector<PartitionId> partitions;  // Empty: all.
};
absl::StatusOr<TopicScope> ParseTopicScope(std::string_view text);

// Lines "topic,partition,offset", which are of `only_group`, or "group,topic,partition,offset", as
// kafka-consumer-groups --export writes them.
absl::StatusOr<GroupPositions> ParsePositions(std::string_view text,
                                              const std::optional<std::string>& only_group);

}  // namespace millrace

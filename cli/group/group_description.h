// GroupDescription: a consumer group as `group describe` shows it: its state, its members, and how
// far each partition has been read.
//
// Shard: any; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/group_client.h"
#include "common/json/json_writer.h"

namespace millrace {

// A partition that the group has a position in, or that a member is to read.
struct GroupPartition {
  TopicPartition place;
  std::optional<Offset> committed;
  std::optional<LeaderEpoch> leader_epoch;
  std::optional<Offset> log_end;     // Nothing: the partition has no leader, or is gone.
  std::optional<size_t> member;      // Index of who reads it in the group's members.
  std::optional<Duration> age = {};  // Of the oldest record that is not read yet; 0 without any.

  // Records that are not read yet. Negative if the log was cut behind the position.
  std::optional<int64_t> lag() const;
};

struct GroupDescription {
  GroupDetails group;
  std::string coordinator_address;
  // Those of members first, members with more partitions before others; then those that nobody
  // reads. Kafka's tool prints them in this order.
  std::vector<GroupPartition> partitions;

  // Nothing: of a partition that the group has a position in the end is not known.
  std::optional<int64_t> total_lag() const;
  // Of the oldest record that any partition has not been read up to; 0 where all are read. Nothing: of
  // one of them it is not known, and that one may be the latest; or the group has no positions.
  std::optional<Duration> age_max() const;
};

// The partitions of `group`: assigned ones and those in `committed`, with ends still unknown.
std::vector<GroupPartition> PartitionsOf(const GroupDetails& group,
                                         const CommittedPositions& committed);

std::optional<int64_t> MillisecondsOf(const std::optional<Duration>& age);
// "12.5"; "-" if it is not known.
std::string SecondsText(const std::optional<Duration>& age);

std::string GroupText(const GroupDescription& description, bool members);
void GroupJson(const GroupDescription& description, JsonWriter& json);

// "a:0,1;b:3"; "-" if there is none.
std::string AssignmentText(const ConsumerAssignment& assignment);

}  // namespace millrace

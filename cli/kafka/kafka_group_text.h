// What Kafka's kafka-consumer-groups.sh and kafka-groups.sh print, column for column: scripts grep
// it.
//
// Shard:  any; pure.
// Source: the tools of Apache Kafka 4.3; group_cli_test.py compares with them byte for byte.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client/group_client.h"
#include "cli/group/group_description.h"
#include "cli/group/reset_plan.h"

namespace millrace {

// "Classic" for "classic"; "Unknown" for nothing.
std::string KafkaGroupType(std::string_view wire);

// kafka-consumer-groups --list with --type or --state or both.
std::string KafkaGroupTable(const std::vector<ListedGroup>& groups, bool types, bool states);
// kafka-groups --list.
std::string KafkaAllGroupsTable(const std::vector<ListedGroup>& groups);

// A line that --describe writes on stderr before the table of such a group; empty: none.
std::string KafkaStateNotice(const GroupDetails& group);
// kafka-consumer-groups --describe: --offsets, --members, --state.
std::string KafkaOffsetsText(const GroupDescription& description, bool verbose);
std::string KafkaMembersText(const GroupDetails& group, bool verbose);
std::string KafkaStateText(const GroupDescription& description, bool verbose);

// kafka-consumer-groups --reset-offsets, of all its groups; with --export.

std::string KafkaResetText(const GroupPositions& offsets);
std::string KafkaResetCsv(const GroupPositions& offsets);

// kafka-consumer-groups --delete-offsets: the table of partitions.
std::string KafkaDeletedOffsetsText(const PartitionStatuses& statuses);

}  // namespace millrace

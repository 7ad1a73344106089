// The records of __consumer_offsets as values, in Kafka's own formats: what a group decides, what is
// appended, and what is read when a partition of that topic is loaded.
//
// Shard:  any; pure.
// Errors: DecodeGroupRecord(): kInvalidArgument: the bytes are not what Kafka writes.
// Source: the coordinator records of Kafka 4.4 (proto/kafka/schema/offset_records.kdef,
//         consumer_group_records.kdef).
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <span>
#include <string>
#include <variant>

#include "proto/kafka/consumer_group_current_member_assignment_key.h"
#include "proto/kafka/consumer_group_current_member_assignment_value.h"
#include "proto/kafka/consumer_group_member_metadata_key.h"
#include "proto/kafka/consumer_group_member_metadata_value.h"
#include "proto/kafka/consumer_group_metadata_key.h"
#include "proto/kafka/consumer_group_metadata_value.h"
#include "proto/kafka/consumer_group_partition_metadata_key.h"
#include "proto/kafka/consumer_group_partition_metadata_value.h"
#include "proto/kafka/consumer_group_regular_expression_key.h"
#include "proto/kafka/consumer_group_regular_expression_value.h"
#include "proto/kafka/consumer_group_target_assignment_member_key.h"
#include "proto/kafka/consumer_group_target_assignment_member_value.h"
#include "proto/kafka/consumer_group_target_assignment_metadata_key.h"
#include "proto/kafka/consumer_group_target_assignment_metadata_value.h"
#include "proto/kafka/group_metadata_key.h"
#include "proto/kafka/group_metadata_value.h"
#include "proto/kafka/offset_commit_key.h"
#include "proto/kafka/offset_commit_value.h"

namespace millrace {

// One kind of record. Without a value it is a tombstone: what the key names is gone.
template <typename KeyType, typename ValueType>
struct KeyedRecord {
  using Key = KeyType;
  using Value = ValueType;
  Key key;
  std::optional<Value> value;
  bool operator==(const KeyedRecord&) const = default;
};

using OffsetCommitRecord = KeyedRecord<kafka::OffsetCommitKey, kafka::OffsetCommitValue>;
using ClassicGroupRecord = KeyedRecord<kafka::GroupMetadataKey, kafka::GroupMetadataValue>;
using ConsumerGroupEpochRecord =
    KeyedRecord<kafka::ConsumerGroupMetadataKey, kafka::ConsumerGroupMetadataValue>;
// Written by old brokers only; a tombstone of it is what newer ones write.
using ConsumerGroupPartitionsRecord = KeyedRecord<kafka::ConsumerGroupPartitionMetadataKey,
                                                  kafka::ConsumerGroupPartitionMetadataValue>;
using ConsumerMemberRecord =
    KeyedRecord<kafka::ConsumerGroupMemberMetadataKey, kafka::ConsumerGroupMemberMetadataValue>;
using TargetAssignmentEpochRecord = KeyedRecord<kafka::ConsumerGroupTargetAssignmentMetadataKey,
                                                kafka::ConsumerGroupTargetAssignmentMetadataValue>;
using TargetAssignmentRecord = KeyedRecord<kafka::ConsumerGroupTargetAssignmentMemberKey,
                                           kafka::ConsumerGroupTargetAssignmentMemberValue>;
using CurrentAssignmentRecord = KeyedRecord<kafka::ConsumerGroupCurrentMemberAssignmentKey,
                                            kafka::ConsumerGroupCurrentMemberAssignmentValue>;
using RegexRecord = KeyedRecord<kafka::ConsumerGroupRegularExpressionKey,
                                kafka::ConsumerGroupRegularExpressionValue>;

using GroupRecordVariant =
    std::variant<OffsetCommitRecord, ClassicGroupRecord, ConsumerGroupEpochRecord,
                 ConsumerGroupPartitionsRecord, ConsumerMemberRecord, TargetAssignmentEpochRecord,
                 TargetAssignmentRecord, CurrentAssignmentRecord, RegexRecord>;

// One of them; std::get(), std::visit() and the like take it as they take the variant. Copying, moving
// and destroying it are functions of group_record.cc, so that they are compiled once.
class GroupRecord : public GroupRecordVariant {
 public:
  using GroupRecordVariant::GroupRecordVariant;
  GroupRecord(const GroupRecord& other);
  GroupRecord(GroupRecord&& other) noexcept;
  GroupRecord& operator=(const GroupRecord& other);
  GroupRecord& operator=(GroupRecord&& other) noexcept;
  ~GroupRecord();
};

// As it lies in the log.
struct EncodedRecord {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const EncodedRecord&) const = default;
};

EncodedRecord EncodeGroupRecord(const GroupRecord& record);

// Nothing: of a kind that is not known here (share and streams groups, later releases): it stays in
// the log and means nothing.
absl::StatusOr<std::optional<GroupRecord>> DecodeGroupRecord(
    std::span<const uint8_t> key, std::optional<std::span<const uint8_t>> value);

// The group it is about.
const std::string& GroupOf(const GroupRecord& record);

}  // namespace millrace

// ConsumerGroupState: what the records of a consumer group say, and what follows from them. It
// changes in Replay() alone.
//
// Records may come in any order that the log's compaction leaves: of each key the last one counts.
//
// Shard:  any; pure.
// Order:  members by id, topics by name: the same in every process.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/consumer_requests.h"
#include "broker/groups/current_assignment.h"
#include "broker/groups/group_record.h"
#include "broker/groups/partition_list.h"
#include "common/time.h"

namespace millrace {

// What a member is and wants: its member record.
struct ConsumerMember {
  std::string member_id;
  std::optional<std::string> instance_id = {};
  std::optional<std::string> rack = {};
  std::string client_id = {};
  std::string client_host = {};
  std::vector<std::string> topic_names = {};  // Sorted, each once.
  std::optional<std::string> topic_regex = {};
  Duration rebalance_timeout{0};
  std::optional<std::string> assignor = {};
  // Of a member of the classic protocol: what it joined with; it knows a protocol at least, and names
  // none twice.
  std::optional<kafka::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata> classic = {};
  CurrentAssignment current = {};
  // Which of its records there are.
  bool has_member_record = false;
  bool has_current_record = false;
};

// What a regular expression stood for when it was last matched.
struct ResolvedRegex {
  std::set<std::string> topics;
  int64_t version = 0;  // The index of the metadata; 0: of none.
  Timestamp resolved{0};
  friend bool operator==(const ResolvedRegex&, const ResolvedRegex&) = default;
};

class ConsumerGroupState {
 public:
  explicit ConsumerGroupState(std::string group_id) : group_id_(std::move(group_id)) {}

  void Replay(const GroupRecord& record);

  const std::string& group_id() const { return group_id_; }
  int32_t group_epoch() const { return group_epoch_.value_or(0); }
  int64_t metadata_hash() const { return metadata_hash_; }
  int32_t assignment_epoch() const { return assignment_epoch_.value_or(0); }
  bool has_records() const;

  const std::map<std::string, ConsumerMember>& members() const { return members_; }
  const ConsumerMember* Find(const std::string& member_id) const;
  const ConsumerMember* FindStatic(const std::string& instance_id) const;
  // Empty where there is none.
  const PartitionList& Target(const std::string& member_id) const;
  // Whether somebody else has it assigned, or has yet to give it up. `member`: null for somebody new.
  bool HeldByOther(const TopicPartitionId& partition, const ConsumerMember* member) const;

  // Whether all members of the classic protocol know it, so that they could agree on it.
  bool AllKnow(const std::string& protocol) const;
  // Of a member that knows these: the first that all others know, too; where there is none, its first.
  const std::string& CommonProtocol(
      const kafka::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata& classic) const;

  // Members by the names they subscribe to, and by their regular expressions; none with 0.
  const std::map<std::string, uint32_t>& names() const { return names_; }
  const std::map<std::string, uint32_t>& regexes() const { return regexes_; }
  const std::map<std::string, ResolvedRegex>& resolved() const { return resolved_; }
  std::set<std::string> SubscribedTopics() const;
  bool SubscribesTo(const std::string& topic) const;

  std::vector<GroupRecord> Snapshot() const;

 private:
  void ReplayOne(const OffsetCommitRecord&) {}
  void ReplayOne(const ClassicGroupRecord&) {}
  void ReplayOne(const ConsumerGroupPartitionsRecord&) {}
  void ReplayOne(const ConsumerGroupEpochRecord& record);
  void ReplayOne(const ConsumerMemberRecord& record);
  void ReplayOne(const TargetAssignmentEpochRecord& record);
  void ReplayOne(const TargetAssignmentRecord& record);
  void ReplayOne(const CurrentAssignmentRecord& record);
  void ReplayOne(const RegexRecord& record);
  ConsumerMember& Touch(const std::string& member_id);
  void ForgetIfGone(const std::string& member_id);
  // Takes what the member record says into, or out of, what is derived.
  void Count(const ConsumerMember& member, bool add);
  void Hold(const CurrentAssignment& current, bool add);

  std::string group_id_;
  // State. From records:
  std::optional<int32_t> group_epoch_;
  int64_t metadata_hash_ = 0;
  std::optional<int32_t> assignment_epoch_;
  int64_t assignment_timestamp_ = 0;
  std::map<std::string, ConsumerMember> members_;
  std::map<std::string, PartitionList> targets_;
  std::map<std::string, ResolvedRegex> resolved_;
  // Derived:
  std::map<std::string, std::string> static_members_;  // Instance id -> member id.
  std::map<std::string, uint32_t> names_;
  std::map<std::string, uint32_t> regexes_;
  std::map<std::string, uint32_t> supporters_;    // Of each protocol of classic members.
  size_t classic_count_ = 0;                      // Members of the classic protocol.
  std::map<TopicPartitionId, uint32_t> holders_;  // 1, but for moments of a load.
};

// Records of the group, with a value.
GroupRecord EpochRecord(const std::string& group, int32_t epoch, int64_t metadata_hash);
GroupRecord MemberRecord(const std::string& group, const ConsumerMember& member);
GroupRecord TargetEpochRecord(const std::string& group, int32_t epoch, Timestamp computed);
GroupRecord TargetRecord(const std::string& group, const std::string& member_id,
                         const PartitionList& target);
GroupRecord CurrentRecord(const std::string& group, const std::string& member_id,
                          const CurrentAssignment& current);
GroupRecord ToRecord(const std::string& group, const std::string& regex,
                     const ResolvedRegex& resolved);
// Everything about a member goes.
void AppendMemberTombstones(const std::string& group, const std::string& member_id,
                            std::vector<GroupRecord>& records);
GroupRecord RegexTombstone(const std::string& group, const std::string& regex);

}  // namespace millrace

// GroupCoordinator: all groups of one partition of __consumer_offsets, and the offsets they have
// committed. Requests, records and time go in; answers and records come out.
//
//   decide:  a call gives its answer and, in GroupOutput, the records that make it true. What they
//            change has been changed when the call returns.
//   shell:   appends the records in the order in which they were given, and gives no answer away
//            before everything decided up to it is committed. When that fails, the coordinator is
//            dropped and another one loads the log: what was not written has not been.
//   load:    Load() for every record in the log's order, then OnLoaded().
//
// Shard:    the partition's; pure.
// Lifetime: `options` and `memory` outlive it.
// Errors:   Kafka's codes in the answers.
// Bounds:   see ClassicGroupOptions and ConsumerGroupOptions. Where GroupMemory is used up no new
//           member joins (GROUP_MAX_SIZE_REACHED), and what would make a group much larger is
//           refused (COORDINATOR_NOT_AVAILABLE); those that are there go on.
// Cost:     a request costs its own group; one ordered list of times wakes what is due, and an idle
//           group costs nothing but a look at its offsets every expiration_interval.
// Source:   rules 7, 8 and 9 of Kafka's broker behaviour.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/groups/classic_group.h"
#include "broker/groups/consumer_group.h"
#include "broker/groups/consumer_requests.h"
#include "broker/groups/group_offsets.h"
#include "broker/groups/group_record.h"
#include "broker/groups/group_time.h"
#include "broker/groups/group_views.h"
#include "broker/groups/join_requests.h"
#include "broker/groups/migration.h"
#include "broker/groups/offset_requests.h"
#include "common/uuid.h"
#include "controller/image/metadata_image.h"

namespace millrace {

struct GroupOptions {
  ClassicGroupOptions classic;
  ConsumerGroupOptions consumer;
  MigrationPolicy migration;
  size_t offset_metadata_bytes_max = 4096;                  // offset.metadata.max.bytes.
  Duration offsets_retention = std::chrono::hours(24 * 7);  // offsets.retention.minutes.
  Duration expiration_interval = std::chrono::minutes(10);  // offsets.retention.check...
};

// What groups take in memory: of all coordinators of a shard together.
struct GroupMemory {
  size_t max = size_t{128} << 20;
  size_t used = 0;
  bool Has(size_t more) const { return used + more <= max; }
};

// What a call came to, besides its own answer.
struct GroupOutput {
  std::vector<GroupRecord> records;
  std::vector<std::pair<Ticket, JoinedGroup>> joined;
  std::vector<std::pair<Ticket, SyncedGroup>> synced;
};

class GroupCoordinator {
 public:
  GroupCoordinator(const GroupOptions& options, GroupMemory& memory, GroupTime time);
  ~GroupCoordinator();
  GroupCoordinator(const GroupCoordinator&) = delete;
  GroupCoordinator& operator=(const GroupCoordinator&) = delete;

  // --- Members of the classic protocol ---------------------------------------------------------
  // Every ticket is answered exactly once, in this call's output or a later one's, unless it is
  // forgotten.

  void Join(const std::string& group_id, JoinGroup request, Ticket ticket,
            const MetadataImage& image, Uuid drawn, GroupTime time, GroupOutput& out);
  void Sync(const std::string& group_id, SyncGroup request, Ticket ticket,
            const MetadataImage& image, GroupTime time, GroupOutput& out);
  kafka::KafkaError Heartbeat(const std::string& group_id, const MemberIdentity& member,
                              GenerationId generation, GroupTime time);
  std::vector<kafka::KafkaError> Leave(const std::string& group_id,
                                       const std::vector<MemberIdentity>& members,
                                       const MetadataImage& image, GroupTime time,
                                       GroupOutput& out);
  void Forget(const std::string& group_id, Ticket ticket);

  // --- Members of the consumer protocol --------------------------------------------------------

  // A classic group becomes a consumer group with the first one: without members always, with members
  // where options.migration has it so. The reverse, when the last one goes (migration.h).
  ConsumerHeartbeatReply ConsumerBeat(const ConsumerHeartbeat& request, const MetadataImage& image,
                                      Uuid drawn, GroupTime time, GroupOutput& out);

  // --- Offsets ---------------------------------------------------------------------------------

  // `request`: its topics exist.
  PartitionErrors Commit(const OffsetsToCommit& request, GroupTime time, GroupOutput& out);
  FetchedOffsets Fetch(const OffsetsToFetch& request, const MetadataImage& image) const;
  // `request`: its topics exist.
  DeletedOffsets DeleteOffsets(const OffsetsToDelete& request, GroupTime time, GroupOutput& out);
  // These topics are gone; so are offsets in them (rule 9.9), and not those of later ones of the
  // same names.
  void OnTopicsDeleted(const std::map<std::string, TopicId>& topics, GroupTime time,
                       GroupOutput& out);

  // --- Groups ----------------------------------------------------------------------------------

  // Nothing: there is no such group, of a kind that DescribeGroups tells of.
  std::optional<GroupView> Describe(const std::string& group_id) const;
  // The same for ConsumerGroupDescribe.
  std::optional<ConsumerGroupView> DescribeConsumer(const std::string& group_id) const;
  std::vector<GroupListing> List() const;
  kafka::KafkaError Delete(const std::string& group_id, GroupTime time, GroupOutput& out);

  // --- Loading and time ------------------------------------------------------------------------

  void Load(const GroupRecord& record, GroupTime time);
  void OnLoaded(const MetadataImage& image, GroupTime time);
  // When OnTime() has something to do.
  Instant deadline() const;
  void OnTime(const MetadataImage& image, GroupTime time, GroupOutput& out);
  // It coordinates no longer: all who wait are answered `error`.
  void Dismiss(kafka::KafkaError error, GroupOutput& out);

  // Every committed offset, in order of group, topic and partition, until `visit` says false.
  using OffsetVisit = std::function<bool(const std::string& group, const std::string& topic,
                                         PartitionId partition, const CommittedOffset& committed)>;
  void ForEachOffset(const OffsetVisit& visit) const;
  size_t group_count() const { return groups_.size(); }
  size_t offset_count() const { return offset_count_; }

 private:
  // What kind a group is of is decided by who uses it first; one that only keeps offsets is a
  // classic group that nobody has joined. It may become one of the other kind.
  struct Group {
    const std::string& id() const { return classic->id(); }
    bool has_members() const;
    // False also of one that was given an id and has not joined with it.
    bool HasMember(const std::string& member_id) const;
    std::optional<Instant> deadline() const;
    // The topics its members read, as far as they tell; nothing: they do not tell.
    std::optional<std::set<std::string>> SubscribedTopics() const;

    std::optional<ClassicGroup> classic;      // Always; empty beside a consumer group.
    std::unique_ptr<ConsumerGroup> consumer;  // Null: it is a classic group.
    GroupOffsets offsets;
    size_t memory = 0;                                // Counted for it.
    bool rewritten = false;                           // The consumer group, since it was counted.
    bool recorded = false;                            // The log has a record of it.
    std::optional<kafka::GroupMetadataValue> loaded;  // While loading: the last record.
    std::optional<Instant> wake;
  };
  using Groups = std::map<std::string, std::unique_ptr<Group>>;

  Group* Find(const std::string& group_id) const;
  Group& FindOrMake(const std::string& group_id, GroupTime time);
  // Takes over what a group came to, and notes when it is to be woken. The group is gone afterwards
  // if nothing is left of it.
  void Settle(Group& group, ClassicGroupOutput& from, GroupOutput& out);
  void Settle(Group& group);
  void CountMemory(Group& group);
  // The one way by which committed offsets change.
  void Replay(Group& group, const GroupRecord& record, GroupTime time);
  void ReplayConsumer(Group& group, const GroupRecord& record, GroupTime time);
  // Replays what was decided, and writes it.
  void Write(Group& group, std::vector<GroupRecord> records, GroupTime time, GroupOutput& out);
  // It has no members: nothing is left of it, for another kind of group, but offsets.
  void Empty(Group& group, GroupTime time, GroupOutput& out);

  // From one protocol to the other (group_coordinator_migration.cc).
  // The records of the consumer group that a classic group with members becomes. An error says why
  // it does not.
  std::expected<std::vector<GroupRecord>, std::string> Upgrade(const Group& group,
                                                               const MetadataImage& image) const;
  // `records` made `consumer` what it is. Whoever waits in the classic group has to join again.
  void BecomeConsumer(Group& group, std::unique_ptr<ConsumerGroup> consumer,
                      std::vector<GroupRecord> records, GroupTime time, GroupOutput& out);
  bool BecomesClassicWithout(const Group& group, const std::set<std::string>& gone) const;
  void BecomeClassic(Group& group, const std::set<std::string>& gone, const MetadataImage& image,
                     GroupTime time, GroupOutput& out);
  // Of a consumer group.
  void JoinConsumer(Group& group, JoinGroup request, Ticket ticket, const MetadataImage& image,
                    Uuid drawn, GroupTime time, GroupOutput& out);
  void RemoveMembers(Group& group, const std::set<std::string>& gone, const MetadataImage& image,
                     GroupTime time, GroupOutput& out);

  void CommitOne(Group& group, const OffsetsToCommit& request, const OffsetsToCommit::Topic& topic,
                 const OffsetsToCommit::Partition& partition, GroupTime time, GroupOutput& out);
  // Nothing is left of it but, perhaps, records of itself.
  void Delete(Group& group, GroupTime time, GroupOutput& out);
  void RemoveOffsets(Group& group, const GroupOffsets::Predicate& gone, GroupTime time,
                     GroupOutput& out);
  void ExpireOffsets(Group& group, GroupTime time, GroupOutput& out);
  void ExpireSome(GroupTime time, GroupOutput& out);

  // Constant after construction.
  const GroupOptions& options_;
  // Borrowed.
  GroupMemory& memory_;
  // State.
  Groups groups_;
  std::set<std::pair<Instant, std::string>> wakes_;
  size_t offset_count_ = 0;
  Instant next_expiration_;
  std::optional<std::string> expiring_;  // Where a round of expiration goes on.
};

}  // namespace millrace

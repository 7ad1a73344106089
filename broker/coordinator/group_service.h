// GroupService: what the group APIs of one shard stand on: the coordinators of the partitions of
// __consumer_offsets that this shard leads. Nobody is told of anything before it is committed, nor
// of what a successor may have moved on from: where this broker cannot be sure that there is none, it
// has something committed first, by followers that still follow it.
//
// Shard:    one; callers of other shards come by OnShard() (broker/on_shard.h). Requests and answers
//           are values.
// Lifetime: everything lent outlives it. Stop() must have finished before destruction; requests
//           that wait are answered NOT_COORDINATOR then.
// Errors:   beside what the groups say: COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR,
//           COORDINATOR_NOT_AVAILABLE (it cannot be written now, or was not committed in time).
//           Clients retry all three.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/coordinator/coordinator_set.h"
#include "broker/coordinator/group_machine.h"
#include "broker/groups/group_coordinator.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"
#include "controller/image/metadata_source.h"
#include "proto/kafka/kafka_error.h"
#include "replication/partition_table.h"
#include "storage/log_store.h"

namespace millrace {

inline constexpr std::string_view kGroupsTopic = "__consumer_offsets";

struct GroupServiceOptions {
  GroupOptions groups;
  Duration commit_timeout = seconds(5);         // offsets.commit.timeout.ms.
  size_t memory_bytes_max = size_t{128} << 20;  // What this shard's groups may take.
  // Nobody else can have been made to lead what this broker leads. Empty: it is always so.
  std::function<bool()> surely_leads = {};
};

struct LeftGroup {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::vector<kafka::KafkaError> members = {};
};

struct CommittedOffsets {
  kafka::KafkaError error = kafka::KafkaError::kNone;  // Of all; then `partitions` is empty.
  PartitionErrors partitions = {};
};

struct DescribedGroup {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::optional<GroupView> group = {};  // Nothing: there is none.
};

struct DescribedConsumerGroup {
  kafka::KafkaError error = kafka::KafkaError::kNone;
  std::optional<ConsumerGroupView> group = {};  // Nothing: there is none of this kind.
};

struct ListedGroups {
  kafka::KafkaError error = kafka::KafkaError::kNone;  // A partition is loading: not all are here.
  std::vector<GroupListing> groups = {};
};

// Where a group is in a partition.
struct GroupPosition {
  std::string group;
  std::string topic;
  TopicPartitionId at;
  Offset committed;
};

struct GroupPositions {
  std::vector<GroupPosition> positions;
  size_t omitted = 0;  // So many more there are, about.
};

class GroupService {
 public:
  GroupService(Env& env, PartitionTable& partitions, LogStore& store,
               const MetadataSource& metadata, GroupServiceOptions options,
               CoordinatorLogFactory make_log = MakeCoordinatorLog);
  virtual ~GroupService() = default;

  CoordinatorSet& coordinators() { return coordinators_; }
  size_t memory_bytes() const { return memory_.used; }

  // `at` is the partition of __consumer_offsets that the group belongs to.
  virtual Task<JoinedGroup> Join(TopicPartitionId at, std::string group_id, JoinGroup request,
                                 CancellationToken cancel);
  Task<SyncedGroup> Sync(TopicPartitionId at, std::string group_id, SyncGroup request,
                         CancellationToken cancel);
  kafka::KafkaError Heartbeat(TopicPartitionId at, const std::string& group_id,
                              const MemberIdentity& member, GenerationId generation);
  Task<LeftGroup> Leave(TopicPartitionId at, std::string group_id,
                        std::vector<MemberIdentity> members);
  Task<ConsumerHeartbeatReply> ConsumerBeat(TopicPartitionId at, ConsumerHeartbeat request);
  virtual Task<CommittedOffsets> Commit(TopicPartitionId at, OffsetsToCommit request,
                                        CancellationToken cancel);
  Task<FetchedOffsets> Fetch(TopicPartitionId at, OffsetsToFetch request);
  Task<DeletedOffsets> DeleteOffsets(TopicPartitionId at, OffsetsToDelete request);
  Task<DescribedGroup> Describe(TopicPartitionId at, std::string group_id);
  Task<DescribedConsumerGroup> DescribeConsumer(TopicPartitionId at, std::string group_id);
  // Those of this shard.
  ListedGroups List() const;
  // Of the first `max` of this shard those of topics that exist; none while somebody else may know
  // better.
  // What was decided counts: a commit may be told a moment before it is acknowledged.
  GroupPositions Positions(size_t max) const;
  Task<kafka::KafkaError> Delete(TopicPartitionId at, std::string group_id);

  virtual Task<void> Stop() { return coordinators_.Stop(); }

 private:
  using Inside = CoordinatorPartition::Inside;
  // Where a request is served.
  struct Place {
    CoordinatorPartition* partition;  // In this turn only.
    Inside inside;
    GroupMachine& machine() const { return static_cast<GroupMachine&>(inside.machine()); }
  };

  std::expected<Place, kafka::KafkaError> Enter(TopicPartitionId at, bool to_write);
  // What was decided on `place` in this turn.
  void Carry(const Place& place, GroupOutput out);
  // Until everything decided so far is committed, and it is certain that nobody else has decided
  // more. kNone, or what to answer instead.
  Task<kafka::KafkaError> Told(Inside inside, CancellationToken cancel);
  template <typename Answer>
  Task<Answer> Wait(Place place, std::string group_id, Ticket ticket, ParkedRequest<Answer>* parked,
                    CancellationToken cancel);
  GroupTime Time() const { return {env_.reactor.Now(), env_.clock.Now()}; }

  // Constant after construction.
  const GroupServiceOptions options_;
  // Borrowed.
  Env& env_;
  const MetadataSource& metadata_;
  // Owned.
  GroupMemory memory_;
  CoordinatorSet coordinators_;
};

// How a shard's service is made: MakeGroupService, but in tests that plant bugs.
using GroupServiceFactory = std::function<std::unique_ptr<GroupService>(
    Env&, PartitionTable&, LogStore&, const MetadataSource&, GroupServiceOptions)>;
std::unique_ptr<GroupService> MakeGroupService(Env& env, PartitionTable& partitions,
                                               LogStore& store, const MetadataSource& metadata,
                                               GroupServiceOptions options);

}  // namespace millrace

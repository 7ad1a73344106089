#include "broker/coordinator/group_service.h"

#include <memory>
#include <utility>

#include "broker/groups/group_record.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

using kafka::KafkaError;

KafkaError ErrorOf(CoordinatorRefusal refusal) {
  switch (refusal) {
    case CoordinatorRefusal::kNotCoordinator:
      return KafkaError::kNotCoordinator;
    case CoordinatorRefusal::kLoading:
      return KafkaError::kCoordinatorLoadInProgress;
    case CoordinatorRefusal::kUnwritable:
      return KafkaError::kCoordinatorNotAvailable;
  }
  return KafkaError::kNotCoordinator;
}

// The log has it, and it changes nothing: no topic has this name.
CoordinatorRecord RecordOfNothing() {
  EncodedRecord encoded = EncodeGroupRecord(MakeOffsetTombstone("", "", PartitionId(0)));
  return {std::move(encoded.key), std::move(encoded.value)};
}

}  // namespace

GroupService::GroupService(Env& env, PartitionTable& partitions, LogStore& store,
                           const MetadataSource& metadata, GroupServiceOptions options,
                           CoordinatorLogFactory make_log)
    : options_(std::move(options)),
      env_(env),
      metadata_(metadata),
      memory_{.max = options_.memory_bytes_max},
      coordinators_(env, partitions, store, std::string(kGroupsTopic),
                    {[this](TopicPartitionId, CoordinatorTime time) {
                       return std::make_unique<GroupMachine>(options_.groups, memory_, metadata_,
                                                             time);
                     },
                     std::move(make_log)}) {}

std::unique_ptr<GroupService> MakeGroupService(Env& env, PartitionTable& partitions,
                                               LogStore& store, const MetadataSource& metadata,
                                               GroupServiceOptions options) {
  return std::make_unique<GroupService>(env, partitions, store, metadata, std::move(options));
}

std::expected<GroupService::Place, KafkaError> GroupService::Enter(TopicPartitionId at,
                                                                   bool to_write) {
  CoordinatorPartition* partition = coordinators_.Find(at);
  if (partition == nullptr) return std::unexpected(KafkaError::kNotCoordinator);
  auto inside = partition->Enter(to_write);
  if (!inside.has_value()) return std::unexpected(ErrorOf(inside.error()));
  return Place{partition, *std::move(inside)};
}

void GroupService::Carry(const Place& place, GroupOutput out) {
  place.partition->Carry(place.inside, place.machine().Settle(std::move(out)));
}

Task<KafkaError> GroupService::Told(Inside inside, CancellationToken cancel) {
  CoordinatorLog& log = inside.log();
  if (options_.surely_leads && !options_.surely_leads()) {
    // 1. This broker is cut off from the others, and not from its clients. 2. Others are made to
    // lead, and commit. 3. A member that comes here is told where the group was before 2., and reads
    // it all again. What was appended earlier proves nothing: its followers may have left since.
    if (!log.CanWrite().ok() || log.full()) co_return KafkaError::kCoordinatorNotAvailable;
    log.Append({RecordOfNothing()});
  }
  const absl::Status committed =
      co_await log.Committed(log.end(), env_.reactor.Now() + options_.commit_timeout, cancel);
  if (committed.ok()) co_return KafkaError::kNone;
  co_return log.failure().ok() ? KafkaError::kCoordinatorNotAvailable : KafkaError::kNotCoordinator;
}

template <typename Answer>
Task<Answer> GroupService::Wait(Place place, std::string group_id, Ticket ticket,
                                ParkedRequest<Answer>* parked, CancellationToken cancel) {
  co_await parked->answered.Wait(std::nullopt, cancel);
  if (!parked->answer.has_value()) {
    place.machine().Unpark(ticket);
    place.machine().groups().Forget(group_id, ticket);
    parked->answer.emplace().error = KafkaError::kNotCoordinator;
    co_return *std::move(parked->answer);
  }
  if (parked->answer->error != KafkaError::kNone) co_return *std::move(parked->answer);
  const KafkaError error = co_await Told(std::move(place.inside), cancel);
  if (error != KafkaError::kNone) {
    Answer refused;
    refused.error = error;
    co_return refused;
  }
  co_return *std::move(parked->answer);
}

Task<JoinedGroup> GroupService::Join(TopicPartitionId at, std::string group_id, JoinGroup request,
                                     CancellationToken cancel) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) {
    JoinedGroup refused;
    refused.error = place.error();
    refused.member_id = request.member.member_id;
    co_return refused;
  }
  ParkedRequest<JoinedGroup> parked(env_.reactor);
  const Ticket ticket = place->machine().Park(parked);
  GroupOutput out;
  place->machine().groups().Join(group_id, std::move(request), ticket, *metadata_.image(),
                                 env_.random.NextUuid(), Time(), out);
  Carry(*place, std::move(out));
  co_return co_await Wait(*std::move(place), std::move(group_id), ticket, &parked, cancel);
}

Task<SyncedGroup> GroupService::Sync(TopicPartitionId at, std::string group_id, SyncGroup request,
                                     CancellationToken cancel) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) {
    SyncedGroup refused;
    refused.error = place.error();
    co_return refused;
  }
  ParkedRequest<SyncedGroup> parked(env_.reactor);
  const Ticket ticket = place->machine().Park(parked);
  GroupOutput out;
  place->machine().groups().Sync(group_id, std::move(request), ticket, *metadata_.image(), Time(),
                                 out);
  Carry(*place, std::move(out));
  co_return co_await Wait(*std::move(place), std::move(group_id), ticket, &parked, cancel);
}

KafkaError GroupService::Heartbeat(TopicPartitionId at, const std::string& group_id,
                                   const MemberIdentity& member, GenerationId generation) {
  auto place = Enter(at, /*to_write=*/false);
  if (!place.has_value()) {
    // A member that waits for a coordinator to load has not been silent (Kafka answers so, too).
    return place.error() == KafkaError::kCoordinatorLoadInProgress ? KafkaError::kNone
                                                                   : place.error();
  }
  const KafkaError error =
      place->machine().groups().Heartbeat(group_id, member, generation, Time());
  Carry(*place, GroupOutput());
  return error;
}

Task<LeftGroup> GroupService::Leave(TopicPartitionId at, std::string group_id,
                                    std::vector<MemberIdentity> members) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) co_return LeftGroup{place.error()};
  GroupOutput out;
  LeftGroup left;
  left.members =
      place->machine().groups().Leave(group_id, members, *metadata_.image(), Time(), out);
  Carry(*place, std::move(out));
  left.error = co_await Told(std::move(place->inside), {});
  co_return left;
}

Task<ConsumerHeartbeatReply> GroupService::ConsumerBeat(TopicPartitionId at,
                                                        ConsumerHeartbeat request) {
  auto place = Enter(at, /*to_write=*/true);
  ConsumerHeartbeatReply reply;
  if (!place.has_value()) {
    reply.error = place.error();
    co_return reply;
  }
  GroupOutput out;
  reply = place->machine().groups().ConsumerBeat(request, *metadata_.image(),
                                                 env_.random.NextUuid(), Time(), out);
  Carry(*place, std::move(out));
  if (reply.error != KafkaError::kNone) co_return reply;
  const KafkaError error = co_await Told(std::move(place->inside), {});
  if (error == KafkaError::kNone) co_return reply;
  ConsumerHeartbeatReply refused;
  refused.error = error;
  co_return refused;
}

Task<CommittedOffsets> GroupService::Commit(TopicPartitionId at, OffsetsToCommit request,
                                            CancellationToken cancel) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) co_return CommittedOffsets{place.error()};
  GroupOutput out;
  CommittedOffsets committed;
  committed.partitions = place->machine().groups().Commit(request, Time(), out);
  Carry(*place, std::move(out));
  committed.error = co_await Told(std::move(place->inside), cancel);
  co_return committed;
}

Task<FetchedOffsets> GroupService::Fetch(TopicPartitionId at, OffsetsToFetch request) {
  auto place = Enter(at, /*to_write=*/false);
  if (!place.has_value()) co_return FetchedOffsets{place.error()};
  FetchedOffsets fetched = place->machine().groups().Fetch(request, *metadata_.image());
  if (fetched.error != KafkaError::kNone) co_return fetched;
  const KafkaError error = co_await Told(std::move(place->inside), {});
  if (error != KafkaError::kNone) co_return FetchedOffsets{error};
  co_return fetched;
}

Task<DeletedOffsets> GroupService::DeleteOffsets(TopicPartitionId at, OffsetsToDelete request) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) co_return DeletedOffsets{place.error()};
  GroupOutput out;
  DeletedOffsets deleted = place->machine().groups().DeleteOffsets(request, Time(), out);
  Carry(*place, std::move(out));
  const KafkaError error = co_await Told(std::move(place->inside), {});
  if (error != KafkaError::kNone) co_return DeletedOffsets{error};
  co_return deleted;
}

Task<DescribedGroup> GroupService::Describe(TopicPartitionId at, std::string group_id) {
  auto place = Enter(at, /*to_write=*/false);
  if (!place.has_value()) co_return DescribedGroup{place.error()};
  DescribedGroup described;
  described.group = place->machine().groups().Describe(group_id);
  described.error = co_await Told(std::move(place->inside), {});
  co_return described;
}

Task<DescribedConsumerGroup> GroupService::DescribeConsumer(TopicPartitionId at,
                                                            std::string group_id) {
  auto place = Enter(at, /*to_write=*/false);
  if (!place.has_value()) co_return DescribedConsumerGroup{place.error()};
  DescribedConsumerGroup described;
  described.group = place->machine().groups().DescribeConsumer(group_id);
  described.error = co_await Told(std::move(place->inside), {});
  co_return described;
}

ListedGroups GroupService::List() const {
  ListedGroups listed;
  coordinators_.ForEach([&](CoordinatorPartition& partition) {
    auto inside = partition.Enter(/*to_write=*/false);
    if (!inside.has_value()) {
      if (inside.error() == CoordinatorRefusal::kLoading) {
        listed.error = KafkaError::kCoordinatorLoadInProgress;
      }
      return;
    }
    auto groups = static_cast<GroupMachine&>(inside->machine()).groups().List();
    listed.groups.insert(listed.groups.end(), std::make_move_iterator(groups.begin()),
                         std::make_move_iterator(groups.end()));
  });
  return listed;
}

GroupPositions GroupService::Positions(size_t max) const {
  const std::shared_ptr<const MetadataImage> image = metadata_.image();
  GroupPositions all;
  if (options_.surely_leads && !options_.surely_leads()) return all;
  size_t looked_at = 0;
  coordinators_.ForEach([&](CoordinatorPartition& partition) {
    auto inside = partition.Enter(/*to_write=*/false);
    if (!inside.has_value()) return;
    const GroupCoordinator& groups = static_cast<GroupMachine&>(inside->machine()).groups();
    size_t seen = 0;
    std::string topic_name;
    MetadataImage::Topic topic;
    groups.ForEachOffset([&](const std::string& group, const std::string& name, PartitionId at,
                             const CommittedOffset& committed) {
      if (looked_at == max) return false;
      ++looked_at;
      ++seen;
      if (topic_name != name) {
        topic_name = name;
        topic = image->FindTopic(name);
      }
      // Of one that was deleted since: its tombstone is on its way.
      const bool is_of_it = topic != nullptr &&
                            (committed.topic_id.is_zero() || committed.topic_id == topic->topic_id);
      if (is_of_it) {
        all.positions.push_back({group, name, {topic->topic_id, at}, committed.offset});
      }
      return true;
    });
    all.omitted += groups.offset_count() - seen;
  });
  return all;
}

Task<KafkaError> GroupService::Delete(TopicPartitionId at, std::string group_id) {
  auto place = Enter(at, /*to_write=*/true);
  if (!place.has_value()) co_return place.error();
  GroupOutput out;
  const KafkaError error = place->machine().groups().Delete(group_id, Time(), out);
  Carry(*place, std::move(out));
  if (error != KafkaError::kNone) co_return error;
  co_return co_await Told(std::move(place->inside), {});
}

}  // namespace millrace

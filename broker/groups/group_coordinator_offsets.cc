// What GroupCoordinator does with committed offsets.
#include <algorithm>
#include <utility>

#include "broker/groups/group_coordinator.h"

namespace millrace {
namespace {

using kafka::KafkaError;

PartitionErrors SameForAll(const std::vector<OffsetsToCommit::Topic>& topics, KafkaError error) {
  PartitionErrors errors;
  errors.reserve(topics.size());
  for (const auto& topic : topics) errors.emplace_back(topic.partitions.size(), error);
  return errors;
}

// Whether it was committed for the topic of that name as it is now, and not for one that was deleted
// since. (Its tombstone may be on its way, or was never written: nobody coordinated the group then.)
bool IsOf(const MetadataImage::Topic& topic, const CommittedOffset& committed) {
  return topic != nullptr &&
         (committed.topic_id.is_zero() || committed.topic_id == topic->topic_id);
}

OffsetClient ClientOf(const std::string& member_id, const std::optional<std::string>& instance_id,
                      std::optional<GenerationId> epoch, bool knows_epochs) {
  OffsetClient client{.member_id = member_id, .knows_epochs = knows_epochs};
  if (instance_id.has_value()) client.instance_id = *instance_id;
  if (epoch.has_value()) client.epoch = MemberEpoch(epoch->value());
  return client;
}

OffsetClient ClientOf(const OffsetsToCommit& request) {
  const OffsetOwner& owner = request.owner;
  return ClientOf(owner.member.member_id, owner.member.instance_id, owner.epoch,
                  request.of_consumer_groups);
}

FetchedOffsets::Topic FetchTopic(const GroupOffsets& offsets, const OffsetsToFetch::Topic& topic,
                                 const MetadataImage::Topic& known) {
  FetchedOffsets::Topic fetched{topic.name, {}};
  fetched.partitions.reserve(topic.partitions.size());
  for (PartitionId partition : topic.partitions) {
    const CommittedOffset* committed = offsets.Find(topic.name, partition);
    FetchedOffsets::Partition& told =
        fetched.partitions.emplace_back(FetchedOffsets::Partition{partition, {}});
    if (committed != nullptr && IsOf(known, *committed)) told.committed = *committed;
  }
  return fetched;
}

}  // namespace

void GroupCoordinator::CommitOne(Group& group, const OffsetsToCommit& request,
                                 const OffsetsToCommit::Topic& topic,
                                 const OffsetsToCommit::Partition& partition, GroupTime time,
                                 GroupOutput& out) {
  CommittedOffset committed{partition.offset, partition.leader_epoch, partition.metadata,
                            time.wall,        std::nullopt,           topic.topic_id};
  if (request.retention.has_value()) {
    committed.expires_at = Timestamp(
        time.wall.ms() + std::chrono::duration_cast<milliseconds>(*request.retention).count());
  }
  GroupRecord record =
      MakeOffsetRecord(request.group_id, topic.name, partition.partition, committed);
  Replay(group, record, time);
  out.records.push_back(std::move(record));
}

PartitionErrors GroupCoordinator::Commit(const OffsetsToCommit& request, GroupTime time,
                                         GroupOutput& out) {
  Group* found = Find(request.group_id);
  // Whoever is in a generation was a member of a group that is no more (rule 9.1).
  if (found == nullptr && request.owner.epoch.has_value()) {
    // Clients know the better error from v9 on.
    return SameForAll(request.topics, request.of_consumer_groups ? KafkaError::kGroupIdNotFound
                                                                 : KafkaError::kIllegalGeneration);
  }
  Group& group = found != nullptr ? *found : FindOrMake(request.group_id, time);
  const OffsetClient client = ClientOf(request);
  const bool has_room = memory_.Has(group.offsets.Growth(request));
  const KafkaError refused =
      !has_room ? KafkaError::kCoordinatorNotAvailable
      : group.consumer != nullptr
          ? group.consumer->CheckCommit(client)
          : group.classic->CheckCommit(request.owner.member, request.owner.epoch,
                                       /*transactional=*/false, time);
  PartitionErrors errors = SameForAll(request.topics, refused);
  for (size_t t = 0; refused == KafkaError::kNone && t < request.topics.size(); ++t) {
    const OffsetsToCommit::Topic& topic = request.topics[t];
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const OffsetsToCommit::Partition& partition = topic.partitions[p];
      KafkaError& error = errors[t][p];
      if (partition.metadata.size() > options_.offset_metadata_bytes_max) {
        error = KafkaError::kOffsetMetadataTooLarge;
      } else if (group.consumer != nullptr) {
        error = group.consumer->CheckCommitOf(client, {topic.topic_id, partition.partition});
      }
      if (error == KafkaError::kNone) CommitOne(group, request, topic, partition, time, out);
    }
  }
  Settle(group);
  return errors;
}

FetchedOffsets GroupCoordinator::Fetch(const OffsetsToFetch& request,
                                       const MetadataImage& image) const {
  const Group* group = Find(request.group_id);
  FetchedOffsets fetched;
  if (group != nullptr) {
    const OffsetOwner& owner = request.owner;
    fetched.error = group->consumer != nullptr
                        ? group->consumer->CheckFetch(ClientOf(
                              owner.member.member_id, owner.member.instance_id, owner.epoch, true))
                        : group->classic->CheckFetch(owner.member, owner.epoch);
    if (fetched.error != KafkaError::kNone) return fetched;
  }
  const GroupOffsets none;
  const GroupOffsets& offsets = group == nullptr ? none : group->offsets;
  if (request.topics.has_value()) {
    for (const OffsetsToFetch::Topic& topic : *request.topics) {
      fetched.topics.push_back(FetchTopic(offsets, topic, image.FindTopic(topic.name)));
    }
    return fetched;
  }
  for (const auto& [name, partitions] : offsets.topics()) {
    const MetadataImage::Topic known = image.FindTopic(name);
    FetchedOffsets::Topic topic(name);
    for (const auto& [partition, committed] : partitions) {
      if (IsOf(known, committed)) topic.partitions.push_back({partition, committed});
    }
    if (!topic.partitions.empty()) fetched.topics.push_back(std::move(topic));
  }
  return fetched;
}

DeletedOffsets GroupCoordinator::DeleteOffsets(const OffsetsToDelete& request, GroupTime time,
                                               GroupOutput& out) {
  DeletedOffsets deleted;
  Group* group = Find(request.group_id);
  if (group == nullptr) {
    deleted.error = KafkaError::kGroupIdNotFound;
    return deleted;
  }
  const std::optional<std::set<std::string>> subscribed = group->SubscribedTopics();
  // Members of another kind of group do not say what they use (rule 7.25). Consumers that cannot be
  // understood may use anything.
  if (!subscribed.has_value() && !group->classic->of_consumers()) {
    deleted.error = KafkaError::kNonEmptyGroup;
    return deleted;
  }
  for (const OffsetsToDelete::Topic& topic : request.topics) {
    std::vector<KafkaError>& errors = deleted.partitions.emplace_back();
    for (PartitionId partition : topic.partitions) {
      const bool used = !subscribed.has_value() || subscribed->contains(topic.name);
      errors.push_back(used ? KafkaError::kGroupSubscribedToTopic : KafkaError::kNone);
      if (used || group->offsets.Find(topic.name, partition) == nullptr) continue;
      GroupRecord tombstone = MakeOffsetTombstone(request.group_id, topic.name, partition);
      Replay(*group, tombstone, time);
      out.records.push_back(std::move(tombstone));
    }
  }
  Settle(*group);
  return deleted;
}

void GroupCoordinator::ForEachOffset(const OffsetVisit& visit) const {
  for (const auto& [id, group] : groups_) {
    for (const auto& [topic, partitions] : group->offsets.topics()) {
      for (const auto& [partition, committed] : partitions) {
        if (!visit(id, topic, partition, committed)) return;
      }
    }
  }
}

void GroupCoordinator::RemoveOffsets(Group& group, const GroupOffsets::Predicate& gone,
                                     GroupTime time, GroupOutput& out) {
  Write(group, group.offsets.Tombstones(group.id(), gone), time, out);
}

void GroupCoordinator::OnTopicsDeleted(const std::map<std::string, TopicId>& topics, GroupTime time,
                                       GroupOutput& out) {
  const auto is_gone = [&](const std::string& topic, const CommittedOffset& committed) {
    auto gone = topics.find(topic);
    return gone != topics.end() &&
           (committed.topic_id.is_zero() || committed.topic_id == gone->second);
  };
  for (auto at = groups_.begin(); at != groups_.end();) {
    Group& group = *at->second;
    ++at;  // The group may go.
    const bool any = std::ranges::any_of(
        topics, [&](const auto& topic) { return group.offsets.topics().contains(topic.first); });
    if (!any) continue;
    RemoveOffsets(group, is_gone, time, out);
    Settle(group);
  }
}

// Rule 9.7. What a group still uses does not expire: retention begins when it became empty, or, for a
// topic that a stable group does not subscribe to (or for a group without members ever), with the
// last commit.
void GroupCoordinator::ExpireOffsets(Group& group, GroupTime time, GroupOutput& out) {
  const ClassicGroup& classic = *group.classic;
  const int64_t retention =
      std::chrono::duration_cast<milliseconds>(options_.offsets_retention).count();
  const bool since_empty = group.consumer == nullptr && !classic.protocol_type().empty();
  const bool empty = !group.has_members();
  // A classic group that is changing does not say what it will use.
  if (group.consumer == nullptr && !empty && classic.state() != ClassicGroupState::kStable) return;
  const std::optional<std::set<std::string>> subscribed = group.SubscribedTopics();
  if (!subscribed.has_value()) return;
  RemoveOffsets(
      group,
      [&](const std::string& topic, const CommittedOffset& committed) {
        if (subscribed->contains(topic)) return false;
        if (committed.expires_at.has_value()) return *committed.expires_at <= time.wall;
        int64_t base = committed.committed_at.ms();
        if (empty && since_empty) base = std::max(base, classic.state_since().ms());
        return base + retention <= time.wall.ms();
      },
      time, out);
  // Nobody is in it and nothing is kept for it (rule 9.8).
  if (empty && group.offsets.empty()) {
    Delete(group, time, out);
  } else {
    Settle(group);
  }
}

}  // namespace millrace

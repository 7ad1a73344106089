#include "broker/groups/group_coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/groups/embedded_protocol.h"

namespace millrace {
namespace {

using kafka::KafkaError;

// So many groups are woken, or looked at for what has expired, in a turn.
constexpr size_t kGroupsPerTurn = 256;
// What so little would add is not refused to those who are in a group already.
constexpr size_t kSmallBytes = 64 << 10;
constexpr size_t kMemberBytes = 1 << 10;
// A member's id and its instance id are keys of so many maps.
constexpr size_t kIdCopies = 5;
// What a name of a topic takes besides its characters: it may be one byte, and stands in the member
// and in the index of names.
constexpr size_t kNameBytes = 160;

size_t BytesOf(const std::vector<std::string>& names) {
  size_t bytes = 0;
  for (const std::string& name : names) bytes += kNameBytes + 2 * name.size();
  return bytes;
}

size_t BytesOfIds(const std::string& member_id, const std::optional<std::string>& instance_id) {
  return kIdCopies * (member_id.size() + (instance_id.has_value() ? instance_id->size() : 0));
}

// What requests may add to a group, about.
size_t BytesOf(const JoinGroup& request) {
  size_t bytes = kMemberBytes + request.client_id.size() +
                 BytesOfIds(request.member.member_id, request.member.instance_id);
  for (const MemberProtocol& protocol : request.protocols) {
    bytes += protocol.name.size() + protocol.metadata.size();
  }
  return bytes;
}

// Of a member of a consumer group, which has its topics as names besides.
size_t BytesOfTopics(const JoinGroup& request) {
  if (request.protocols.empty()) return 0;
  const auto subscription = ParseSubscription(request.protocols.front().metadata);
  return subscription.has_value() ? BytesOf(subscription->topics) : 0;
}

size_t BytesOf(const SyncGroup& request) {
  size_t bytes = 0;
  for (const SyncGroup::Assignment& assignment : request.assignments) {
    bytes += assignment.assignment.size();
  }
  return bytes;
}

size_t BytesOf(const ConsumerHeartbeat& request) {
  size_t bytes =
      kMemberBytes + request.client_id.size() + BytesOfIds(request.member_id, request.instance_id);
  for (const auto* text : {&request.rack, &request.topic_regex}) {
    if (text->has_value()) bytes += (*text)->size();
  }
  if (request.topic_names.has_value()) bytes += BytesOf(*request.topic_names);
  return bytes;
}

ConsumerHeartbeatReply NoConsumerGroup(std::string why) {
  ConsumerHeartbeatReply refused;
  refused.error = KafkaError::kGroupIdNotFound;
  refused.message = std::move(why);
  return refused;
}

}  // namespace

GroupCoordinator::GroupCoordinator(const GroupOptions& options, GroupMemory& memory, GroupTime time)
    : options_(options),
      memory_(memory),
      next_expiration_(time.now + options.expiration_interval) {}

GroupCoordinator::~GroupCoordinator() {
  for (const auto& [id, group] : groups_) memory_.used -= group->memory;
}

bool GroupCoordinator::Group::has_members() const {
  if (consumer != nullptr) return consumer->member_count() > 0;
  return classic->state() != ClassicGroupState::kEmpty &&
         classic->state() != ClassicGroupState::kDead;
}

bool GroupCoordinator::Group::HasMember(const std::string& member_id) const {
  return consumer != nullptr ? consumer->state().Find(member_id) != nullptr
                             : classic->members().contains(member_id);
}

std::optional<Instant> GroupCoordinator::Group::deadline() const {
  return consumer != nullptr ? consumer->deadline() : classic->deadline();
}

std::optional<std::set<std::string>> GroupCoordinator::Group::SubscribedTopics() const {
  if (consumer != nullptr) return consumer->SubscribedTopics();
  return has_members() ? classic->SubscribedTopics() : std::set<std::string>();
}

GroupCoordinator::Group* GroupCoordinator::Find(const std::string& group_id) const {
  auto found = groups_.find(group_id);
  return found == groups_.end() ? nullptr : found->second.get();
}

GroupCoordinator::Group& GroupCoordinator::FindOrMake(const std::string& group_id, GroupTime time) {
  std::unique_ptr<Group>& group = groups_[group_id];
  if (group == nullptr) {
    group = std::make_unique<Group>();
    group->classic.emplace(group_id, options_.classic, time);
  }
  return *group;
}

void GroupCoordinator::CountMemory(Group& group) {
  // A consumer group is added up member by member: only when something was written about it.
  if (group.consumer != nullptr && !group.rewritten) return;
  group.rewritten = false;
  const size_t before = group.memory;
  group.memory = sizeof(Group) + group.classic->memory_bytes() + group.offsets.memory_bytes();
  if (group.consumer != nullptr) group.memory += group.consumer->memory_bytes();
  memory_.used = memory_.used - before + group.memory;
}

void GroupCoordinator::Settle(Group& group) {
  const std::optional<Instant> deadline = group.deadline();
  const bool vacant = !group.recorded && group.consumer == nullptr && group.offsets.empty() &&
                      !group.has_members() && !deadline.has_value();
  const std::optional<Instant> wake = vacant ? std::nullopt : deadline;
  if (wake != group.wake) {
    if (group.wake.has_value()) wakes_.erase({*group.wake, group.id()});
    if (wake.has_value()) wakes_.emplace(*wake, group.id());
    group.wake = wake;
  }
  if (vacant) {
    memory_.used -= group.memory;
    groups_.erase(std::string(group.id()));
  } else {
    CountMemory(group);
  }
}

void GroupCoordinator::Settle(Group& group, ClassicGroupOutput& from, GroupOutput& out) {
  std::ranges::move(from.joined, std::back_inserter(out.joined));
  std::ranges::move(from.synced, std::back_inserter(out.synced));
  if (from.write) {
    out.records.emplace_back(ClassicGroupRecord{{.group = group.id()}, group.classic->ToRecord()});
    group.recorded = true;
  }
  Settle(group);
}

// --- Members -------------------------------------------------------------------------------------

void GroupCoordinator::Join(const std::string& group_id, JoinGroup request, Ticket ticket,
                            const MetadataImage& image, Uuid drawn, GroupTime time,
                            GroupOutput& out) {
  // Who names itself was a member of a group that is no more (rule 7.3), or of a consumer group that
  // has become empty.
  const Group* known = Find(group_id);
  const bool starts = known == nullptr || (known->consumer != nullptr && !known->has_members());
  if (starts && !request.member.member_id.empty()) {
    JoinedGroup refused;
    refused.error = KafkaError::kUnknownMemberId;
    refused.member_id = request.member.member_id;
    out.joined.emplace_back(ticket, std::move(refused));
    return;
  }
  // Who names itself need not be known: to a consumer group any id may come with a new member.
  const bool is_new = known == nullptr || !known->HasMember(request.member.member_id);
  const bool of_consumers = known != nullptr && known->consumer != nullptr;
  const size_t bytes = BytesOf(request) + (of_consumers ? BytesOfTopics(request) : 0);
  if ((is_new || bytes > kSmallBytes) && !memory_.Has(bytes)) {
    JoinedGroup refused;
    refused.error = KafkaError::kGroupMaxSizeReached;
    refused.member_id = request.member.member_id;
    out.joined.emplace_back(ticket, std::move(refused));
    return;
  }
  Group& group = FindOrMake(group_id, time);
  if (group.consumer != nullptr && group.has_members()) {
    return JoinConsumer(group, std::move(request), ticket, image, drawn, time, out);
  }
  if (group.consumer != nullptr) Empty(group, time, out);
  ClassicGroupOutput came;
  group.classic->Join(std::move(request), ticket, drawn, time, came);
  Settle(group, came, out);
}

void GroupCoordinator::Sync(const std::string& group_id, SyncGroup request, Ticket ticket,
                            const MetadataImage& image, GroupTime time, GroupOutput& out) {
  Group* group = Find(group_id);
  const size_t bytes = BytesOf(request);
  const bool too_much = bytes > kSmallBytes && !memory_.Has(bytes);
  if (group == nullptr || too_much) {
    SyncedGroup refused;
    refused.error =
        group == nullptr ? KafkaError::kUnknownMemberId : KafkaError::kCoordinatorNotAvailable;
    out.synced.emplace_back(ticket, std::move(refused));
    return;
  }
  if (group->consumer != nullptr) {
    out.synced.emplace_back(ticket, group->consumer->Sync(request, image, time));
    return Settle(*group);
  }
  ClassicGroupOutput came;
  group->classic->Sync(std::move(request), ticket, time, came);
  Settle(*group, came, out);
}

KafkaError GroupCoordinator::Heartbeat(const std::string& group_id, const MemberIdentity& member,
                                       GenerationId generation, GroupTime time) {
  Group* group = Find(group_id);
  if (group == nullptr) return KafkaError::kUnknownMemberId;
  const KafkaError error = group->consumer != nullptr
                               ? group->consumer->ClassicHeartbeat(member, generation, time)
                               : group->classic->Heartbeat(member, generation, time);
  Settle(*group);
  return error;
}

std::vector<KafkaError> GroupCoordinator::Leave(const std::string& group_id,
                                                const std::vector<MemberIdentity>& members,
                                                const MetadataImage& image, GroupTime time,
                                                GroupOutput& out) {
  Group* group = Find(group_id);
  if (group == nullptr) {
    return std::vector<KafkaError>(members.size(), KafkaError::kUnknownMemberId);
  }
  if (group->consumer != nullptr) {
    std::set<std::string> gone;
    std::vector<KafkaError> errors = group->consumer->WhoLeaves(members, gone);
    RemoveMembers(*group, gone, image, time, out);
    return errors;
  }
  ClassicGroupOutput came;
  std::vector<KafkaError> errors = group->classic->Leave(members, time, came);
  Settle(*group, came, out);
  return errors;
}

void GroupCoordinator::Forget(const std::string& group_id, Ticket ticket) {
  if (Group* group = Find(group_id); group != nullptr) group->classic->Forget(ticket);
}

// --- Members of consumer groups ------------------------------------------------------------------

void GroupCoordinator::Empty(Group& group, GroupTime time, GroupOutput& out) {
  if (group.consumer != nullptr) {
    Write(group, group.consumer->Tombstones(), time, out);
    group.consumer = nullptr;
  }
  if (!group.recorded) return;
  out.records.emplace_back(ClassicGroupRecord{{.group = group.id()}, std::nullopt});
  group.recorded = false;
  group.classic.emplace(std::string(group.id()), options_.classic, time);
}

void GroupCoordinator::Write(Group& group, std::vector<GroupRecord> records, GroupTime time,
                             GroupOutput& out) {
  for (GroupRecord& record : records) {
    Replay(group, record, time);
    out.records.push_back(std::move(record));
  }
}

ConsumerHeartbeatReply GroupCoordinator::ConsumerBeat(const ConsumerHeartbeat& request,
                                                      const MetadataImage& image, Uuid drawn,
                                                      GroupTime time, GroupOutput& out) {
  if (auto malformed = RefuseMalformed(request, options_.consumer); malformed.has_value()) {
    return *std::move(malformed);
  }
  const bool joins = request.epoch == kJoinEpoch;
  const size_t bytes = BytesOf(request);
  if ((joins || bytes > kSmallBytes) && !memory_.Has(bytes)) {
    ConsumerHeartbeatReply refused;
    refused.error = joins ? KafkaError::kGroupMaxSizeReached : KafkaError::kCoordinatorNotAvailable;
    refused.message = "The broker has no memory for more members.";
    return refused;
  }
  Group* known = Find(request.group_id);
  const bool is_one = known != nullptr && known->consumer != nullptr;
  if (!is_one && request.epoch != kJoinEpoch) {
    return NoConsumerGroup(fmt::format("Group {} is not a consumer group.", request.group_id));
  }
  // It decides before anything is made of it: a request that is refused leaves nothing behind.
  std::unique_ptr<ConsumerGroup> made;
  std::vector<GroupRecord> upgrade;
  if (!is_one) made = std::make_unique<ConsumerGroup>(request.group_id, options_.consumer);
  if (!is_one && known != nullptr && known->has_members()) {
    auto records = Upgrade(*known, image);
    if (!records.has_value()) return NoConsumerGroup(std::move(records.error()));
    upgrade = *std::move(records);
    for (const GroupRecord& record : upgrade) made->Replay(record, time);
  }
  ConsumerGroup& group = is_one ? *known->consumer : *made;
  ConsumerHeartbeatDecision decision = group.Heartbeat(request, image, drawn, time);
  if (decision.records.empty() && !is_one) return std::move(decision.reply);
  Group& whole = known != nullptr ? *known : FindOrMake(request.group_id, time);
  if (request.epoch == kLeaveEpoch && !decision.records.empty()) {
    RemoveMembers(whole, {request.member_id}, image, time, out);
    return std::move(decision.reply);
  }
  if (!is_one) BecomeConsumer(whole, std::move(made), std::move(upgrade), time, out);
  Write(whole, std::move(decision.records), time, out);
  Settle(whole);
  return std::move(decision.reply);
}

// --- Groups --------------------------------------------------------------------------------------

std::optional<GroupView> GroupCoordinator::Describe(const std::string& group_id) const {
  const Group* group = Find(group_id);
  if (group == nullptr || group->consumer != nullptr) return std::nullopt;
  // As Kafka: what is still being agreed on is not told.
  const bool agreed = group->classic->state() == ClassicGroupState::kStable;
  return GroupView{
      group_id, std::string(ToString(group->classic->state())), group->classic->protocol_type(),
      agreed ? group->classic->protocol().value_or("") : "", group->classic->Members()};
}

std::optional<ConsumerGroupView> GroupCoordinator::DescribeConsumer(
    const std::string& group_id) const {
  const Group* group = Find(group_id);
  if (group == nullptr || group->consumer == nullptr) return std::nullopt;
  const ConsumerGroup& consumer = *group->consumer;
  return ConsumerGroupView{group_id,
                           std::string(ToString(consumer.phase())),
                           consumer.group_epoch(),
                           consumer.assignment_epoch(),
                           consumer.assignor(),
                           consumer.Members()};
}

std::vector<GroupListing> GroupCoordinator::List() const {
  std::vector<GroupListing> listings;
  listings.reserve(groups_.size());
  for (const auto& [id, group] : groups_) {
    if (group->consumer != nullptr) {
      listings.push_back(
          {id, "consumer", std::string(ToString(group->consumer->phase())), "consumer"});
      continue;
    }
    listings.push_back({id, group->classic->protocol_type(),
                        std::string(ToString(group->classic->state())), "classic"});
  }
  return listings;
}

void GroupCoordinator::Delete(Group& group, GroupTime time, GroupOutput& out) {
  ClassicGroupOutput came;
  group.classic->Dismiss(KafkaError::kGroupIdNotFound, came);
  Empty(group, time, out);
  Settle(group, came, out);
}

KafkaError GroupCoordinator::Delete(const std::string& group_id, GroupTime time, GroupOutput& out) {
  Group* group = Find(group_id);
  if (group == nullptr) return KafkaError::kGroupIdNotFound;
  if (group->has_members()) return KafkaError::kNonEmptyGroup;
  RemoveOffsets(*group, [](const std::string&, const CommittedOffset&) { return true; }, time, out);
  Delete(*group, time, out);
  return KafkaError::kNone;
}

// --- Loading and time ----------------------------------------------------------------------------

void GroupCoordinator::ReplayConsumer(Group& group, const GroupRecord& record, GroupTime time) {
  if (group.consumer == nullptr) {
    group.consumer = std::make_unique<ConsumerGroup>(group.id(), options_.consumer);
  }
  group.rewritten = true;
  group.consumer->Replay(record, time);
}

void GroupCoordinator::Replay(Group& group, const GroupRecord& record, GroupTime time) {
  if (const auto* offset = std::get_if<OffsetCommitRecord>(&record)) {
    offset_count_ -= group.offsets.size();
    group.offsets.Replay(*offset);
    offset_count_ += group.offsets.size();
  } else if (const auto* classic = std::get_if<ClassicGroupRecord>(&record)) {
    group.recorded = classic->value.has_value();
    group.loaded = classic->value;
  } else {
    ReplayConsumer(group, record, time);
  }
}

void GroupCoordinator::Load(const GroupRecord& record, GroupTime time) {
  Group& group = FindOrMake(GroupOf(record), time);
  Replay(group, record, time);
  // Tombstones of a group that is gone, or is of another kind now.
  if (group.consumer != nullptr && !group.consumer->exists()) group.consumer = nullptr;
  Settle(group);
}

void GroupCoordinator::OnLoaded(const MetadataImage& image, GroupTime time) {
  for (auto& [id, group] : groups_) {
    if (group->consumer != nullptr) {
      group->consumer->Configure(image);
      group->consumer->OnLoaded(time);
      Settle(*group);
    }
    if (!group->loaded.has_value()) continue;
    group->classic.emplace(id, options_.classic, *group->loaded, time);
    group->loaded.reset();
    Settle(*group);
  }
  next_expiration_ = time.now + options_.expiration_interval;
}

Instant GroupCoordinator::deadline() const {
  return wakes_.empty() ? next_expiration_ : std::min(next_expiration_, wakes_.begin()->first);
}

void GroupCoordinator::OnTime(const MetadataImage& image, GroupTime time, GroupOutput& out) {
  std::vector<std::string> due;
  for (auto wake = wakes_.begin(); wake != wakes_.end() && wake->first <= time.now; ++wake) {
    if (due.size() == kGroupsPerTurn) break;
    due.push_back(wake->second);
  }
  for (const std::string& id : due) {
    Group& group = *Find(id);
    if (group.consumer != nullptr) {
      RemoveMembers(group, group.consumer->Expired(time), image, time, out);
      continue;
    }
    ClassicGroupOutput came;
    group.classic->OnTime(time, came);
    Settle(group, came, out);
  }
  if (next_expiration_ <= time.now) ExpireSome(time, out);
}

void GroupCoordinator::Dismiss(KafkaError error, GroupOutput& out) {
  for (auto& [id, group] : groups_) {
    ClassicGroupOutput came;
    group->classic->Dismiss(error, came);
    std::ranges::move(came.joined, std::back_inserter(out.joined));
    std::ranges::move(came.synced, std::back_inserter(out.synced));
  }
}

void GroupCoordinator::ExpireSome(GroupTime time, GroupOutput& out) {
  auto at = expiring_.has_value() ? groups_.lower_bound(*expiring_) : groups_.begin();
  for (size_t looked = 0; at != groups_.end() && looked < kGroupsPerTurn; ++looked) {
    Group& group = *at->second;
    ++at;  // The group may go.
    ExpireOffsets(group, time, out);
  }
  if (at == groups_.end()) {
    expiring_.reset();
    next_expiration_ = time.now + options_.expiration_interval;
  } else {
    expiring_ = at->first;
  }
}

}  // namespace millrace

#include "broker/groups/consumer_group.h"

#include <algorithm>
#include <utility>

#include "broker/groups/group_draft.h"

namespace millrace {

using kafka::KafkaError;

namespace {

// The member a record is about; null: it is about none.
const std::string* MemberOf(const GroupRecord& record) {
  return std::visit(
      [](const auto& typed) -> const std::string* {
        if constexpr (requires { typed.key.member_id; }) return &typed.key.member_id;
        return nullptr;
      },
      record);
}

// What a node of a map takes beside key and value, about.
constexpr size_t kNodeBytes = 64;

size_t BytesOf(const ConsumerMember& member) {
  // Its id: here, as a key here, at its timers, at its target, and at its instance id.
  size_t bytes = 2 * sizeof(ConsumerMember) + 4 * kNodeBytes + 5 * member.member_id.size() +
                 member.client_id.size() + member.client_host.size();
  if (member.instance_id.has_value()) bytes += 2 * member.instance_id->size();
  for (const auto* text : {&member.rack, &member.topic_regex}) {
    if (text->has_value()) bytes += (*text)->size();
  }
  for (const std::string& name : member.topic_names) bytes += sizeof(std::string) + name.size();
  if (member.classic.has_value()) {
    for (const auto& protocol : member.classic->supported_protocols) {
      bytes += sizeof(protocol) + protocol.name.size() + protocol.metadata.size();
    }
  }
  // Each is in the target and held by someone as well.
  constexpr size_t kBytesPerHeld = 4 * sizeof(HeldPartition);
  return bytes + (member.current.assigned.size() + member.current.revoking.size()) * kBytesPerHeld;
}

// Of an epoch that is not its own: as clients of its protocol know it.
KafkaError StaleFor(const ConsumerMember& member) {
  return member.classic.has_value() ? KafkaError::kIllegalGeneration
                                    : KafkaError::kStaleMemberEpoch;
}

}  // namespace

std::string_view ToString(ConsumerGroupPhase phase) {
  switch (phase) {
    case ConsumerGroupPhase::kEmpty:
      return "Empty";
    case ConsumerGroupPhase::kAssigning:
      return "Assigning";
    case ConsumerGroupPhase::kReconciling:
      return "Reconciling";
    case ConsumerGroupPhase::kStable:
      return "Stable";
  }
  std::abort();
}

ConsumerGroup::ConsumerGroup(std::string group_id, const ConsumerGroupOptions& options)
    : options_(options), state_(std::move(group_id)) {}

void ConsumerGroup::Configure(const MetadataImage& image) {
  const ConfigOverrides& overrides = image.group_configs(id());
  if (overrides.empty()) {
    own_.reset();
  } else {
    own_ = OptionsWith(options_, overrides);
  }
}

ConsumerHeartbeatDecision ConsumerGroup::Heartbeat(const ConsumerHeartbeat& request,
                                                   const MetadataImage& image, Uuid drawn,
                                                   GroupTime time) {
  Configure(image);
  if (auto refusal = RefuseMalformed(request, options())) return {*std::move(refusal), {}};
  ConsumerHeartbeatDecision decision;
  if (request.epoch == kLeaveEpoch || request.epoch == kStaticLeaveEpoch) {
    decision = Leave(request);
  } else {
    decision = DecideHeartbeat(state_, options(), request, image, drawn, time, memory_);
  }
  if (decision.reply.error == KafkaError::kNone) {
    const auto it = timers_.find(*decision.reply.member_id);
    if (it != timers_.end()) {
      it->second.session = time.now + options().session_timeout;
      // It may have been of the classic protocol up to now.
      it->second.join.reset();
      it->second.sync.reset();
      Watch(it->second);  // Sessions of this group may be shorter now.
    }
  }
  return decision;
}

ConsumerHeartbeatDecision ConsumerGroup::Leave(const ConsumerHeartbeat& request) const {
  const ConsumerMember* member = request.instance_id.has_value()
                                     ? state_.FindStatic(*request.instance_id)
                                     : state_.Find(request.member_id);
  const auto refuse = [](KafkaError error, std::string message) {
    return ConsumerHeartbeatDecision{{.error = error, .message = std::move(message)}, {}};
  };
  if (member == nullptr) {
    return refuse(KafkaError::kUnknownMemberId, "not a member of the group");
  }
  if (member->member_id != request.member_id) {
    return refuse(KafkaError::kFencedInstanceId, "another member has this instance id now");
  }
  ConsumerHeartbeatDecision decision;
  decision.reply.member_id = member->member_id;
  decision.reply.epoch = request.epoch;
  if (request.epoch == kLeaveEpoch) {
    decision.records = Remove({member->member_id});
  } else if (member->current.epoch != kStaticLeaveEpoch) {
    // Its partitions stay its own until its session is over; what it was to give up it has given up.
    CurrentAssignment left = member->current;
    left.previous_epoch = left.epoch;
    left.epoch = kStaticLeaveEpoch;
    left.state = CurrentAssignment::State::kStable;
    left.revoking.clear();
    decision.records.push_back(CurrentRecord(id(), member->member_id, left));
  }
  return decision;
}

void ConsumerGroup::Replay(const GroupRecord& record, GroupTime time) {
  const std::string* member_id = MemberOf(record);
  if (member_id == nullptr) {
    state_.Replay(record);
    return;
  }
  const ConsumerMember* member = state_.Find(*member_id);
  const HeldPartitions revoking_before =
      member == nullptr ? HeldPartitions{} : member->current.revoking;
  state_.Replay(record);
  member = state_.Find(*member_id);
  if (member == nullptr) {
    timers_.erase(*member_id);
    return;
  }
  const auto [it, fresh] =
      timers_.try_emplace(*member_id, Timers{.session = time.now + SessionOf(*member)});
  Timers& timers = it->second;
  if (fresh) Watch(timers);
  // Members of the classic protocol are given time to join instead.
  if (member->current.state != CurrentAssignment::State::kUnrevoked ||
      member->classic.has_value()) {
    timers.revoke.reset();
  } else if (!timers.revoke.has_value() || member->current.revoking != revoking_before) {
    timers.revoke = time.now + member->rebalance_timeout;
    Watch(timers);
  }
}

void ConsumerGroup::OnLoaded(GroupTime time) {
  memory_ = {};
  earliest_.reset();
  for (auto& [member_id, timers] : timers_) {
    const ConsumerMember* member = state_.Find(member_id);
    timers = {.session = time.now + SessionOf(*member),
              .revoke = timers.revoke.transform(
                  [&](Instant) { return time.now + member->rebalance_timeout; })};
    Watch(timers);
  }
}

Instant ConsumerGroup::Timers::first() const {
  Instant first = session;
  for (const std::optional<Instant>& other : {revoke, join, sync}) {
    first = std::min(first, other.value_or(Instant::Max()));
  }
  return first;
}

Duration ConsumerGroup::SessionOf(const ConsumerMember& member) const {
  if (!member.classic.has_value()) return options().session_timeout;
  return milliseconds(std::max(member.classic->session_timeout_ms, 0));
}

void ConsumerGroup::Watch(const Timers& timers) {
  earliest_ = std::min(timers.first(), earliest_.value_or(Instant::Max()));
}

std::optional<Instant> ConsumerGroup::deadline() const {
  return timers_.empty() ? std::nullopt : earliest_;
}

std::set<std::string> ConsumerGroup::Expired(GroupTime time) {
  std::set<std::string> expired;
  if (!earliest_.has_value() || time.now < *earliest_) return expired;
  earliest_.reset();
  for (const auto& [member_id, timers] : timers_) {
    if (timers.first() <= time.now) {
      expired.insert(member_id);
    } else {
      Watch(timers);
    }
  }
  return expired;
}

std::vector<GroupRecord> ConsumerGroup::Remove(const std::set<std::string>& member_ids) const {
  std::vector<GroupRecord> records;
  std::map<std::string, uint32_t> regexes = state_.regexes();
  for (const std::string& member_id : member_ids) {
    const ConsumerMember* member = state_.Find(member_id);
    if (member == nullptr) continue;
    AppendMemberTombstones(id(), member_id, records);
    if (!member->topic_regex.has_value()) continue;
    if (--regexes[*member->topic_regex] > 0) continue;
    if (state_.resolved().contains(*member->topic_regex)) {
      records.push_back(RegexTombstone(id(), *member->topic_regex));
    }
  }
  if (records.empty()) return records;
  // The hash is of what was subscribed to; whether that is still so the next heartbeat finds out.
  records.push_back(EpochRecord(id(), state_.group_epoch() + 1, state_.metadata_hash()));
  return records;
}

KafkaError ConsumerGroup::CheckCommit(const OffsetClient& client) const {
  if (IsNoMember(client)) return KafkaError::kNone;
  const ConsumerMember* member = state_.Find(std::string(client.member_id));
  if (member == nullptr) return KafkaError::kUnknownMemberId;
  const bool classic = member->classic.has_value();
  if (!classic && !client.transactional && !client.knows_epochs) {
    return KafkaError::kUnsupportedVersion;
  }
  if (client.epoch > member->current.epoch) return StaleFor(*member);
  return KafkaError::kNone;
}

KafkaError ConsumerGroup::CheckCommitOf(const OffsetClient& client,
                                        const TopicPartitionId& partition) const {
  const KafkaError error = CheckCommit(client);
  if (error != KafkaError::kNone || IsNoMember(client)) return error;
  const ConsumerMember& member = *state_.Find(std::string(client.member_id));
  const CurrentAssignment& current = member.current;
  if (client.epoch == current.epoch) return KafkaError::kNone;
  for (const HeldPartitions* held : {&current.assigned, &current.revoking}) {
    const HeldPartition* found = FindHeld(*held, partition);
    if (found != nullptr && found->since <= client.epoch) return KafkaError::kNone;
  }
  return StaleFor(member);
}

bool ConsumerGroup::IsNoMember(const OffsetClient& client) const {
  // An administrator, while nobody is there; or a producer that does not say for whom it commits.
  if (client.epoch.value() < 0 && state_.members().empty()) return true;
  return client.transactional && client.epoch.value() == -1 && client.member_id.empty() &&
         !client.instance_id.has_value();
}

KafkaError ConsumerGroup::CheckFetch(const OffsetClient& client) const {
  if (client.member_id.empty() && client.epoch.value() < 0) return KafkaError::kNone;
  const ConsumerMember* member = state_.Find(std::string(client.member_id));
  if (member == nullptr) return KafkaError::kUnknownMemberId;
  if (member->current.epoch == client.epoch) return KafkaError::kNone;
  return StaleFor(*member);
}

std::vector<GroupRecord> ConsumerGroup::Tombstones() const {
  std::vector<GroupRecord> records = Snapshot();
  std::ranges::reverse(records);
  for (GroupRecord& record : records) {
    std::visit([](auto& typed) { typed.value.reset(); }, record);
  }
  return records;
}

std::vector<GroupRecord> ConsumerGroup::Snapshot() const { return state_.Snapshot(); }

ConsumerGroupPhase ConsumerGroup::phase() const {
  if (state_.members().empty()) return ConsumerGroupPhase::kEmpty;
  if (group_epoch() > assignment_epoch()) return ConsumerGroupPhase::kAssigning;
  const MemberEpoch target(assignment_epoch());
  const bool all = std::ranges::all_of(state_.members(), [&](const auto& member) {
    return member.second.current.ReconciledTo(target);
  });
  return all ? ConsumerGroupPhase::kStable : ConsumerGroupPhase::kReconciling;
}

std::string ConsumerGroup::assignor() const {
  std::vector<const ConsumerMember*> members;
  for (const auto& [_, member] : state_.members()) members.push_back(&member);
  return VoteForAssignor(members, options().assignors);
}

std::vector<ConsumerGroup::MemberView> ConsumerGroup::Members() const {
  std::vector<MemberView> views;
  for (const auto& [member_id, member] : state_.members()) {
    views.push_back({.member_id = member_id,
                     .instance_id = member.instance_id,
                     .rack = member.rack,
                     .epoch = member.current.epoch,
                     .client_id = member.client_id,
                     .client_host = member.client_host,
                     .topic_names = member.topic_names,
                     .topic_regex = member.topic_regex,
                     .assigned = WithoutEpochs(member.current.assigned),
                     .target = state_.Target(member_id),
                     .classic = member.classic.has_value()});
  }
  return views;
}

size_t ConsumerGroup::memory_bytes() const {
  size_t bytes = sizeof(*this);
  for (const auto& [_, member] : state_.members()) bytes += BytesOf(member) + sizeof(Timers);
  for (const auto& [name, _] : state_.names()) {
    bytes += kNodeBytes + sizeof(std::string) + name.size();
  }
  for (const auto& [regex, resolved] : state_.resolved()) {
    bytes += sizeof(ResolvedRegex) + regex.size();
    for (const std::string& topic : resolved.topics)
      bytes += 2 * sizeof(std::string) + topic.size();
  }
  return bytes;
}

}  // namespace millrace

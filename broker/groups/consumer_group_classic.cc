// Members of the classic protocol in a consumer group (rule 8.18).
#include <algorithm>
#include <utility>

#include "broker/groups/consumer_group.h"
#include "broker/groups/embedded_protocol.h"
#include "broker/groups/migration.h"

namespace millrace {
namespace {

using kafka::KafkaError;

bool Knows(const ConsumerMember& member, const std::string& protocol) {
  return std::ranges::any_of(member.classic->supported_protocols,
                             [&](const auto& known) { return known.name == protocol; });
}

}  // namespace

// One of its protocols has to be known to all the others, so that they can agree when they are among
// themselves again.
bool ConsumerGroup::SupportsClassic(const JoinGroup& request) const {
  if (request.protocol_type != kConsumerProtocolType) return false;
  return std::ranges::any_of(request.protocols, [&](const MemberProtocol& protocol) {
    return state_.AllKnow(protocol.name);
  });
}

ClassicJoinDecision ConsumerGroup::Join(const JoinGroup& request, const MetadataImage& image,
                                        Uuid drawn, GroupTime time) {
  Configure(image);
  ClassicJoinDecision refused;
  if (!SupportsClassic(request)) {
    refused.answer.error = KafkaError::kInconsistentGroupProtocol;
    return refused;
  }
  const bool dynamic = !request.member.instance_id.has_value();
  if (request.must_know_its_id && dynamic && request.member.member_id.empty()) {
    // Not noted: as any id that a client brings, it becomes a member's when that joins with it.
    refused.answer.error = state_.members().size() < options().members_max
                               ? KafkaError::kMemberIdRequired
                               : KafkaError::kGroupMaxSizeReached;
    if (refused.answer.error == KafkaError::kMemberIdRequired) {
      refused.answer.member_id = drawn.ToString();
    }
    return refused;
  }
  return DecideClassicJoin(state_, options(), request, image, drawn, time, memory_);
}

void ConsumerGroup::OnJoined(const std::string& member_id, GroupTime time) {
  const ConsumerMember& member = *state_.Find(member_id);
  Timers& timers = timers_.at(member_id);
  timers.session = time.now + SessionOf(member);
  timers.join.reset();
  timers.sync = time.now + member.rebalance_timeout;
  Watch(timers);
}

const ConsumerMember* ConsumerGroup::FindClassic(const MemberIdentity& who,
                                                 KafkaError& error) const {
  const ConsumerMember* member = who.instance_id.has_value() ? state_.FindStatic(*who.instance_id)
                                                             : state_.Find(who.member_id);
  error = KafkaError::kNone;
  if (member != nullptr && member->member_id != who.member_id) {
    error = KafkaError::kFencedInstanceId;
  } else if (member == nullptr || !member->classic.has_value()) {
    error = KafkaError::kUnknownMemberId;
  }
  return error == KafkaError::kNone ? member : nullptr;
}

// The target is yet to be computed. Heartbeats of members of the consumer protocol would see to it, but
// one may be away, as a static member that restarts is, or gone before its session is over.
bool ConsumerGroup::OwesTarget(GroupTime time) const {
  if (group_epoch() <= assignment_epoch()) return false;
  const bool too_soon = memory_.target_computed.has_value() &&
                        time.now - *memory_.target_computed < options().assignment_interval;
  return !too_soon;
}

bool ConsumerGroup::MustJoinAgain(const ConsumerMember& member, GroupTime time) const {
  const CurrentAssignment& current = member.current;
  if (current.epoch.value() < assignment_epoch() || OwesTarget(time)) return true;
  switch (current.state) {
    case CurrentAssignment::State::kStable:
      return false;
    case CurrentAssignment::State::kUnrevoked:
      return true;
    case CurrentAssignment::State::kUnreleased:
      break;
  }
  const PartitionList missing =
      Difference(state_.Target(member.member_id), WithoutEpochs(current.assigned));
  return std::ranges::none_of(missing, [&](const TopicPartitionId& partition) {
    return state_.HeldByOther(partition, &member);
  });
}

void ConsumerGroup::AwaitJoin(const ConsumerMember& member, GroupTime time) {
  Timers& timers = timers_.at(member.member_id);
  if (timers.join.has_value()) return;
  timers.join = time.now + member.rebalance_timeout;
  Watch(timers);
}

SyncedGroup ConsumerGroup::Sync(const SyncGroup& request, const MetadataImage& image,
                                GroupTime time) {
  SyncedGroup synced;
  const ConsumerMember* member = FindClassic(request.member, synced.error);
  if (member == nullptr) return synced;
  const CurrentAssignment& current = member->current;
  if (request.generation.value() != current.epoch.value()) {
    synced.error = KafkaError::kIllegalGeneration;
  } else if (request.protocol_type.value_or(std::string(kConsumerProtocolType)) !=
                 kConsumerProtocolType ||
             (request.protocol_name.has_value() && !Knows(*member, *request.protocol_name))) {
    // Any that it knows will do: which of them all know may have changed since it was told.
    synced.error = KafkaError::kInconsistentGroupProtocol;
  } else if (current.epoch.value() < assignment_epoch() &&
             current.state != CurrentAssignment::State::kUnrevoked) {
    // One that has to give up partitions has joined already, and hears here of those it keeps.
    synced.error = KafkaError::kRebalanceInProgress;
    AwaitJoin(*member, time);
  }
  if (synced.error != KafkaError::kNone) return synced;
  Timers& timers = timers_.at(member->member_id);
  timers.sync.reset();
  timers.session = time.now + SessionOf(*member);
  synced.protocol_type = request.protocol_type;
  synced.protocol_name = request.protocol_name;
  // Whatever the protocol, a consumer says the same about itself.
  synced.assignment =
      FormatAssignment(WithoutEpochs(current.assigned), image,
                       member->classic->supported_protocols.front().metadata.view());
  return synced;
}

KafkaError ConsumerGroup::ClassicHeartbeat(const MemberIdentity& who, GenerationId generation,
                                           GroupTime time) {
  KafkaError error = KafkaError::kNone;
  const ConsumerMember* member = FindClassic(who, error);
  if (member == nullptr) return error;
  if (generation.value() != member->current.epoch.value()) return KafkaError::kIllegalGeneration;
  timers_.at(member->member_id).session = time.now + SessionOf(*member);
  if (!MustJoinAgain(*member, time)) return KafkaError::kNone;
  AwaitJoin(*member, time);
  return KafkaError::kRebalanceInProgress;
}

std::vector<KafkaError> ConsumerGroup::WhoLeaves(const std::vector<MemberIdentity>& members,
                                                 std::set<std::string>& gone) const {
  std::vector<KafkaError> errors;
  errors.reserve(members.size());
  for (const MemberIdentity& who : members) {
    const ConsumerMember* member = who.instance_id.has_value() ? state_.FindStatic(*who.instance_id)
                                                               : state_.Find(who.member_id);
    // An admin knows the instance alone.
    const bool by_instance = who.instance_id.has_value() && who.member_id.empty();
    if (member == nullptr) {
      errors.push_back(KafkaError::kUnknownMemberId);
    } else if (member->member_id != who.member_id && !by_instance) {
      errors.push_back(KafkaError::kFencedInstanceId);
    } else {
      errors.push_back(KafkaError::kNone);
      gone.insert(member->member_id);
    }
  }
  return errors;
}

bool ConsumerGroup::IsClassicWithout(const std::set<std::string>& gone) const {
  size_t left = 0;
  for (const auto& [id, member] : state_.members()) {
    if (gone.contains(id)) continue;
    if (!member.classic.has_value()) return false;
    ++left;
  }
  return left > 0;
}

}  // namespace millrace

// What members ask, and what they are told. Who is in the group is in classic_group_members.cc, the
// way from phase to phase in classic_group_phases.cc.
#include "broker/groups/classic_group.h"

#include <utility>

namespace millrace {
namespace {

using kafka::KafkaError;

JoinedGroup RefusedJoin(KafkaError error, std::string member_id) {
  JoinedGroup answer;
  answer.error = error;
  answer.member_id = std::move(member_id);
  return answer;
}

bool Contradicts(const std::optional<std::string>& named, const std::string& ours) {
  return named.has_value() && *named != ours;
}

}  // namespace

std::string_view ToString(ClassicGroupState state) {
  switch (state) {
    case ClassicGroupState::kEmpty:
      return "Empty";
    case ClassicGroupState::kPreparingRebalance:
      return "PreparingRebalance";
    case ClassicGroupState::kCompletingRebalance:
      return "CompletingRebalance";
    case ClassicGroupState::kStable:
      return "Stable";
    case ClassicGroupState::kDead:
      return "Dead";
  }
  return "Dead";
}

KafkaError ClassicGroup::CheckMember(const MemberIdentity& member) const {
  if (member.instance_id.has_value()) {
    const auto known = static_members_.find(*member.instance_id);
    if (known == static_members_.end()) return KafkaError::kUnknownMemberId;
    if (known->second != member.member_id) return KafkaError::kFencedInstanceId;
  }
  if (!members_.contains(member.member_id)) return KafkaError::kUnknownMemberId;
  return KafkaError::kNone;
}

bool ClassicGroup::HasRoomFor(const MemberIdentity& member) const {
  // A static member that comes back takes its own place.
  auto known = members_.find(member.member_id);
  if (member.member_id.empty() && member.instance_id.has_value()) {
    const auto id = static_members_.find(*member.instance_id);
    if (id != static_members_.end()) known = members_.find(id->second);
  }
  switch (state_) {
    case ClassicGroupState::kEmpty:
    case ClassicGroupState::kDead:
      return true;
    case ClassicGroupState::kPreparingRebalance:
      // Where the group may have fewer members than it has, those who come last lose their place.
      if (known != members_.end() && known->second.awaits_join) return true;
      return awaiting_join_ < options_.members_max;
    case ClassicGroupState::kCompletingRebalance:
    case ClassicGroupState::kStable:
      return known != members_.end() || members_.size() < options_.members_max;
  }
  return true;
}

bool ClassicGroup::Supports(const JoinGroup& request) const {
  if (request.protocol_type.empty() || request.protocols.empty()) return false;
  if (members_.empty()) return true;
  if (request.protocol_type != protocol_type_) return false;
  for (const MemberProtocol& protocol : request.protocols) {
    const auto count = supporters_.find(protocol.name);
    if (count != supporters_.end() && count->second == members_.size()) return true;
  }
  return false;
}

KafkaError ClassicGroup::CheckJoin(const JoinGroup& request) const {
  if (state_ == ClassicGroupState::kDead) return KafkaError::kCoordinatorNotAvailable;
  if (request.session_timeout < options_.session_min ||
      request.session_timeout > options_.session_max) {
    return KafkaError::kInvalidSessionTimeout;
  }
  if (!HasRoomFor(request.member)) return KafkaError::kGroupMaxSizeReached;
  if (!Supports(request)) return KafkaError::kInconsistentGroupProtocol;
  return KafkaError::kNone;
}

void ClassicGroup::Join(JoinGroup request, Ticket ticket, Uuid drawn, GroupTime time,
                        ClassicGroupOutput& out) {
  const MemberIdentity who = request.member;
  const auto refuse = [&](KafkaError error) {
    out.joined.emplace_back(ticket, RefusedJoin(error, who.member_id));
  };
  RemoveRepeated(request.protocols);
  if (const KafkaError error = CheckJoin(request); error != KafkaError::kNone) {
    if (error == KafkaError::kGroupMaxSizeReached) return ShowOut(who, ticket, time, out);
    return refuse(error);
  }
  if (who.member_id.empty()) {
    return JoinAsNew(std::move(request), ticket, drawn, time, out);
  }
  if (pending_.contains(who.member_id)) {
    // Static members are given no id they have to join with.
    if (who.instance_id.has_value()) return refuse(KafkaError::kUnknownMemberId);
    return Add(std::move(request), who.member_id, ticket, time, out);
  }
  if (const KafkaError error = CheckMember(who); error != KafkaError::kNone) return refuse(error);
  JoinAgain(members_.find(who.member_id)->second, std::move(request), ticket, time, out);
}

void ClassicGroup::ShowOut(const MemberIdentity& who, Ticket ticket, GroupTime time,
                           ClassicGroupOutput& out) {
  out.joined.emplace_back(ticket, RefusedJoin(KafkaError::kGroupMaxSizeReached, ""));
  // There is no place for it in the next generation either: nobody is to wait for it.
  if (RemovePending(who.member_id)) return MaybeCompleteJoin(time, out);
  if (CheckMember(who) != KafkaError::kNone) return;
  Remove(members_.find(who.member_id), out);
  AfterLoss(time, out);
}

void ClassicGroup::JoinAsNew(JoinGroup request, Ticket ticket, Uuid drawn, GroupTime time,
                             ClassicGroupOutput& out) {
  const std::optional<std::string>& instance_id = request.member.instance_id;
  std::string id = NewMemberId(instance_id.value_or(request.client_id), drawn);
  if (members_.contains(id) || pending_.contains(id)) {
    // Drawn twice: it asks again.
    out.joined.emplace_back(ticket, RefusedJoin(KafkaError::kRebalanceInProgress, ""));
    return;
  }
  if (instance_id.has_value()) {
    const auto known = static_members_.find(*instance_id);
    if (known == static_members_.end()) {
      return Add(std::move(request), std::move(id), ticket, time, out);
    }
    return Replace(members_.find(known->second), std::move(request), std::move(id), ticket, time,
                   out);
  }
  if (!request.must_know_its_id) {
    return Add(std::move(request), std::move(id), ticket, time, out);
  }
  if (pending_.size() >= options_.pending_members_max) {
    out.joined.emplace_back(ticket, RefusedJoin(KafkaError::kGroupMaxSizeReached, ""));
    return;
  }
  AddPending(id, time.now + request.session_timeout);
  out.joined.emplace_back(ticket, RefusedJoin(KafkaError::kMemberIdRequired, std::move(id)));
}

void ClassicGroup::JoinAgain(ClassicMember& member, JoinGroup request, Ticket ticket,
                             GroupTime time, ClassicGroupOutput& out) {
  const bool changed = member.protocols != request.protocols;
  const bool leads = leader_ == member.id;
  const bool completing = state_ == ClassicGroupState::kCompletingRebalance;
  const bool stable = state_ == ClassicGroupState::kStable;
  // The answer was lost, or the member wants to know where the group is: nothing is new.
  if (!changed && (completing || (stable && !leads))) {
    Renew(member, time.now);
    out.joined.emplace_back(ticket, Joined(member));
    return;
  }
  Update(member, std::move(request));
  ParkJoin(member, ticket, out);
  Renew(member, time.now);
  if (completing || stable) return Rebalance(time, out);
  MaybeCompleteJoin(time, out);
}

void ClassicGroup::Replace(MemberMap::iterator old, JoinGroup request, std::string new_id,
                           Ticket ticket, GroupTime time, ClassicGroupOutput& out) {
  const std::optional<std::string> old_leader = leader_;
  const bool leads = leader_ == old->first;
  const bool skips = request.may_skip_assignment;
  ClassicMember& member = Rename(old, std::move(new_id), out);
  Update(member, std::move(request));
  if (state_ == ClassicGroupState::kStable && Vote() == protocol_) {
    // The group goes on as it is: the new incarnation gets the part of the old one with its Sync. A
    // leader must not compute a new assignment, which is not asked for. From v9 on it is told so;
    // before, it hears of a leader that is not there any more (KIP-814).
    JoinedGroup answer = Joined(member);
    if (leads) {
      answer.skip_assignment = skips;
      if (!skips) {
        answer.leader = *old_leader;
        answer.members.clear();
      }
    }
    Renew(member, time.now);
    out.joined.emplace_back(ticket, std::move(answer));
    out.write = true;
    return;
  }
  ParkJoin(member, ticket, out);
  Renew(member, time.now);
  // In the second half the leader may already share out to the old id: all begin again.
  if (state_ != ClassicGroupState::kPreparingRebalance) return Rebalance(time, out);
  MaybeCompleteJoin(time, out);
}

std::vector<JoinedGroup::Member> ClassicGroup::JoinedMembers() const {
  std::vector<JoinedGroup::Member> members;
  members.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    members.push_back(
        {id, member.instance_id, std::string(member.MetadataFor(protocol_.value_or("")))});
  }
  return members;
}

JoinedGroup ClassicGroup::Joined(const ClassicMember& member) const {
  JoinedGroup answer;
  answer.generation = generation_;
  answer.protocol_type = protocol_type_;
  answer.protocol_name = protocol_;
  answer.leader = leader_.value_or("");
  answer.member_id = member.id;
  if (leader_ == member.id) answer.members = JoinedMembers();
  return answer;
}

SyncedGroup ClassicGroup::Synced(const ClassicMember& member) const {
  return {.error = KafkaError::kNone,
          .protocol_type = protocol_type_,
          .protocol_name = protocol_,
          .assignment = member.assignment};
}

KafkaError ClassicGroup::CheckSync(const SyncGroup& request) const {
  if (state_ == ClassicGroupState::kDead) return KafkaError::kCoordinatorNotAvailable;
  if (const KafkaError error = CheckMember(request.member); error != KafkaError::kNone) {
    return error;
  }
  if (request.generation != generation_) return KafkaError::kIllegalGeneration;
  if (state_ == ClassicGroupState::kPreparingRebalance) return KafkaError::kRebalanceInProgress;
  // Only now: who joined while it was a consumer group was told a protocol that this group may not have
  // chosen, and clients give up over this error.
  if (Contradicts(request.protocol_type, protocol_type_) ||
      (protocol_.has_value() && Contradicts(request.protocol_name, *protocol_))) {
    return KafkaError::kInconsistentGroupProtocol;
  }
  return KafkaError::kNone;
}

void ClassicGroup::Sync(SyncGroup request, Ticket ticket, GroupTime time, ClassicGroupOutput& out) {
  const KafkaError error = CheckSync(request);
  if (error != KafkaError::kNone && error != KafkaError::kRebalanceInProgress) {
    out.synced.emplace_back(ticket, SyncedGroup{.error = error});
    return;
  }
  ClassicMember& member = members_.find(request.member.member_id)->second;
  if (error == KafkaError::kRebalanceInProgress) {
    Renew(member, time.now);
    out.synced.emplace_back(ticket, SyncedGroup{.error = error});
    return;
  }
  SetOwesSync(member, false);
  if (state_ == ClassicGroupState::kStable) {
    Renew(member, time.now);
    out.synced.emplace_back(ticket, Synced(member));
    return;
  }
  ParkSync(member, ticket, out);
  Renew(member, time.now);
  if (leader_ == member.id) HandOut(request, time, out);
}

KafkaError ClassicGroup::Heartbeat(const MemberIdentity& member, GenerationId generation,
                                   GroupTime time) {
  if (state_ == ClassicGroupState::kDead) return KafkaError::kCoordinatorNotAvailable;
  if (const KafkaError error = CheckMember(member); error != KafkaError::kNone) return error;
  if (generation != generation_) return KafkaError::kIllegalGeneration;
  Renew(members_.find(member.member_id)->second, time.now);
  return state_ == ClassicGroupState::kPreparingRebalance ? KafkaError::kRebalanceInProgress
                                                          : KafkaError::kNone;
}

KafkaError ClassicGroup::LeaveOne(const MemberIdentity& identity, bool& member_gone,
                                  ClassicGroupOutput& out) {
  MemberIdentity who = identity;
  if (who.member_id.empty()) {
    // An admin removes a static member: it knows the instance alone.
    const auto known = static_members_.find(who.instance_id.value_or(""));
    if (!who.instance_id.has_value() || known == static_members_.end()) {
      return KafkaError::kUnknownMemberId;
    }
    who.member_id = known->second;
  }
  if (RemovePending(who.member_id)) return KafkaError::kNone;
  if (const KafkaError error = CheckMember(who); error != KafkaError::kNone) return error;
  Remove(members_.find(who.member_id), out);
  member_gone = true;
  return KafkaError::kNone;
}

std::vector<KafkaError> ClassicGroup::Leave(const std::vector<MemberIdentity>& members,
                                            GroupTime time, ClassicGroupOutput& out) {
  if (state_ == ClassicGroupState::kDead) {
    return std::vector<KafkaError>(members.size(), KafkaError::kCoordinatorNotAvailable);
  }
  std::vector<KafkaError> errors;
  errors.reserve(members.size());
  bool member_gone = false;
  for (const MemberIdentity& member : members) {
    errors.push_back(LeaveOne(member, member_gone, out));
  }
  if (member_gone) {
    AfterLoss(time, out);
  } else {
    MaybeCompleteJoin(time, out);
  }
  return errors;
}

KafkaError ClassicGroup::CheckCommit(const MemberIdentity& member,
                                     std::optional<GenerationId> generation, bool transactional,
                                     GroupTime time) {
  if (state_ == ClassicGroupState::kDead) return KafkaError::kCoordinatorNotAvailable;
  // Who shares out partitions by itself, or an admin.
  if (!generation.has_value() && state_ == ClassicGroupState::kEmpty) return KafkaError::kNone;
  const bool names =
      generation.has_value() || !member.member_id.empty() || member.instance_id.has_value();
  if (!names) return transactional ? KafkaError::kNone : KafkaError::kUnknownMemberId;
  if (const KafkaError error = CheckMember(member); error != KafkaError::kNone) return error;
  if (generation != generation_) return KafkaError::kIllegalGeneration;
  if (transactional) return KafkaError::kNone;
  // It knows the generation, so it is about to send its Sync.
  if (state_ == ClassicGroupState::kCompletingRebalance) return KafkaError::kRebalanceInProgress;
  Renew(members_.find(member.member_id)->second, time.now);
  return KafkaError::kNone;
}

KafkaError ClassicGroup::CheckFetch(const MemberIdentity& /*member*/,
                                    std::optional<GenerationId> /*generation*/) const {
  // As Kafka: members of classic groups are not asked who they are.
  return state_ == ClassicGroupState::kDead ? KafkaError::kGroupIdNotFound : KafkaError::kNone;
}

}  // namespace millrace

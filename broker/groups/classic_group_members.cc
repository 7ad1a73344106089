// Who is in a classic group, who waits for an answer, and whose session ends when.
#include <algorithm>
#include <chrono>
#include <utility>

#include "broker/groups/classic_group.h"

namespace millrace {
namespace {

using kafka::KafkaError;

// What a client may say of its rebalance timeout is not bounded.
Duration Clamped(Duration timeout) {
  return std::clamp<Duration>(timeout, Duration::zero(), milliseconds(INT32_MAX));
}

// A node of a map with its key and a timer, about.
size_t PendingBytes(const std::string& id) { return 256 + 2 * id.size(); }

}  // namespace

void ClassicGroup::AddPending(const std::string& id, Instant until) {
  const auto [pending, added] = pending_.emplace(id, MemberTimer{.order = next_order_++});
  timers_.Set(pending->second, id, until);
  pending_bytes_ += PendingBytes(id);
}

bool ClassicGroup::RemovePending(const std::string& id) {
  const auto pending = pending_.find(id);
  if (pending == pending_.end()) return false;
  timers_.Clear(pending->second);
  pending_bytes_ -= PendingBytes(pending->first);
  pending_.erase(pending);
  return true;
}

void ClassicGroup::Add(JoinGroup request, std::string id, Ticket ticket, GroupTime time,
                       ClassicGroupOutput& out) {
  RemovePending(id);
  if (members_.empty()) protocol_type_ = request.protocol_type;
  ClassicMember fresh{.id = id,
                      .instance_id = std::move(request.member.instance_id),
                      .client_id = std::move(request.client_id),
                      .client_host = std::move(request.client_host),
                      .session_timeout = request.session_timeout,
                      .rebalance_timeout = Clamped(request.rebalance_timeout),
                      .protocols = std::move(request.protocols),
                      .timer = {.order = next_order_++},
                      .is_new = true};
  ClassicMember& member = Insert(std::move(fresh));
  if (initial_.has_value()) initial_->joined = true;
  ParkJoin(member, ticket, out);
  // Without an id it can send no heartbeat, and its connection may be gone without our knowing:
  // while clients try again and again, those they were must not pile up for ever.
  timers_.Set(member.timer, member.id, time.now + options_.new_member_join_timeout);
  if (state_ != ClassicGroupState::kPreparingRebalance) return Rebalance(time, out);
  MaybeCompleteJoin(time, out);
}

ClassicMember& ClassicGroup::Insert(ClassicMember fresh) {
  const std::string id = fresh.id;
  ClassicMember& member = members_.emplace(id, std::move(fresh)).first->second;
  if (member.instance_id.has_value()) static_members_.insert_or_assign(*member.instance_id, id);
  CountProtocols(member, true);
  member_bytes_ += member.bytes();
  return member;
}

void ClassicGroup::CountProtocols(const ClassicMember& member, bool in) {
  for (const MemberProtocol& protocol : member.protocols) {
    const auto supporters = supporters_.try_emplace(protocol.name, 0).first;
    if (in) {
      ++supporters->second;
    } else if (--supporters->second == 0) {
      supporters_.erase(supporters);
    }
  }
}

void ClassicGroup::Update(ClassicMember& member, JoinGroup request) {
  CountProtocols(member, false);
  member_bytes_ -= member.bytes();
  member.client_id = std::move(request.client_id);
  member.client_host = std::move(request.client_host);
  member.session_timeout = request.session_timeout;
  member.rebalance_timeout = Clamped(request.rebalance_timeout);
  member.protocols = std::move(request.protocols);
  member_bytes_ += member.bytes();
  CountProtocols(member, true);
}

ClassicMember& ClassicGroup::Rename(MemberMap::iterator old, std::string new_id,
                                    ClassicGroupOutput& out) {
  JoinedGroup fenced;
  fenced.error = KafkaError::kFencedInstanceId;
  fenced.member_id = old->first;
  AnswerJoin(old->second, std::move(fenced), out);
  AnswerSync(old->second, {.error = KafkaError::kFencedInstanceId}, out);
  timers_.Clear(old->second.timer);
  member_bytes_ -= old->second.bytes();
  if (leader_ == old->first) leader_ = new_id;

  auto node = members_.extract(old);
  node.key() = new_id;
  ClassicMember& member = members_.insert(std::move(node)).position->second;
  member.id = std::move(new_id);
  member.is_new = false;  // Whoever had the old id is known: its session counts.
  member_bytes_ += member.bytes();
  static_members_.insert_or_assign(*member.instance_id, member.id);
  return member;
}

ClassicGroup::MemberMap::iterator ClassicGroup::Remove(MemberMap::iterator gone,
                                                       ClassicGroupOutput& out) {
  ClassicMember& member = gone->second;
  JoinedGroup answer;
  answer.error = KafkaError::kUnknownMemberId;
  AnswerJoin(member, std::move(answer), out);
  AnswerSync(member, {.error = KafkaError::kUnknownMemberId}, out);
  SetOwesSync(member, false);
  timers_.Clear(member.timer);
  CountProtocols(member, false);
  member_bytes_ -= member.bytes();
  if (member.instance_id.has_value()) static_members_.erase(*member.instance_id);
  if (leader_ == member.id) leader_.reset();
  return members_.erase(gone);
}

void ClassicGroup::ParkJoin(ClassicMember& member, Ticket ticket, ClassicGroupOutput& out) {
  // One request of a member waits. An older one came by a connection that it gave up.
  JoinedGroup again;
  again.error = KafkaError::kRebalanceInProgress;
  again.member_id = member.id;
  AnswerJoin(member, std::move(again), out);
  member.awaits_join = true;
  ++awaiting_join_;
  member.join = ticket;
  parked_[ticket] = &member;
}

void ClassicGroup::ParkSync(ClassicMember& member, Ticket ticket, ClassicGroupOutput& out) {
  AnswerSync(member, {.error = KafkaError::kRebalanceInProgress}, out);
  member.awaits_sync = true;
  member.sync = ticket;
  parked_[ticket] = &member;
}

void ClassicGroup::AnswerJoin(ClassicMember& member, JoinedGroup answer, ClassicGroupOutput& out) {
  if (!member.awaits_join) return;
  member.awaits_join = false;
  --awaiting_join_;
  if (!member.join.has_value()) return;
  parked_.erase(*member.join);
  out.joined.emplace_back(*std::exchange(member.join, std::nullopt), std::move(answer));
}

void ClassicGroup::AnswerSync(ClassicMember& member, SyncedGroup answer, ClassicGroupOutput& out) {
  member.awaits_sync = false;
  if (!member.sync.has_value()) return;
  parked_.erase(*member.sync);
  out.synced.emplace_back(*std::exchange(member.sync, std::nullopt), std::move(answer));
}

void ClassicGroup::SetOwesSync(ClassicMember& member, bool owes) {
  if (member.owes_sync == owes) return;
  member.owes_sync = owes;
  if (owes) {
    ++owing_sync_;
  } else if (--owing_sync_ == 0) {
    sync_deadline_.reset();
  }
}

void ClassicGroup::Renew(ClassicMember& member, Instant now) {
  if (!member.awaits_join && !member.awaits_sync) {
    return timers_.Set(member.timer, member.id, now + member.session_timeout);
  }
  // Who waits is silent because of us (rule 7.17); only a new member is not waited for so long.
  if (!member.is_new) timers_.Clear(member.timer);
}

void ClassicGroup::Forget(Ticket ticket) {
  const auto parked = parked_.find(ticket);
  if (parked == parked_.end()) return;
  ClassicMember& member = *parked->second;
  if (member.join == ticket) member.join.reset();
  if (member.sync == ticket) member.sync.reset();
  parked_.erase(parked);
}

}  // namespace millrace
